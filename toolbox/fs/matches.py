"""Collect the matches of both engines: grouped by file, in walk order, bounded."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from toolbox.fs.scan import Hit, Matcher, scan
from toolbox.fs.walk import order
from toolbox.fs.wire import FindQuery, Match, Matches
from toolbox.host.files import BLOCK
from toolbox.host.paths import clean, raw, show

MAX_MATCHES = 200_000
MAX_BYTES = 64 * 1024 * 1024


class Root(msgspec.Struct):
    """The directory or file to search; ``written`` is its path as the client sent it."""

    path: bytes
    written: bytes
    is_file: bool

    def absolute(self, relative: bytes) -> bytes:
        """Return the path to open a matching file by."""
        return self.path if self.is_file else os.path.join(self.path, relative)

    def shown(self, relative: bytes) -> bytes:
        """Return the path of a matching file in the response."""
        return self.written if self.is_file else clean(self.written, relative)


class Collector:
    """Collect matches by file until they are sorted; thread-safe."""

    def __init__(self, query: FindQuery) -> None:
        self.truncated = False
        self.limit = min(query.max_results or MAX_MATCHES, MAX_MATCHES)
        self._context = query.context
        self._files: dict[bytes, list[Hit]] = {}
        self._count = 0
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Tell whether the memory bound is reached; ``limit``, which the client sets, is applied after sorting."""
        return self._count >= MAX_MATCHES or self._bytes >= MAX_BYTES

    def add(self, relative: bytes, hits: Iterable[Hit]) -> None:
        """Add the matches of one file."""
        for hit in hits:
            with self._lock:
                if self.full:
                    self.truncated = True
                    return
                self._files.setdefault(relative, []).append(hit)
                self._count += 1
                self._bytes += len(hit.content)

    def result(self, root: Root) -> Matches:
        """Return all matches in the order of a depth-first walk by name."""
        matches = Matches()
        for relative in sorted(self._files, key=order):
            hits = self._files[relative]
            room = self.limit - len(matches)
            self.truncated = self.truncated or len(hits) > room
            matches.extend(self._of_file(root, relative, hits[:room]))
        return matches

    def _of_file(self, root: Root, relative: bytes, hits: list[Hit]) -> Iterator[Match]:
        path = root.shown(relative)
        name, raw_name = show(path), raw(path)
        context = _context(root.absolute(relative), hits, self._context) if self._context and hits else {}
        for hit in hits:
            before, after = context.get(hit.line, (None, None))
            yield Match(
                file=name,
                line=hit.line,
                content=show(hit.content),
                truncated=hit.truncated,
                raw_file=raw_name,
                before=before,
                after=after,
            )


def rescan(root: Root, files: list[bytes], match: Matcher, collector: Collector, stop: threading.Event) -> None:
    """Search files with our own scanner; unreadable files are skipped."""
    for relative in files:
        with contextlib.suppress(OSError):
            collector.add(relative, scan(root.absolute(relative), match, stop))


def _context(path: bytes, hits: list[Hit], count: int) -> dict[int, tuple[list[str], list[str]]]:
    """Read the lines before and after each match in one pass; keys are line numbers."""
    wanted = {hit.line for hit in hits}
    found: dict[int, tuple[list[str], list[str]]] = {}
    recent: deque[str] = deque(maxlen=count)
    open_after: deque[tuple[int, list[str]]] = deque()
    try:
        with open(path, "rb", buffering=BLOCK) as file:
            for number, line in enumerate(iter(lambda: file.readline(BLOCK), b""), 1):
                text = show(line[: 64 * 1024].rstrip(b"\r\n"))
                for _, after in open_after:
                    after.append(text)
                while open_after and len(open_after[0][1]) >= count:
                    open_after.popleft()
                if number in wanted:
                    found[number] = (list(recent), [])
                    open_after.append((number, found[number][1]))
                elif number > max(wanted) and not open_after:
                    break
                recent.append(text)
    except OSError:
        pass
    return found
