"""List and create directories, change permissions."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from toolbox.errors import BadRequest, InvalidPath
from toolbox.fs.info import OwnerNames, describe
from toolbox.fs.permissions import change_permissions, parse_mode
from toolbox.fs.wire import Listing
from toolbox.host.files import make_parents
from toolbox.host.paths import Workdir, clean, encode, show
from toolbox.host.worker_pool import WorkerPool


def entries(path: bytes) -> list[os.DirEntry[bytes]]:
    """Return the entries of a directory, sorted by the bytes of their names."""
    with os.scandir(path) as found:
        return sorted(found, key=lambda entry: entry.name)


class Tree:
    """List and create directories, change permissions."""

    def __init__(self, workdir: Workdir, workers: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers

    async def list_dir(self, path: str | None, depth: str | None) -> Listing:
        """List a directory, ``depth`` levels deep, in depth-first order."""
        levels = _depth(depth)
        root = self._workdir.resolve_or_root(path)
        return await self._workers.run(_list, root, encode(path or ""), levels)

    async def make_folder(self, path: str, mode: str | None) -> None:
        """Create a directory and its parents; an existing directory is left unchanged."""
        await self._workers.run(_make, self._workdir.resolve(path), parse_mode(mode or "0755"))

    async def set_permissions(self, path: str, mode: str | None, owner: str | None, group: str | None) -> None:
        """Change mode, owner and group: what is given."""
        bits = parse_mode(mode) if mode else None
        await self._workers.run(change_permissions, self._workdir.resolve(path), bits, owner or "", group or "")


def _depth(text: str | None) -> int:
    if text is None or text == "":
        return 1
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise BadRequest("bad request: depth must be an integer >= 1")
    return int(text)


def _list(root: bytes, written: bytes, levels: int) -> Listing:
    names = OwnerNames()
    cut = len(os.path.join(root, b""))
    found = Listing()
    waiting: list[Iterator[os.DirEntry[bytes]]] = [iter(entries(root))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        shown = clean(b"", os.path.join(written, entry.path[cut:]))
        try:
            status = entry.stat(follow_symlinks=False)
            info = describe(entry.path, entry.name, names, shown=shown, link=status)
        except FileNotFoundError:  # deleted since its directory was read
            continue
        found.append(info)
        if len(waiting) < levels and info.is_dir and not info.is_symlink:
            waiting.append(_inside(entry.path))
    return found


def _inside(path: bytes) -> Iterator[os.DirEntry[bytes]]:
    try:
        return iter(entries(path))
    except OSError:
        return iter(())  # an unreadable directory is listed without its contents


def _make(path: bytes, mode: int) -> None:
    if os.path.isdir(path):
        return
    if os.path.lexists(path):
        raise InvalidPath(f"{show(path)}: exists and is not a directory")
    try:
        # Parents get the mode too, with write and search permission for us to create the next level.
        make_parents(os.path.dirname(path.rstrip(b"/")), (mode & 0o777) | stat.S_IWUSR | stat.S_IXUSR)
        os.mkdir(path, mode & 0o777)
    except FileExistsError as error:
        if os.path.isdir(path):
            return
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error
    # mkdir(2) applies the umask and ignores setuid and setgid.
    os.chmod(path, mode)
