"""What terminals show: drawn when somebody asks, in a thread, and from then on only what is new.

A terminal that nobody looks at costs nothing, and one that floods is not slowed: what is too much to draw is skipped,
as only the last of it can be seen anyway.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from toolbox.host.worker_pool import WorkerPool
from toolbox.process.terminals.terminal import Resize, Terminal
from toolbox.process.terminals.viewer import boundary, first_offset
from toolbox.process.terminals.wire import Cursor, ScreenResponse

if TYPE_CHECKING:
    from toolbox.process.terminals.picture import Drawn, Picture, Size

# Half a second of drawing.
MOST = 256 * 1024


class _View:
    """How far one terminal is drawn."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.picture: Picture | None = None
        self.offset = 0


class Screens:
    """Draw terminals."""

    def __init__(self) -> None:
        self.workers = WorkerPool("terminal-screen", 1)
        self._views: weakref.WeakKeyDictionary[Terminal, _View] = weakref.WeakKeyDictionary()

    async def show(self, terminal: Terminal) -> ScreenResponse:
        """Return what a terminal shows now."""
        view = self._views.setdefault(terminal, _View())
        async with view.lock:
            end = terminal.output.size
            start = await self._start(terminal, view, end)
            data = [chunk async for chunk in terminal.output.chunks(start, end)]
            sizes = [each for each in terminal.sizes if start <= each.offset]
            if view.picture is None:
                before = [each for each in terminal.sizes if each.offset <= start]
                sizes.insert(0, before[-1] if before else terminal.sizes[0])
            drawn = await self.workers.run(_play, view, [(chunk.offset, chunk.data) for chunk in data], sizes)
            view.offset = end
        return ScreenResponse(
            text=drawn.text,
            cursor=Cursor(row=drawn.row, col=drawn.col, hidden=drawn.hidden),
            title=drawn.title,
            cols=drawn.cols,
            rows=drawn.rows,
            alternate=drawn.alternate,
            offset=end,
            active=terminal.active,
        )

    async def close(self) -> None:
        """End the thread."""
        await self.workers.close()

    async def _start(self, terminal: Terminal, view: _View, end: int) -> int:
        """Return where to draw from: where it stopped, or if that is too far back, near the end on a new picture."""
        first = first_offset(terminal.output)
        if view.picture is not None and view.offset >= first and end - view.offset <= MOST:
            return view.offset
        view.picture = None
        oldest = max(first, end - MOST)
        return await boundary(terminal.output, oldest) if oldest else 0


def _play(view: _View, data: list[tuple[int, bytes]], sizes: list[Resize]) -> Drawn:
    from toolbox.process.terminals.picture import Picture

    if view.picture is None:
        first = sizes.pop(0)
        view.picture = Picture(first.cols, first.rows)
    return view.picture.play(_steps(data, sizes))


def _steps(data: list[tuple[int, bytes]], sizes: list[Resize]) -> list[bytes | Size]:
    """Put output and changes of the size in order; a change cuts the output that came around it."""
    from toolbox.process.terminals.picture import Size

    steps: list[bytes | Size] = []
    for offset, block in data:
        done = 0
        while sizes and sizes[0].offset < offset + len(block):
            cut = max(sizes[0].offset - offset, done)
            steps += (block[done:cut], Size(sizes[0].cols, sizes[0].rows))
            done = cut
            del sizes[0]
        steps.append(block[done:])
    return [*steps, *(Size(each.cols, each.rows) for each in sizes)]
