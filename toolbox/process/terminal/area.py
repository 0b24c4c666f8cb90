"""Put the terminals together: the table and its API."""

from __future__ import annotations

from toolbox.process.runtime import Runtime
from toolbox.process.terminal.api import PtyApi
from toolbox.process.terminal.screens import Screens
from toolbox.process.terminal.terminals import Terminals
from toolbox.process.terminal.waiting import Waits


class TerminalsArea:
    """Own everything behind ``/process/pty``."""

    def __init__(self, runtime: Runtime) -> None:
        self.terminals = Terminals(runtime)
        self._screens = Screens()
        self.api = PtyApi(self.terminals, self._screens, Waits(self._screens))

    async def close(self, grace: float) -> None:
        """End all terminals; who waits for one gets an answer."""
        await self.terminals.close(grace)

    async def release(self) -> None:
        """End the thread that draws; requests must be over."""
        await self._screens.close()
