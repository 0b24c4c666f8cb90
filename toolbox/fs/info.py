"""Describe files as the SDKs expect them: mode and time in the format of Go, owner and group as numbers."""

from __future__ import annotations

import contextlib
import functools
import grp
import hashlib
import os
import pwd
import stat
import threading
import time

from toolbox.errors import BadRequest
from toolbox.fs.wire import FileInfo
from toolbox.host.files import BLOCK, Source
from toolbox.host.paths import Workdir, raw, show
from toolbox.host.worker_pool import WorkerPool

HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b")
# In the order of Go's ``FileMode.String``: several letters may apply.
_LETTERS = (
    (stat.S_ISDIR, "d"),
    (stat.S_ISLNK, "L"),
    (lambda mode: stat.S_ISBLK(mode) or stat.S_ISCHR(mode), "D"),
    (stat.S_ISFIFO, "p"),
    (stat.S_ISSOCK, "S"),
    (lambda mode: bool(mode & stat.S_ISUID), "u"),
    (lambda mode: bool(mode & stat.S_ISGID), "g"),
    (stat.S_ISCHR, "c"),
    (lambda mode: bool(mode & stat.S_ISVTX), "t"),
)
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}


@functools.lru_cache(1024)
def mode_text(mode: int) -> str:
    """Format a mode like Go: attribute letters (``-`` if none), then nine permission letters."""
    letters = "".join(letter for test, letter in _LETTERS if test(mode))
    return (letters or "-") + stat.filemode(mode & 0o777)[1:]


def times(nanoseconds: int) -> tuple[str, str]:
    """Format an instant like Go's ``Time.String`` and as RFC 3339, in the local time zone of the daemon."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text, zone, offset, name = _second(seconds)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".") if fraction else ""
    return f"{text}{digits} {zone.replace(':', '')} {name}", f"{text.replace(' ', 'T')}{digits}{offset}"


@functools.lru_cache(256)
def _second(seconds: int) -> tuple[str, str, str, str]:
    moment = time.localtime(seconds)
    sign, minutes = ("-" if moment.tm_gmtoff < 0 else "+"), abs(moment.tm_gmtoff) // 60
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    text = f"{moment.tm_year:04d}-{time.strftime('%m-%d %H:%M:%S', moment)}"
    return text, zone, "Z" if not minutes else zone, moment.tm_zone


class OwnerNames:
    """A cache of user and group names for one request: a lookup may ask LDAP."""

    def __init__(self) -> None:
        self.user = functools.cache(_user_name)
        self.group = functools.cache(_group_name)


def _user_name(uid: int) -> str | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return None


def _group_name(gid: int) -> str | None:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return None


def describe(
    path: bytes, name: bytes, names: OwnerNames, *, shown: bytes | None = None, link: os.stat_result | None = None
) -> FileInfo:
    """Describe the target of ``path``, or the link itself if it is broken.

    ``shown`` is the path in the response; ``link`` is the ``lstat`` of the entry, if the caller has it.
    """
    own = link if link is not None else os.lstat(path)
    is_link, target, broken, status = stat.S_ISLNK(own.st_mode), None, False, own
    if is_link:
        target = show(os.readlink(path))
        try:
            status = os.stat(path)
        except OSError:
            broken = True
    text, stamp = times(status.st_mtime_ns)
    return FileInfo(
        name=show(name),
        is_dir=stat.S_ISDIR(status.st_mode),
        size=status.st_size,
        mod_time=text,
        modified_at=stamp,
        mode=mode_text(status.st_mode),
        permissions=f"{status.st_mode & 0o777:04o}",
        owner=str(status.st_uid),
        group=str(status.st_gid),
        owner_name=names.user(status.st_uid),
        group_name=names.group(status.st_gid),
        path=show(shown) if shown is not None else None,
        type=_TYPES.get(stat.S_IFMT(status.st_mode)),
        is_symlink=is_link,
        symlink_target=target,
        symlink_broken=broken,
        raw_name=raw(name),
        raw_path=raw(shown) if shown is not None else None,
    )


def base_name(path: bytes) -> bytes:
    """Return the last component of a path, without trailing slashes; ``.`` and ``..`` are not resolved."""
    return os.path.basename(path.rstrip(b"/")) or b"/"


class Info:
    """Describe single files and compute their digests."""

    def __init__(self, workdir: Workdir, workers: WorkerPool, bulk: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers
        self._bulk = bulk

    async def info(self, path: str, hashes: str | None) -> FileInfo:
        """Describe a file, following links."""
        target = self._workdir.resolve(path)
        found = await self._workers.run(self._info, target)
        if hashes:
            stop = threading.Event()
            found.hashes = await self._bulk.run_until(stop, _digest, target, _algorithms(hashes), stop)
        return found

    def _info(self, path: bytes) -> FileInfo:
        os.stat(path)  # a broken link is a missing file here, unlike in a listing
        return describe(path, base_name(path), OwnerNames())


def _algorithms(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in HASHES]
    if unknown:
        raise BadRequest(f"bad request: unknown hash {unknown[0]}, one of {', '.join(HASHES)}")
    return names


def _digest(path: bytes, algorithms: list[str], stop: threading.Event) -> dict[str, str]:
    with contextlib.closing(Source(path)) as source:
        digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        offset = 0
        while not stop.is_set() and (block := source.read(BLOCK, offset)):
            offset += len(block)
            for digest in digests.values():
                digest.update(block)
        return {name: digest.hexdigest() for name, digest in digests.items()}
