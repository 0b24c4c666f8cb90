"""What the log endpoints need of a command: of a session, or the entrypoint."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.wire import Command, LogsQuery


class View(msgspec.Struct, frozen=True):
    """A description, a log, and whether the command has ended."""

    describe: Callable[[], Command]
    log: Log
    ended: Callable[[], bool]

    @classmethod
    def of(cls, command: SessionCommand) -> View:
        """Return the view of a session command."""
        return cls(command.describe, command.log, lambda: command.ended)

    async def start(self, query: LogsQuery) -> int:
        """Return the offset that a query starts at; with ``wait``, wait first for output after it."""
        start = query.offset or 0
        if query.tail is not None:
            start = max(await self.log.size() - query.tail, 0)
        if query.wait:
            await self.log.more(start, self.ended, query.wait)
        return start
