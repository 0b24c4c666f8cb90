"""What became of a process: what it used, what it was denied, and what it left running."""

from __future__ import annotations

import signal

from toolbox.host import survivors, tree
from toolbox.host.child import Child
from toolbox.host.oom import OutOfMemory
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport
from toolbox.host.worker_pool import WorkerPool


class ExitReporter:
    """Look at processes that have ended; a plain end costs nothing."""

    def __init__(self, tables: tree.Tables, spawner: WorkerPool) -> None:
        self._tables = tables
        self._spawner = spawner
        self._oom = OutOfMemory()

    def prime(self) -> None:
        """Be ready for the end of what is about to start; blocks the first time."""
        self._oom.prime()

    async def report(self, child: Child) -> ExitReport:
        """Say what a child that has ended used and ran out of; its cgroup goes as soon as it is empty."""
        if child.group is not None:
            return await self._tables.workers.run(child.group.report)
        # A shell reports a child that was killed with the same number.
        killed = child.status is not None and child.status.code == 128 + signal.SIGKILL
        return ExitReport(child.usage, out_of_memory=killed and await self._spawner.run(self._oom.take))

    async def survivors(self, leader: int) -> list[Survivor]:
        """Describe what still runs of the session of a process that has ended."""
        found = tree.family(leader, await self._tables.read(), exited=True)
        return await self._tables.workers.run(survivors.describe, list(found))
