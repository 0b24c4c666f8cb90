"""Exit reports: resource usage, exceeded limits, and processes left running in the background."""

from __future__ import annotations

import os
from typing import NamedTuple

from toolbox.host import survivors, tree
from toolbox.host.child import KILLED_CODE, Child
from toolbox.host.oom import OutOfMemory
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport, Usage
from toolbox.host.worker_pool import WorkerPool

_TICKS = os.sysconf("SC_CLK_TCK")


class Counters(NamedTuple):
    """Usage and exceeded limits of a running shell and the children it waited for, up to now."""

    cpu_seconds: float
    oom_kills: int = 0
    refused_forks: int = 0


class ExitReporter:
    """Report on processes that have ended; the report of an ordinary exit reads no file."""

    def __init__(self, tables: tree.ProcessTable, spawner: WorkerPool, oom: OutOfMemory) -> None:
        self._tables = tables
        self._spawner = spawner
        self._oom = oom

    async def report(self, child: Child) -> ExitReport:
        """Return usage and exceeded limits of an ended child, whose cgroup is removed once it is empty."""
        if child.group is not None:
            return await self._tables.workers.run(child.group.report)
        killed = child.status is not None and child.status.code == KILLED_CODE
        return ExitReport(child.usage, out_of_memory=killed and await self._spawner.run(self._oom.take))

    async def report_since(self, shell: Child, before: Counters, code: int) -> ExitReport:
        """Report on a command that a shell ran since ``before`` and that exited with ``code``.

        Its peak memory is unknown: the kernel keeps one peak for the whole life of a process and its children.
        """
        now = await self._tables.workers.run(shell_counters, shell)
        total = now.cpu_seconds if shell.usage is None else shell.usage.cpu_seconds
        usage = Usage(max(total - before.cpu_seconds, 0.0), None)
        if shell.group is not None:
            return ExitReport(usage, now.oom_kills > before.oom_kills, now.refused_forks > before.refused_forks)
        return ExitReport(usage, out_of_memory=code == KILLED_CODE and await self._spawner.run(self._oom.take))

    async def survivors(self, leader: int) -> list[Survivor]:
        """Describe the processes of an ended session leader's tree that still run."""
        found = tree.family(leader, await self._tables.read(), exited=True)
        return await self._tables.workers.run(survivors.describe, list(found))


def shell_counters(shell: Child) -> Counters:
    """Read the counters of a shell, before or after it runs a command; blocks."""
    denials = (0, 0) if shell.group is None else shell.group.denials()
    fields = tree.stat_fields(shell.pid) or ()
    # utime, stime, cutime, cstime: the shell and the children it waited for
    return Counters(sum(map(int, fields[11:15])) / _TICKS, *denials)
