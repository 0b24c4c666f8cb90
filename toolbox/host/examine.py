"""What became of a process: what it used, what it was denied, and what it left running."""

from __future__ import annotations

import signal

from toolbox.host import survivors, tree
from toolbox.host.child import Child
from toolbox.host.lanes import Lane
from toolbox.host.oom import OutOfMemory
from toolbox.host.survivors import Survivor
from toolbox.host.usage import Verdict


class Examiner:
    """Look at processes that have ended; a plain end costs nothing."""

    def __init__(self, tables: tree.Tables, spawner: Lane) -> None:
        self._tables = tables
        self._spawner = spawner
        self._oom = OutOfMemory()

    def prime(self) -> None:
        """Be ready for the end of what is about to start; blocks the first time."""
        self._oom.prime()

    async def examine(self, child: Child) -> Verdict:
        """Say what a child that has ended used and ran out of; its cgroup goes as soon as it is empty."""
        if child.group is not None:
            return await self._tables.lane.run(child.group.examine)
        # A shell reports a child that was killed with the same number.
        killed = child.status is not None and child.status.code == 128 + signal.SIGKILL
        return Verdict(child.usage, out_of_memory=killed and await self._spawner.run(self._oom.take))

    async def survivors(self, leader: int) -> list[Survivor]:
        """Describe what still runs of the session of a process that has ended."""
        found = tree.family(leader, await self._tables.read(), exited=True)
        return await self._tables.lane.run(survivors.describe, list(found))
