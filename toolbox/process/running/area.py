"""Put the process API together: what starts processes, what acts on them, and its endpoints."""

from __future__ import annotations

from toolbox.host.procs import Procs
from toolbox.process.running.api import ProcessesApi
from toolbox.process.running.processes import Processes
from toolbox.process.running.registry import Registry
from toolbox.process.running.start import OpenTerminal, Starter


class RunningArea:
    """Own everything behind ``/processes``."""

    def __init__(self, registry: Registry, starter: Starter, procs: Procs) -> None:
        self._starter = starter
        self.processes = Processes(registry, starter, procs)
        self.api = ProcessesApi(self.processes)

    def use_terminals(self, open_terminal: OpenTerminal) -> None:
        """Have processes of kind pty started by ``open_terminal``."""
        self._starter.open_terminal = open_terminal

    async def close(self) -> None:
        """Kill what was started here and see it end; who waits for it gets an answer."""
        await self.processes.close()
        await self._starter.close()
