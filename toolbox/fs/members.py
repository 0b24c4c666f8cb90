"""Read the members of tar and zip archives; the format modules are imported on first use, in a worker thread."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO

import msgspec

from toolbox.errors import BadRequest


class ArchiveMember(msgspec.Struct, frozen=True):
    """One entry of an archive: ``target`` is that of a link, ``open`` returns the content."""

    name: bytes
    kind: str
    mode: int
    mtime: float
    open: Callable[[], IO[bytes]]
    target: bytes = b""


def members(fd: int, kind: str | None) -> Generator[ArchiveMember]:
    """Yield the members of an archive; without ``kind`` the format is detected by the content."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(os.dup(fd), "rb") as file:
        is_zip = kind == "zip" or (kind is None and file.read(2) == b"PK")
        file.seek(0)
        yield from _zip(file) if is_zip else _tar(file)


@contextlib.contextmanager
def damage_as_bad_request() -> Iterator[None]:
    """Convert the exceptions of the format modules for a damaged archive to ``BadRequest``."""
    import tarfile
    import zipfile
    from gzip import BadGzipFile
    from lzma import LZMAError

    damage = (tarfile.TarError, zipfile.BadZipFile, BadGzipFile, LZMAError, zlib.error, EOFError, NotImplementedError)
    try:
        yield
    except damage as error:
        raise BadRequest(f"bad request: archive cannot be read: {str(error).lower() or 'unexpected end'}") from error


def _tar(file: IO[bytes]) -> Iterator[ArchiveMember]:
    import tarfile

    kinds = {
        tarfile.DIRTYPE: "directory",
        tarfile.SYMTYPE: "symlink",
        tarfile.LNKTYPE: "hardlink",
        tarfile.CHRTYPE: "device",
        tarfile.BLKTYPE: "device",
        tarfile.FIFOTYPE: "pipe",
    }
    with tarfile.open(fileobj=file, mode="r:*", errorlevel=2) as tar:
        for info in tar:
            kind = "file" if info.isreg() else kinds.get(info.type, "special file")
            yield ArchiveMember(
                _bytes(info.name),
                kind,
                info.mode,
                info.mtime,
                lambda info=info: tar.extractfile(info) or io.BytesIO(),  # type: ignore[misc]
                _bytes(info.linkname),
            )
            tar.members = []  # type: ignore[attr-defined]  # else TarFile keeps every member in memory


def _zip(file: IO[bytes]) -> Iterator[ArchiveMember]:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise BadRequest(f"bad request: archive is encrypted: {info.filename}")
            mode = info.external_attr >> 16  # 0 if the archive was made on Windows
            kind = _zip_kind(info.is_dir(), mode)
            yield ArchiveMember(
                _bytes(info.filename),
                kind,
                mode & 0o777 or (0o755 if kind == "directory" else 0o644),
                time.mktime((*info.date_time, 0, 0, -1)),
                lambda info=info: archive.open(info),  # type: ignore[misc]
                archive.read(info)[:4096] if kind == "symlink" else b"",
            )


def _zip_kind(is_dir: bool, mode: int) -> str:
    kind = stat.S_IFMT(mode)
    if is_dir:
        return "directory"
    return {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFDIR: "directory"}.get(kind, "device")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
