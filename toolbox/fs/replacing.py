"""Replace text in files: bytewise, all or nothing per file, in constant memory."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from toolbox.errors import Conflict, InvalidPath, ToolboxError, from_os_error
from toolbox.fs.diff import Differ
from toolbox.fs.wire import ReplaceRequest, ReplaceResult
from toolbox.host.files import BLOCK, Draft, Source
from toolbox.host.journal import Journal
from toolbox.host.paths import Workdir, decode, raw, show
from toolbox.host.worker_pool import WorkerPool


class Replace:
    """Replace a literal text in many files."""

    def __init__(self, workdir: Workdir, workers: WorkerPool, journal: Journal) -> None:
        self._workdir = workdir
        self._workers = workers
        self._journal = journal

    async def replace(self, request: ReplaceRequest) -> list[ReplaceResult]:
        """Change each file and report the result of each; after a failure the next file is processed."""
        old, new = request.pattern.encode(), request.new_value.encode()
        files = [*request.files, *(decode(unquote_to_bytes(path)) for path in request.raw_files or [])]
        stop = threading.Event()
        return await self._workers.run_until(stop, self._all, files, old, new, bool(request.dry_run), stop)

    def _all(self, files: list[str], old: bytes, new: bytes, dry: bool, stop: threading.Event) -> list[ReplaceResult]:
        results = []
        for file in files:
            if stop.is_set():
                break
            results.append(self._reported(file, old, new, dry=dry))
        return results

    def _reported(self, file: str, old: bytes, new: bytes, *, dry: bool) -> ReplaceResult:
        path = file.encode("utf-8", "surrogateescape")
        result = ReplaceResult(file=show(path), raw_file=raw(path), success=True)
        try:
            if not file:
                raise InvalidPath("path is empty")
            self._one(self._workdir.resolve(file), old, new, result, dry=dry)
        except (OSError, ToolboxError) as error:
            known = from_os_error(error) if isinstance(error, OSError) else error
            result.success, result.error, result.replacements, result.diff = False, known.message, None, None
        return result

    def _one(self, path: bytes, old: bytes, new: bytes, result: ReplaceResult, *, dry: bool) -> None:
        with contextlib.closing(Source(path)) as source:
            result.replacements = _count(source, old)
            if dry:
                result.diff = Differ(source, old, new).text() if result.replacements else ""
            elif result.replacements and old != new:
                self._write(source, path, old, new)

    def _write(self, source: Source, path: bytes, old: bytes, new: bytes) -> None:
        draft = Draft(path, self._journal)
        try:
            for piece in replaced(blocks(source), old, new):
                draft.write(piece)
            _check_unchanged(source, path)
        except BaseException:
            draft.abort()
            raise
        draft.commit()


def blocks(source: Source) -> Iterator[bytes]:
    """Yield the content of a file in blocks."""
    offset = 0
    while block := source.read(BLOCK, offset):
        yield block
        offset += len(block)


def replaced(pieces: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    """Replace every occurrence in a stream, also one that spans several pieces."""
    carry = b""
    for piece in pieces:
        data = carry + piece
        cut = _cut(data, old)
        yield data[:cut].replace(old, new)
        carry = data[cut:]
    yield carry


def _cut(data: bytes, old: bytes) -> int:
    """Return the first offset after the last complete occurrence at which the next one can start."""
    at = 0
    while (found := data.find(old, at)) >= 0:
        at = found + len(old)
    return max(at, len(data) - len(old) + 1)


def _count(source: Source, old: bytes) -> int:
    total, carry = 0, b""
    for block in blocks(source):
        data = carry + block
        total += data.count(old)
        carry = data[_cut(data, old) :]
    return total


def _check_unchanged(source: Source, path: bytes) -> None:
    """Refuse to overwrite a file that another process has changed since it was opened."""
    now, then = os.stat(path), source.status
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (then.st_ino, then.st_size, then.st_mtime_ns):
        raise Conflict(f"{show(path)}: file changed while it was read")
