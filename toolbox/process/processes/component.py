"""Put the process API together: what starts processes, what acts on them, and its endpoints."""

from __future__ import annotations

from toolbox.host.procs import Procs
from toolbox.process.processes.api import ProcessesApi
from toolbox.process.processes.launcher import Launcher, OpenTerminal
from toolbox.process.processes.processes import Processes
from toolbox.runs.registry import Registry


class ProcessesComponent:
    """Own everything behind ``/processes``."""

    def __init__(self, registry: Registry, launcher: Launcher, procs: Procs) -> None:
        self._launcher = launcher
        self.processes = Processes(registry, launcher, procs)
        self.api = ProcessesApi(self.processes)

    def use_terminals(self, open_terminal: OpenTerminal) -> None:
        """Have processes of kind pty started by ``open_terminal``."""
        self._launcher.open_terminal = open_terminal

    async def close(self) -> None:
        """Kill what was started here and see it end; who waits for it gets an answer."""
        await self.processes.close()
        await self._launcher.close()
