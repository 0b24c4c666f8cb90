"""Put the terminals together: the table and its API."""

from __future__ import annotations

from toolbox.host.env import Environment
from toolbox.host.limits import Limits
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.process.running.registry import Registry
from toolbox.process.terminal.api import PtyApi
from toolbox.process.terminal.screens import Screens
from toolbox.process.terminal.terminals import Terminals
from toolbox.process.terminal.waiting import Waits


class TerminalsArea:
    """Own everything behind ``/process/pty``."""

    def __init__(
        self,
        procs: Procs,
        environment: Environment,
        shells: Shells,
        spool: Spool,
        registry: Registry,
        *,
        workdir: str,
        limits: Limits | None = None,
    ) -> None:
        self.terminals = Terminals(procs, environment, shells, spool, registry, workdir=workdir, limits=limits)
        self._screens = Screens()
        self.api = PtyApi(self.terminals, self._screens, Waits(self._screens))

    async def close(self, grace: float) -> None:
        """End all terminals; who waits for one gets an answer."""
        await self.terminals.close(grace)

    async def release(self) -> None:
        """End the thread that draws; requests must be over."""
        await self._screens.close()
