"""Put the terminals together: the table and its API."""

from __future__ import annotations

from toolbox.process.terminals.api import PtyApi
from toolbox.process.terminals.screens import Screens
from toolbox.process.terminals.terminals import Terminals
from toolbox.process.terminals.waiting import Waits
from toolbox.runs.context import ProcessContext


class TerminalsComponent:
    """Own everything behind ``/process/pty``."""

    def __init__(self, context: ProcessContext) -> None:
        self.terminals = Terminals(context)
        self._screens = Screens()
        self.api = PtyApi(self.terminals, self._screens, Waits(self._screens))

    async def close(self, grace: float) -> None:
        """End all terminals; who waits for one gets an answer."""
        await self.terminals.close(grace)

    async def release(self) -> None:
        """End the thread that draws; requests must be over."""
        await self._screens.close()
