"""The unified diff of a replacement, built in one pass from the offsets of the matches.

``difflib`` is quadratic in the number of lines; here the differences are known and need no comparison.
"""

from __future__ import annotations

import itertools

import msgspec

from toolbox.errors import TooLarge
from toolbox.host.files import Source
from toolbox.host.paths import show

MAX_SIZE = 8 * 1024 * 1024
_CONTEXT = 3


class _Change(msgspec.Struct):
    """Old lines ``start:end`` become ``lines``."""

    start: int
    end: int
    lines: list[bytes]


class Differ:
    """The diff between a file and its content after a replacement."""

    def __init__(self, source: Source, old: bytes, new: bytes) -> None:
        if source.size is None or source.size > MAX_SIZE:
            raise TooLarge(f"{show(source.path)}: file is over {MAX_SIZE} bytes, too large for a diff")
        self._name = show(source.path)
        self._data = source.read(MAX_SIZE, 0)
        self._lines = _split(self._data)
        self._old = old
        self._new = new

    def text(self) -> str:
        """Return the diff; empty if nothing would change."""
        if self._old == self._new:
            return ""
        parts = [f"--- {self._name}\n+++ {self._name}\n".encode()]
        shift = 0
        for group in self._groups():
            hunk, grown = self._hunk(group, shift)
            parts += hunk
            shift += grown
        return b"".join(parts).decode("utf-8", "replace")

    def _changes(self) -> list[_Change]:
        """List the changed lines; a match that spans several lines makes one change of all of them."""
        spans = list(itertools.accumulate(map(len, self._lines), initial=0))
        changes: list[_Change] = []
        index, at = 0, self._data.find(self._old)
        while at >= 0:
            while spans[index + 1] <= at:
                index += 1
            end, at = self._run(spans, index, at)
            changed = self._data[spans[index] : spans[end]].replace(self._old, self._new)
            changes.append(_Change(index, end, _split(changed)))
        return changes

    def _run(self, spans: list[int], end: int, at: int) -> tuple[int, int]:
        """Extend a change over all matches on its lines; return its end line and the offset of the next match."""
        # A match that removes a line end joins the next line to this one.
        joins = self._old.endswith(b"\n") and not self._new.endswith(b"\n")
        while True:
            stop = at + len(self._old)
            while spans[end] < stop:
                end += 1
            if joins and spans[end] == stop and end < len(self._lines):
                end += 1
            at = self._data.find(self._old, stop)
            if not 0 <= at < spans[end]:
                return end, at

    def _groups(self) -> list[list[_Change]]:
        groups: list[list[_Change]] = []
        for change in self._changes():
            if groups and change.start - groups[-1][-1].end <= 2 * _CONTEXT:
                groups[-1].append(change)
            else:
                groups.append([change])
        return groups

    def _hunk(self, group: list[_Change], shift: int) -> tuple[list[bytes], int]:
        first = max(0, group[0].start - _CONTEXT)
        last = min(len(self._lines), group[-1].end + _CONTEXT)
        body: list[bytes] = []
        at = first
        for change in group:
            body += _marked(b" ", self._lines[at : change.start])
            body += _marked(b"-", self._lines[change.start : change.end])
            body += _marked(b"+", change.lines)
            at = change.end
        body += _marked(b" ", self._lines[at:last])
        grown = sum(len(change.lines) - (change.end - change.start) for change in group)
        old, new = last - first, last - first + grown
        head = f"@@ -{_range(first, old)} +{_range(first + shift, new)} @@\n"
        return [head.encode(), *body], grown


def _range(start: int, length: int) -> str:
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _split(data: bytes) -> list[bytes]:
    r"""Split at ``\\n`` only: the other separators of ``splitlines`` are content."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _marked(mark: bytes, lines: list[bytes]) -> list[bytes]:
    return [mark + line + (b"" if line.endswith(b"\n") else b"\n\\ No newline at end of file\n") for line in lines]
