"""Copy, move and delete."""

from __future__ import annotations

import errno
import os
import stat
import threading

from toolbox.errors import BadRequest, Conflict, InternalError, InvalidPath, from_os_error
from toolbox.fs.copying import Totals, check_apart, place_copy
from toolbox.fs.wire import CopyResponse
from toolbox.host.journal import Journal
from toolbox.host.paths import Workdir, show
from toolbox.host.removal import remove
from toolbox.host.syscalls import rename_new
from toolbox.host.worker_pool import WorkerPool


class Moves:
    """Copy and move, across file systems too, and delete."""

    def __init__(self, workdir: Workdir, workers: WorkerPool, journal: Journal) -> None:
        self._workdir = workdir
        self._workers = workers
        self._journal = journal

    def _ends(self, source: str, destination: str) -> tuple[bytes, bytes]:
        if not source or not destination:
            raise BadRequest("bad request: source and destination paths are required")
        return self._workdir.resolve(source).rstrip(b"/"), self._workdir.resolve(destination).rstrip(b"/")

    async def copy(self, source: str, destination: str, *, overwrite: bool) -> CopyResponse:
        """Copy a file or tree; an existing destination is a conflict, except a file with ``overwrite``."""
        stop = threading.Event()
        ends = self._ends(source, destination)
        totals = await self._workers.run_until(stop, self._copy, *ends, stop, overwrite)
        return CopyResponse(files=totals.files, bytes=totals.size, skipped=[show(path) for path in totals.skipped])

    def _copy(self, source: bytes, destination: bytes, stop: threading.Event, overwrite: bool) -> Totals:
        check_apart(source, destination)
        if os.path.lexists(destination) and (not overwrite or os.path.isdir(destination) or os.path.isdir(source)):
            raise Conflict(f"conflict: destination already exists: {show(destination)}")
        return place_copy(source, destination, self._journal, stop, overwrite=overwrite)

    async def move(self, source: str, destination: str) -> None:
        """Move a file, link or tree; an existing destination is never replaced."""
        stop = threading.Event()
        old, new = self._ends(source, destination)
        await self._workers.run_until(stop, self._move, _bare(old), _bare(new), stop)

    def _move(self, source: bytes, destination: bytes, stop: threading.Event) -> None:
        # Both checks give the error the path it is about; that of rename names only the source.
        os.lstat(source)
        os.stat(os.path.dirname(destination))
        if os.path.lexists(destination):
            raise Conflict(f"conflict: destination already exists: {show(destination)}")
        try:
            rename_new(source, destination)
        except FileExistsError as error:
            raise Conflict(f"conflict: destination already exists: {show(destination)}") from error
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise InvalidPath(f"{show(destination)} is inside {show(source)}") from error
            if error.errno != errno.EXDEV:
                raise
            self._across(source, destination, stop)

    def _across(self, source: bytes, destination: bytes, stop: threading.Event) -> None:
        check_apart(source, destination)
        place_copy(source, destination, self._journal, stop, overwrite=False)
        # From here on the data exists twice; a failure must say so, or the client repeats the move.
        try:
            remove(source, recursive=True)
        except OSError as error:
            known = from_os_error(error)
            message = f"{show(source)} was copied to {show(destination)} but not removed: {known.message}"
            raise (type(known) if known.status == 403 else InternalError)(message) from error

    async def delete(self, path: str, *, recursive: bool) -> None:
        """Remove a file or link, or with ``recursive`` a directory and all below it."""
        await self._workers.run(_delete, self._workdir.resolve(path), recursive)


def _bare(path: bytes) -> bytes:
    """Strip trailing slashes: with one, the kernel follows a link instead of acting on it."""
    return path.rstrip(b"/") or b"/"


def _delete(path: bytes, recursive: bool) -> None:
    bare = _bare(path)
    status = os.lstat(bare)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(bare)
        return
    root = os.stat("/")  # by identity: "/usr/.." is the root too
    if (status.st_dev, status.st_ino) == (root.st_dev, root.st_ino):
        raise InvalidPath("the root directory cannot be deleted")
    if not recursive:
        raise BadRequest(f"bad request: cannot delete directory without recursive flag: {show(path)}")
    remove(os.path.realpath(bare) if os.path.basename(bare) in (b".", b"..") else bare, recursive=True)
