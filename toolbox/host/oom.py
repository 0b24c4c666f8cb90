"""Detect that the kernel's OOM killer ended a command.

The kernel counts OOM kills and does not say which process it chose. A command that ended by SIGKILL is taken for the
victim if the counter has increased. Each ``take`` uses up one kill, so two commands do not share one victim.
"""

from __future__ import annotations

import os

from toolbox.host.kernel_files import own_cgroups, read_counters


class OutOfMemory:
    """Compare the kernel's OOM kill counters over time; every method blocks for one read of a small file."""

    def __init__(self, *, cgroup: str = "/sys/fs/cgroup", proc: str = "/proc") -> None:
        self._cgroup = cgroup
        self._proc = proc
        self._known: dict[str, int] | None = None

    def prime(self) -> None:
        """Store the baseline, before the first child is spawned; later calls do nothing."""
        if self._known is None:
            self._known = self._counts()

    def take(self) -> bool:
        """Use up one OOM kill; False if there is none left since the baseline."""
        known = self._known or {}
        grown = [path for path, count in self._counts().items() if count > known.get(path, count)]
        for path in grown:
            known[path] += 1
        return bool(grown)

    def _counts(self) -> dict[str, int]:
        paths = own_cgroups(self._proc)
        # memory.events of version 2 is hierarchical: it counts the kills in this container and nowhere else. Version 1
        # has a counter per cgroup. The counter of vmstat covers the whole machine.
        for cgroup in (paths.get("", "/"), "/"):
            path = os.path.normpath(f"{self._cgroup}/{cgroup}/memory.events")
            value = read_counters(path).get("oom_kill")
            if value is not None:
                return {path: value}
        others = (
            f"{self._cgroup}/memory{os.path.normpath(paths.get('memory', '/'))}/memory.oom_control",
            f"{self._proc}/vmstat",
        )
        return {path: value for path in others if (value := read_counters(path).get("oom_kill")) is not None}
