"""Search contents with ripgrep, with the same results as our own scanner.

ripgrep stops at the first NUL byte of a file, or with ``--binary`` treats it as a line end. A file with a NUL byte in
its first block is binary and skipped; one with a later NUL byte is searched again by our own scanner.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys

import msgspec

from toolbox.errors import BadRequest
from toolbox.fs.matches import Collector, Root
from toolbox.fs.scan import PROBE, Hit, window
from toolbox.fs.walk import PSEUDO_FILE_SYSTEMS
from toolbox.fs.wire import FindQuery
from toolbox.host.files import scratch
from toolbox.host.launch import Launch
from toolbox.host.procs import Procs
from toolbox.host.worker_pool import WorkerPool

_READ = 256 * 1024
# A longer record contains a line of text that only our own scanner handles in bounded memory.
_MAX_RECORD = 1024 * 1024
# Extends the first match of a line to its end: a record lists all matches, millions of them in a line of 30 MB.
_REST = r"(?-u:[^\n]*)"


class _Text(msgspec.Struct, rename={"base64": "bytes"}):
    text: str | None = None
    base64: bytes = b""

    def raw(self) -> bytes:
        return self.base64 if self.text is None else self.text.encode()


class _Span(msgspec.Struct):
    start: int


class _Data(msgspec.Struct):
    path: _Text | None = None
    lines: _Text | None = None
    line_number: int | None = None
    binary_offset: int | None = None
    submatches: list[_Span] = []


class _Record(msgspec.Struct):
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Record).decode


def find_binary() -> str | None:
    """Return the ``rg`` of the ``ripgrep`` package, else the one in ``PATH``, else None."""
    own = os.path.join(sys.prefix, "bin", "rg")
    return own if os.access(own, os.X_OK) else shutil.which("rg")


class Ripgrep:
    """Run one ripgrep process per search."""

    def __init__(self, procs: Procs, workers: WorkerPool) -> None:
        self._procs = procs
        self._workers = workers

    async def find(self, binary: str, root: Root, query: FindQuery, collector: Collector) -> list[bytes]:
        """Collect matches; return the files that our own scanner must search again."""
        readable, writable = os.pipe2(os.O_CLOEXEC)
        errors = await self._workers.run(scratch)
        reading: asyncio.Future[list[bytes]] | None = None
        try:
            where = os.path.dirname(root.path) if root.is_file else root.path
            argv = arguments(binary, root, query)
            child = await self._procs.spawn_raw(Launch(argv, {}, where, stdout=writable, stderr=errors))
            os.close(writable)
            writable = -1
            reading = asyncio.ensure_future(self._workers.run(_Reader(readable, collector).run))
            try:
                again = await asyncio.shield(reading)
            finally:
                # The end of the process is end of file for the reader, which cannot be cancelled.
                if not reading.done() or collector.full:
                    await child.terminate()
            await child.wait()
            await self._workers.run(_raise_error, errors, query.pattern)
            return again
        finally:
            if reading is not None:
                await asyncio.wait([reading])
            for fd in (readable, writable, errors):
                if fd >= 0:
                    os.close(fd)


def arguments(binary: str, root: Root, query: FindQuery) -> list[str | bytes]:
    """Build the command line; paths are relative to the working directory of ripgrep, because globs match that way."""
    argv: list[str | bytes] = [binary, "--json", "--no-config", "--no-messages", "--hidden", "--binary"]
    argv += ["--encoding=none", "--ignore-case" if query.ignore_case else "--case-sensitive"]
    argv += ["--no-require-git", "--glob=!.git"] if query.gitignore else ["--no-ignore"]
    if query.max_file_size:
        argv.append(f"--max-filesize={query.max_file_size}")
    argv += [f"--glob={glob}" for glob in query.include or []]
    argv += [f"--glob=!{glob}" for glob in query.exclude or []]
    if root.path.strip(b"/.") == b"":
        argv += [b"--glob=!/" + name for name in PSEUDO_FILE_SYSTEMS]
    pattern = query.pattern if query.regex else re.escape(query.pattern)
    return [*argv, f"--regexp=(?:{pattern}){_REST}", "--", os.path.basename(root.path) if root.is_file else "./"]


class _Reader:
    """Read the JSON records of ripgrep in a worker thread."""

    def __init__(self, fd: int, collector: Collector) -> None:
        self._fd = fd
        self._collector = collector
        self._path = b""
        self._hits: list[Hit] = []
        self._again: list[bytes] = []
        self._oversize = False

    def run(self) -> list[bytes]:
        """Read until end of file or until the collector is full; return the files to search again."""
        rest = b""
        while not self._collector.full and (block := os.read(self._fd, _READ)):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._take(line)
            if len(rest) > _MAX_RECORD:
                # The rest of it is discarded; what remains at its line end does not decode, and _take skips it.
                self._oversize, rest = True, rest[-1:]
        self._collector.truncated = self._collector.truncated or self._collector.full
        return self._again

    def _take(self, line: bytes) -> None:
        try:
            record = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._oversize = True
            return
        data = record.data
        if record.type == "begin" and data.path is not None:
            self._path, self._hits, self._oversize = data.path.raw().removeprefix(b"./"), [], False
        elif record.type == "match" and data.lines is not None:
            self._hits.append(_hit(data, data.lines.raw()))
        elif record.type == "end":
            self._end(data.binary_offset)

    def _end(self, binary_offset: int | None) -> None:
        if binary_offset is not None and binary_offset < PROBE:
            return
        if binary_offset is not None or self._oversize:
            self._again.append(self._path)
        else:
            self._collector.add(self._path, self._hits)


def _hit(data: _Data, line: bytes) -> Hit:
    start = data.submatches[0].start if data.submatches else 0
    content, truncated = window(line.removesuffix(b"\n"), start)
    return Hit(data.line_number or 0, content, truncated)


def _raise_error(fd: int, pattern: str) -> None:
    """Raise what ripgrep wrote to standard error: with ``--no-messages`` only errors of the pattern are left."""
    text = os.pread(fd, 4096, 0).decode("utf-8", "replace").strip()
    if text:
        text = text.replace(f"(?:{pattern}){_REST}", pattern)
        reason = " ".join(line.strip() for line in text.splitlines()).removeprefix("rg: ")
        raise BadRequest(f"bad request: invalid pattern: {reason}")


def usable(query: FindQuery) -> bool:
    """Tell whether the texts can be arguments of ripgrep, which must be UTF-8 without NUL bytes."""
    texts = [query.pattern, *(query.include or []), *(query.exclude or [])]
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for text in texts for char in text)
