"""Screens of terminals, drawn on request in a thread; a later request draws only the new output.

A terminal without requests costs nothing. Much output does not slow a terminal either: only the end of it is drawn.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from toolbox.host.worker_pool import WorkerPool
from toolbox.process.terminals.terminal import Resize, Terminal
from toolbox.process.terminals.viewer import boundary
from toolbox.process.terminals.wire import ScreenResponse
from toolbox.runs.output import first_available

if TYPE_CHECKING:
    from toolbox.process.terminals.picture import Picture

# How much output is drawn at most: half a second of drawing.
MOST = 256 * 1024


class _Drawing:
    """The picture of one terminal, and the offset up to which it is drawn."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.picture: Picture | None = None
        self.offset = 0


class Screens:
    """Draw terminals."""

    def __init__(self) -> None:
        self.workers = WorkerPool("terminal-screen", 1)
        self._drawings: weakref.WeakKeyDictionary[Terminal, _Drawing] = weakref.WeakKeyDictionary()

    async def show(self, terminal: Terminal) -> ScreenResponse:
        """Return the current screen of a terminal."""
        drawing = self._drawings.setdefault(terminal, _Drawing())
        async with drawing.lock:
            end = terminal.output.size
            start = await self._start(terminal, drawing, end)
            data = [chunk async for chunk in terminal.output.chunks(start, end)]
            sizes = [each for each in terminal.sizes if start <= each.offset]
            if drawing.picture is None:
                before = [each for each in terminal.sizes if each.offset <= start]
                sizes.insert(0, before[-1] if before else terminal.sizes[0])
            blocks = [(chunk.offset, chunk.data) for chunk in data]
            drawn = await self.workers.run(_play, drawing, blocks, sizes)
            drawing.offset = end
        return ScreenResponse(**drawn, offset=end, active=terminal.active)

    async def close(self) -> None:
        """End the thread."""
        await self.workers.close()

    async def _start(self, terminal: Terminal, drawing: _Drawing, end: int) -> int:
        """Return where to draw from: where the picture ends, or near the end of the output on a new picture."""
        first = first_available(terminal.output)
        if drawing.picture is not None and drawing.offset >= first and end - drawing.offset <= MOST:
            return drawing.offset
        drawing.picture = None
        oldest = max(first, end - MOST)
        return await boundary(terminal.output, oldest) if oldest else 0


def _play(drawing: _Drawing, data: list[tuple[int, bytes]], sizes: list[Resize]) -> dict[str, Any]:
    from toolbox.process.terminals.picture import Picture

    if drawing.picture is None:
        first = sizes.pop(0)
        drawing.picture = Picture(first.cols, first.rows)
    return drawing.picture.play(_steps(data, sizes))


def _steps(data: list[tuple[int, bytes]], sizes: list[Resize]) -> list[bytes | Resize]:
    """Merge output and changes of the size, ordered by offset; a change splits the output around it."""
    steps: list[bytes | Resize] = []
    for offset, block in data:
        done = 0
        while sizes and sizes[0].offset < offset + len(block):
            cut = max(sizes[0].offset - offset, done)
            steps += (block[done:cut], sizes.pop(0))
            done = cut
        steps.append(block[done:])
    return [*steps, *sizes]
