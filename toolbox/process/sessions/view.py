"""A command as the log endpoints see it, whether of a session or the entrypoint."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.wire import Command, LogsQuery


class View(msgspec.Struct, frozen=True):
    """What it is, its log, and whether it has ended."""

    describe: Callable[[], Command]
    log: Log
    ended: Callable[[], bool]

    @classmethod
    def of(cls, command: SessionCommand) -> View:
        """Look at a session's command."""
        return cls(command.describe, command.log, lambda: command.ended)

    async def start(self, query: LogsQuery) -> int:
        """Return the offset that a query asks to read from, once there is something or the wait is over."""
        start = query.offset or 0
        if query.tail is not None:
            start = max(await self.log.size() - query.tail, 0)
        if query.wait:
            await self.log.more(start, self.ended, query.wait)
        return start
