"""Open files for download; of several, each when it is sent."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from urllib.parse import unquote_to_bytes

from toolbox.errors import (
    FileAccessDenied,
    FileMissing,
    FileReadFailed,
    InvalidBody,
    InvalidPath,
    ToolboxError,
    from_os_error,
)
from toolbox.host.files import Source
from toolbox.host.paths import Workdir, decode
from toolbox.host.worker_pool import WorkerPool


class Downloads:
    """Open files for reading."""

    def __init__(self, workdir: Workdir, workers: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers

    async def open(self, path: str) -> Source:
        """Open one file; the caller closes it."""
        try:
            return await self._workers.run(Source, self._workdir.resolve(path))
        except OSError as error:
            raise from_os_error(error, reading=True) from error

    def parts(self, paths: list[str], raw_paths: list[str] | None) -> AsyncIterator[tuple[str, Source | ToolboxError]]:
        """Yield each path with its open file, or with the error in place of it."""
        wanted = [*paths, *(decode(unquote_to_bytes(path)) for path in raw_paths or [])]
        if not wanted:
            raise InvalidBody('invalid body request: request body must be {"paths": [ ... ]} and non-empty')
        return self._parts(wanted)

    async def _parts(self, paths: list[str]) -> AsyncIterator[tuple[str, Source | ToolboxError]]:
        for path in paths:
            try:
                if not path:
                    raise InvalidPath("invalid file path: path is empty")
                opened: Source | ToolboxError = await self._workers.run(Source, self._workdir.resolve(path))
            except ToolboxError as error:
                opened = error
            except OSError as error:
                opened = explain(path, error)
            yield path, opened


def explain(path: str, error: OSError) -> ToolboxError:
    """Return the error of a part, in the wording of the reference server: the SDKs show it to their users."""
    known = from_os_error(error, reading=True)
    if isinstance(known, FileMissing):
        return FileMissing(f"file not found: {path}")
    if isinstance(known, FileAccessDenied):
        return FileAccessDenied(f"permission denied: {path}")
    if error.errno == errno.ENOTDIR or isinstance(known, InvalidPath):
        return InvalidPath(f"invalid file path: {known.message}")
    return FileReadFailed(f"failed to open file: {known.message}")
