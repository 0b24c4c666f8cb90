"""Put the terminals together: the table and its API."""

from __future__ import annotations

from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.process.running.registry import Registry
from toolbox.process.terminal.api import PtyApi
from toolbox.process.terminal.terminals import Terminals


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
    ) -> None:
        self.terminals = Terminals(procs, environment, shells, spool, registry, workdir=workdir)
        self.api = PtyApi(self.terminals)

    async def close(self, grace: float) -> None:
        """End all terminals."""
        await self.terminals.close(grace)
