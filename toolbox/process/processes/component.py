"""Build the process API: launcher, service, endpoints."""

from __future__ import annotations

from toolbox.process.processes.api import ProcessesApi
from toolbox.process.processes.launcher import Launcher
from toolbox.process.processes.processes import Processes
from toolbox.process.terminals.terminals import Terminals
from toolbox.runs.context import ProcessContext


class ProcessesComponent:
    """Own everything behind ``/processes``; ``terminals`` starts those of kind ``pty``."""

    def __init__(self, context: ProcessContext, terminals: Terminals | None = None) -> None:
        self._launcher = Launcher(context, terminals)
        self.processes = Processes(context.registry, self._launcher, context.procs)
        self.apis = (ProcessesApi(self.processes),)

    async def stop(self) -> None:
        """Kill the processes that were started here and wait for their exit, which answers pending waits."""
        await self.processes.close()
        await self._launcher.close()

    async def close(self) -> None:
        """Release nothing: the registry owns the output."""
