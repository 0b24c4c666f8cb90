"""Build the terminals: the table, their screens and the API."""

from __future__ import annotations

from toolbox.process.terminals.api import PtyApi
from toolbox.process.terminals.screens import Screens
from toolbox.process.terminals.terminals import Terminals
from toolbox.process.terminals.waiting import Waits
from toolbox.runs.context import ProcessContext


class TerminalsComponent:
    """Own everything behind ``/process/pty``; ``grace`` is what their shells get at shutdown."""

    def __init__(self, context: ProcessContext, *, grace: float) -> None:
        self.terminals = Terminals(context)
        self._screens = Screens()
        self._grace = grace
        self.apis = (PtyApi(self.terminals, self._screens, Waits(self._screens)),)

    async def close(self, grace: float) -> None:
        """End all terminals, which answers pending waits."""
        await self.terminals.close(grace)

    async def release(self) -> None:
        """End the drawing thread; no request may be open."""
        await self._screens.close()
