"""Our own content scanner, in bounded memory for files and lines of any length.

It replaces ripgrep where that is missing, and rescans the few files that ripgrep cannot search exactly.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator

import msgspec

from toolbox.errors import BadRequest
from toolbox.host.files import BLOCK

# A file with a NUL byte in its first 8 KiB is binary; the reference server checks 512 bytes.
PROBE = 8192
# A longer line is cut to a window around the match.
WINDOW = 64 * 1024
# Above this length a line is matched block by block; the overlap finds a match across two blocks.
_LONG = 4 * 1024 * 1024
_OVERLAP = 64 * 1024
# For one search of a regular expression, which reads at most ``_LONG`` and a block.
_SECONDS = 5.0


class Hit(msgspec.Struct):
    """A matching line; ``truncated`` if ``content`` is a window of it."""

    line: int
    content: bytes
    truncated: bool


# Takes data and an offset; returns the offset of the first match from there on, or -1.
Matcher = Callable[[bytes, int], int]


def matcher(pattern: bytes, *, regex: bool, ignore_case: bool) -> Matcher:
    """Build a matcher for a literal or a regular expression."""
    if not regex and not ignore_case:
        return lambda data, at: data.find(pattern, at)
    # ``re`` holds the GIL for the whole search, however long that takes.
    import regex as engine

    try:
        source = pattern if regex else re.escape(pattern)
        compiled = engine.compile(source, engine.MULTILINE | (engine.IGNORECASE if ignore_case else 0))
    except engine.error as error:
        raise BadRequest(f"bad request: invalid pattern: {error}") from error

    def search(data: bytes, at: int) -> int:
        try:
            found = compiled.search(data, at, timeout=_SECONDS, concurrent=True)
        except TimeoutError as error:
            raise BadRequest("bad request: pattern takes too long on a line") from error
        return found.start() if found else -1

    return search


def scan(path: bytes, match: Matcher, stop: threading.Event, *, max_size: int | None = None) -> Iterator[Hit]:
    """Yield the matching lines of a regular text file; nothing for other kinds of file and for binary files."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or (max_size is not None and status.st_size > max_size):
            return
        block = os.read(fd, BLOCK)
        if b"\0" in block[:PROBE]:
            return
        lines = _Lines(lambda data, at: -1 if stop.is_set() else match(data, at))
        while block and not stop.is_set():
            yield from lines.feed(block)
            block = os.read(fd, BLOCK)
        yield from lines.end()
    finally:
        os.close(fd)


class _Lines:
    """Split blocks into lines and match them; of a line over ``_LONG`` only the tail is kept."""

    def __init__(self, match: Matcher) -> None:
        self._match = match
        self._carry = b""
        self._number = 1
        self._inside_long = False
        self._reported = False

    def feed(self, block: bytes) -> Iterator[Hit]:
        data = self._carry + block
        if self._inside_long:
            end = data.find(b"\n") + 1
            yield from self._long(data[:end] if end else data)
            if not end:
                self._carry = data[-_OVERLAP:]
                return
            data, self._inside_long = data[end:], False
            self._number += 1
        cut = data.rfind(b"\n") + 1
        yield from self._whole(data[:cut])
        self._carry = data[cut:]
        if len(self._carry) > _LONG:
            self._inside_long, self._reported = True, False
            yield from self._long(self._carry)
            self._carry = self._carry[-_OVERLAP:]

    def end(self) -> Iterator[Hit]:
        if self._inside_long:
            yield from self._long(self._carry)
        else:
            yield from self._whole(self._carry)

    def _long(self, data: bytes) -> Iterator[Hit]:
        found = -1 if self._reported else self._match(data, 0)
        if found >= 0:
            self._reported = True
            content, _ = window(data.rstrip(b"\n"), found)
            yield Hit(self._number, content, truncated=True)

    def _whole(self, data: bytes) -> Iterator[Hit]:
        counted = 0
        at = self._match(data, 0)
        while 0 <= at < len(data):
            start = data.rfind(b"\n", 0, at) + 1
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            self._number += data.count(b"\n", counted, start)
            counted = start
            content, truncated = window(data[start:end], at - start)
            yield Hit(self._number, content, truncated)
            at = self._match(data, end + 1) if end + 1 < len(data) else -1
        self._number += data.count(b"\n", counted)


def window(line: bytes, at: int) -> tuple[bytes, bool]:
    """Return a line without its line end, or the part around offset ``at`` and True if it is over ``WINDOW``."""
    line = line.removesuffix(b"\r")
    if len(line) <= WINDOW:
        return line, False
    start = max(0, min(at - WINDOW // 2, len(line) - WINDOW))
    return line[start : start + WINDOW], True
