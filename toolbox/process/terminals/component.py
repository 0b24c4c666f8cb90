"""Build the terminals: the table, their screens and the API."""

from __future__ import annotations

from toolbox.process.terminals.api import PtyApi
from toolbox.process.terminals.screens import Screens
from toolbox.process.terminals.terminals import Terminals
from toolbox.process.terminals.waiting import Waits
from toolbox.runs.context import ProcessContext


class TerminalsComponent:
    """Own everything behind ``/process/pty``; shells get ``grace`` seconds at shutdown."""

    def __init__(self, context: ProcessContext, *, grace: float) -> None:
        self.terminals = Terminals(context)
        self._screens = Screens()
        self._grace = grace
        self.apis = (PtyApi(self.terminals, self._screens, Waits(self._screens)),)

    async def stop(self) -> None:
        """End all terminals; requests that wait for one are answered."""
        await self.terminals.close(self._grace)

    async def close(self) -> None:
        """End the drawing thread; no request may be open."""
        await self._screens.close()
