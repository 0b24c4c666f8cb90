"""One reader of a terminal: where it starts, and what it skips when it is too slow."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec

from toolbox.host.output_log import OutputLog
from toolbox.process.terminals.pace import Pace
from toolbox.runs.output import first_available

# A viewer whose offset is not kept any more continues this far from the end; at the oldest byte it would lag at once.
FRESH = 256 * 1024
# How far to search for the end of a line.
LINE = 64 * 1024


class Skip(msgspec.Struct, frozen=True):
    """Output up to ``offset`` is skipped."""

    offset: int


async def boundary(output_log: OutputLog, offset: int) -> int:
    """Return the start of a line at or after an offset: inside a line may be half an escape sequence."""
    page = await output_log.read(offset, LINE)
    if not page or page[0].offset == 0:
        return offset if not page else 0
    found = b"".join(chunk.data for chunk in page).find(b"\n")
    return page[0].offset + found + 1


class Viewer:
    """Read the output of one terminal; call ``Pace.left`` after it, or back-pressure pauses the terminal for ever."""

    def __init__(self, output_log: OutputLog, pace: Pace) -> None:
        self.offset = 0
        self._output_log = output_log
        self._pace = pace

    async def start(self, since: int | None, *, replay: bool) -> None:
        """Start at ``since`` if it is still kept, else at the oldest line; without ``replay`` at the end."""
        first = first_available(self._output_log)
        if not replay:
            self.offset = self._output_log.size
        elif since is not None and since >= first:
            self.offset = min(since, self._output_log.size)
        else:
            self.offset = await boundary(self._output_log, first)
        self._pace.moved(self, self.offset)

    async def output(self) -> AsyncGenerator[bytes | Skip, None]:
        """Yield the output until it ends; a chunk counts as read when the next one is requested."""
        while True:
            async with contextlib.aclosing(self._output_log.follow(self.offset)) as chunks:
                async for chunk in chunks:
                    if chunk.offset != self.offset:
                        break
                    yield chunk.data
                    self.offset = chunk.end
                    self._pace.moved(self, self.offset)
                else:
                    return
            self.offset = await boundary(self._output_log, max(self._output_log.size - FRESH, 0))
            self._pace.moved(self, self.offset)
            yield Skip(self.offset)
