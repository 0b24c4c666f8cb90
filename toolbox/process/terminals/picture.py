"""Render the output of a terminal as text; the only module that uses pyte. Blocks; run it in a thread."""

from __future__ import annotations

import contextlib
import copy
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import pyte  # noqa: TID253 - this is the leaf, and it is loaded in a thread

from toolbox.process.terminals.terminal import Resize
from toolbox.process.terminals.wire import Cursor

# Bytes drawn between two releases of the GIL: about a millisecond.
PIECE = 512
HISTORY_MODES = frozenset({47, 1047, 1049})
# Sequences that pyte prints instead of ignoring them: device control and similar strings, operating system commands
# other than titles, and control sequences with a private letter, with colons or with intermediate characters.
_FOREIGN = re.compile(
    rb"\x1b[PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\](?![02];)[^\x07\x1b]*(?:\x07|\x1b\\)|"
    rb"\x1b\[[<=>][0-?]*[ -/]*[@-~]|\x1b\[[0-?]*:[0-?]*[ -/]*[@-~]|\x1b\[[0-?]*[ -/]+[@-~]"
)
# An incomplete sequence at the end of a piece of output.
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[PX^_\]][^\x07\x1b]*\x1b?)?\Z")
# A longer sequence is not waited for.
LONGEST = 4096


class _Screen(pyte.Screen):
    """A screen with the alternate buffer of full-screen programs, which pyte does not have."""

    saved: tuple[dict[int, Any], Any] | None = None

    def set_mode(self, *modes: int, **options: Any) -> None:
        """Switch modes on."""
        if options.get("private") and HISTORY_MODES.intersection(modes) and self.saved is None:
            self.saved = (dict(self.buffer), copy.copy(self.cursor))
            self.buffer.clear()
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        """Switch modes off."""
        super().reset_mode(*modes, **options)
        if options.get("private") and HISTORY_MODES.intersection(modes) and self.saved is not None:
            lines, self.cursor = self.saved
            self.saved = None
            self.buffer.clear()
            self.buffer.update(lines)
            self.cursor.y = min(self.cursor.y, self.lines - 1)
            self.cursor.x = min(self.cursor.x, self.columns - 1)

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size; unlike pyte, remove lines at the top only if the cursor would not fit otherwise."""
        rows = lines or self.lines
        surplus = max(self.cursor.y + 1 - rows, 0)
        if rows < self.lines:
            kept = {y - surplus: line for y, line in self.buffer.items() if surplus <= y < rows + surplus}
            self.buffer.clear()
            self.buffer.update(kept)
            self.lines = rows
        super().resize(rows, columns)
        self.set_margins()
        self.cursor.y = min(self.cursor.y - surplus, rows - 1)
        self.cursor.x = min(self.cursor.x, self.columns - 1)

    def reset(self) -> None:
        """Start over."""
        self.saved = None
        super().reset()


class _Tolerant:
    """Forward events to the screen, and ignore errors: pyte raises for some sequences that programs use."""

    def __init__(self, screen: _Screen) -> None:
        self._screen = screen

    def __getattr__(self, name: str) -> Callable[..., None]:
        handler = getattr(self._screen, name)

        def handle(*arguments: Any, **options: Any) -> None:
            with contextlib.suppress(Exception):  # the picture then lacks the effect of this sequence
                handler(*arguments, **options)

        return handle


class Picture:
    """Draw output piece by piece."""

    def __init__(self, cols: int, rows: int) -> None:
        self._screen = _Screen(cols, rows)
        self._stream: Any = pyte.ByteStream(_Tolerant(self._screen))
        self._rest = b""

    def play(self, steps: Iterable[bytes | Resize]) -> dict[str, Any]:
        """Draw output and changes of the size in order; return the fields of the screen."""
        for step in steps:
            if isinstance(step, Resize):
                self._screen.resize(step.rows, step.cols)
            else:
                self._draw(step)
        return self._drawn()

    def _draw(self, data: bytes) -> None:
        data = self._rest + data
        unfinished = _UNFINISHED.search(data, max(len(data) - LONGEST, 0))
        end = unfinished.start() if unfinished is not None else len(data)
        self._rest = data[end:]
        clean = _FOREIGN.sub(b"", data[:end])
        for start in range(0, len(clean), PIECE):
            self._stream.feed(clean[start : start + PIECE])
            time.sleep(0)  # releases the GIL for the event loop; pyte is pure Python and holds it

    def _drawn(self) -> dict[str, Any]:
        screen = self._screen
        lines = [line.rstrip() for line in screen.display]
        return {
            "text": "\n".join(lines).rstrip("\n"),
            "cursor": Cursor(
                row=screen.cursor.y, col=min(screen.cursor.x, screen.columns - 1), hidden=screen.cursor.hidden
            ),
            "title": screen.title,
            "cols": screen.columns,
            "rows": screen.lines,
            "alternate": screen.saved is not None,
        }
