"""Stream a tree as tar or zip, in constant memory.

A worker thread writes the archive into a pipe and the event loop sends what it reads from it. A full pipe is the
back-pressure of a slow client; a disconnect closes the read end, so the thread ends with ``EPIPE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from typing import IO, Any

from toolbox.errors import BadRequest
from toolbox.fs.globs import Glob
from toolbox.fs.info import base_name
from toolbox.fs.tree import entries
from toolbox.fs.walk import PSEUDO_FILE_SYSTEMS
from toolbox.fs.wire import ArchiveQuery
from toolbox.host.paths import Workdir, decode, show
from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_PIPE = 1024 * 1024
# Level 1 compresses three times as fast as the default; the archive grows by 10 %.
_LEVEL = 1
# The earliest time a zip member can carry.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class Archives:
    """Pack trees into archives."""

    def __init__(self, workdir: Workdir, workers: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers

    async def pack(self, query: ArchiveQuery) -> tuple[str, AsyncGenerator[bytes]]:
        """Validate the root; return the file name of the archive and its bytes as a stream."""
        root = self._workdir.resolve(query.path)
        mode = (await self._workers.run(os.stat, root)).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise BadRequest(f"bad request: neither a file nor a directory: {show(root)}")
        exclude = [Glob(pattern) for pattern in query.exclude or []]
        name = decode(base_name(root)).strip("/.") or "root"
        return f"{name}.{query.format}", self._stream(root, query.format, exclude)

    async def _stream(self, root: bytes, kind: str, exclude: list[Glob]) -> AsyncGenerator[bytes]:
        readable, writable = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # EPERM over fs.pipe-user-pages-soft; the default size works too
            fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, _PIPE)
        packing = asyncio.ensure_future(self._workers.run(_pack, writable, root, kind, exclude))
        reader = asyncio.StreamReader(limit=_CHUNK)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader),
            open(readable, "rb", buffering=0),  # noqa: ASYNC230, SIM115 - a pipe
        )
        try:
            while chunk := await reader.read(_CHUNK):
                yield chunk
            await asyncio.shield(packing)
        finally:
            transport.close()
            await asyncio.wait([packing])
            packing.exception()


def _pack(fd: int, root: bytes, kind: str, exclude: list[Glob]) -> None:
    with open(fd, "wb", buffering=_CHUNK) as pipe:
        writer = _Zip(pipe) if kind == "zip" else _Tar(pipe, packed=kind == "tar.gz")
        try:
            for relative, path, status in _members(root, exclude):
                try:
                    writer.add(decode(relative), path, status)
                except (PermissionError, FileNotFoundError) as error:
                    log.info("archive member skipped: %s", error)
            writer.close()
        except BaseException:
            # The pipe is broken, and a finaliser of the unfinished archive must not write into it.
            writer.abandon()
            raise


def _members(root: bytes, exclude: list[Glob]) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    """Yield files, directories and links below the root, directories before their contents."""
    status = os.stat(root)
    if not stat.S_ISDIR(status.st_mode):
        yield base_name(root), os.path.realpath(root), status  # _open_regular refuses to follow a link
        return
    skipped = PSEUDO_FILE_SYSTEMS if os.path.realpath(root) == b"/" else frozenset()
    cut = len(os.path.join(root, b""))
    waiting = [(entry, entry.name in skipped) for entry in reversed(entries(root))]
    while waiting:
        entry, excluded = waiting.pop()
        relative = entry.path[cut:]
        if excluded or any(glob.matches(decode(entry.name), decode(relative)) for glob in exclude):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # deleted since its directory was read
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield relative, entry.path, status
        if stat.S_ISDIR(status.st_mode):
            with contextlib.suppress(OSError):  # an unreadable directory is packed without its contents
                waiting += [(inner, False) for inner in reversed(entries(entry.path))]


def _open_regular(path: bytes) -> IO[bytes]:
    """Open a regular file; it may have been replaced since its ``stat``, by a link or by a FIFO that would block."""
    return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)


class _CountingPipe:
    """A pipe with ``tell()``, the only method of a seekable file that ``TarFile`` needs to write."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._position = 0

    def write(self, data: bytes) -> int:
        self._position += len(data)
        return int(self._pipe.write(data))

    def tell(self) -> int:
        return self._position


class _Tar:
    """Write tar in pax format, the only one for names of any bytes and any length."""

    def __init__(self, pipe: Any, *, packed: bool) -> None:
        import gzip
        import tarfile

        self._gzip = gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=_LEVEL, mtime=0) if packed else None
        # Not the stream mode "w|": its finaliser flushes, into a descriptor that may be closed or reused by then.
        self._tar = tarfile.TarFile(fileobj=self._gzip or _CountingPipe(pipe), mode="w", format=tarfile.PAX_FORMAT)  # type: ignore[arg-type]
        self._types = {stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
        self._info = tarfile.TarInfo

    def add(self, name: str, path: bytes, status: os.stat_result) -> None:
        info = self._info(name)
        info.mtime = int(status.st_mtime)
        info.mode = stat.S_IMODE(status.st_mode)
        info.uid, info.gid = status.st_uid, status.st_gid
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            with _open_regular(path) as file:
                info.size = os.fstat(file.fileno()).st_size
                self._tar.addfile(info, file)
            return
        info.type = self._types[kind]
        if kind == stat.S_IFLNK:
            info.linkname = decode(os.readlink(path))
        self._tar.addfile(info)

    def close(self) -> None:
        self._tar.close()
        if self._gzip is not None:
            self._gzip.close()

    def abandon(self) -> None:
        # GzipFile.close(), which its finaliser calls, writes the trailer unless there is no file.
        if self._gzip is not None:
            self._gzip.fileobj = None  # type: ignore[assignment]


class _Zip:
    """Write zip; bytes of a name that are not UTF-8 are replaced, as zip cannot carry them."""

    def __init__(self, pipe: Any) -> None:
        import zipfile

        self._zip = zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._info = zipfile.ZipInfo
        self._method = zipfile.ZIP_DEFLATED

    def add(self, name: str, path: bytes, status: os.stat_result) -> None:
        import shutil
        import time

        kind = stat.S_IFMT(status.st_mode)
        shown = show(name.encode("utf-8", "surrogateescape")) + ("/" if kind == stat.S_IFDIR else "")
        info = self._info(shown, max(time.localtime(status.st_mtime)[:6], _ZIP_EPOCH))
        info.external_attr = (status.st_mode & 0xFFFF) << 16
        info.compress_type = self._method
        if kind == stat.S_IFDIR:
            self._zip.writestr(info, b"")
        elif kind == stat.S_IFLNK:
            self._zip.writestr(info, os.readlink(path))
        else:
            with _open_regular(path) as file, self._zip.open(info, "w", force_zip64=True) as out:
                shutil.copyfileobj(file, out, _CHUNK)

    def close(self) -> None:
        self._zip.close()

    def abandon(self) -> None:
        # ZipFile.close(), which its finaliser calls, writes the central directory unless there is no file.
        self._zip.fp = None
