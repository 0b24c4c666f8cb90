"""CPU, memory and disk of the sandbox: those of its cgroup (version 1 or 2, nested), else those of the machine.

A limit may be set on any level of the hierarchy. The cgroup that is measured is the one with the tightest limit between
the daemon's own and the mount point; without any limit it is the mount point, which in a container is the container.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from collections.abc import Callable

import msgspec

from toolbox.host.kernel_files import own_cgroups, read_counters, read_number, read_text
from toolbox.host.worker_pool import WorkerPool

# Seconds. CPU use is measured against a kept reading that is SHORTEST to STALE old and replaced after WINDOW; without
# one the answer waits SETTLE for a second reading.
WINDOW = 5.0
SHORTEST = 1.0
STALE = 10.0
SETTLE = 0.25


class Reading(msgspec.Struct, frozen=True):
    """Counters and sizes (bytes) at one moment; ``cpu_source`` is the cgroup that the CPU counter was read from."""

    clock: float
    cpu_seconds: float
    cpu_source: str
    cpu_limit: float
    memory_total: int
    memory_used: int
    memory_cache: int
    disk_total: int
    disk_used: int
    disk_free: int

    @property
    def cpu_count(self) -> int:
        """Return the CPU limit rounded up to whole cores."""
        return max(1, math.ceil(self.cpu_limit))


def cpu_percent(before: Reading, after: Reading) -> float:
    """Return the CPU use between two readings in percent of the limit; 0 after a counter reset."""
    seconds = after.clock - before.clock
    used = after.cpu_seconds - before.cpu_seconds
    if seconds <= 0 or used < 0 or before.cpu_source != after.cpu_source:
        return 0.0
    return min(100.0, 100.0 * used / (seconds * after.cpu_limit))


# The files with limit and usage, and the keys of file cache and inactive file pages in memory.stat.
_MEMORY_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache", "total_inactive_file")
_MEMORY_V2 = ("memory.max", "memory.current", "file", "inactive_file")


class Probe:
    """Read the counters; blocks. The roots are parameters so that tests can use captured trees."""

    def __init__(
        self,
        *,
        cgroup: str = "/sys/fs/cgroup",
        proc: str = "/proc",
        disk: str = "/",
        cpus: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cgroup = cgroup
        self._proc = proc
        self._disk = disk
        self._cpus = cpus
        self._clock = clock

    def read(self) -> Reading:
        """Take a reading."""
        own = own_cgroups(self._proc)
        seconds, source, limit = self._cpu(own)
        total, used, cache = self._memory(own)
        disk = shutil.disk_usage(self._disk)
        return Reading(
            clock=self._clock(),
            cpu_seconds=seconds,
            cpu_source=source,
            cpu_limit=limit,
            memory_total=total,
            memory_used=used,
            memory_cache=cache,
            disk_total=disk.total,
            disk_used=disk.used,
            disk_free=disk.free,
        )

    def _v2(self) -> bool:
        return os.path.exists(f"{self._cgroup}/cgroup.controllers")

    def _levels(self, controller: str, own: dict[str, str]) -> tuple[str, list[str]]:
        """Return the mount point of a controller; and the daemon's cgroup and its parents up to there.

        In a container that shares the host's cgroup namespace the path starts at the host's root, while only the
        container's own cgroup is mounted. Leading parts that do not exist are cut off.
        """
        top, name = (self._cgroup, "") if self._v2() else (f"{self._cgroup}/{controller}", controller)
        parts = [part for part in own.get(name, "/").split("/") if part not in ("", "..")]
        while parts and not os.path.isdir(os.path.join(top, *parts)):
            parts.pop(0)
        return top, [os.path.join(top, *parts[:length]) for length in range(len(parts), -1, -1)]

    def _cpu(self, own: dict[str, str]) -> tuple[float, str, float]:
        """Return CPU seconds used, their source, and the limit in cores."""
        host = float(self._cpus or len(os.sched_getaffinity(0)))
        top, levels = self._levels("cpu", own)
        quotas = [(_quota(level, v2=self._v2()), level) for level in levels]
        limit, level = min([pair for pair in quotas if pair[0] < host], default=(host, levels[-1]))
        usage = self._cpu_usage(level, os.path.relpath(level, top))
        if usage is not None:
            return usage, level, limit
        return self._cpu_of_machine(), "machine", host

    def _cpu_usage(self, level: str, inside: str) -> float | None:
        if self._v2():
            microseconds = read_counters(f"{level}/cpu.stat").get("usage_usec")
            return microseconds / 1e6 if microseconds is not None else None
        # Version 1 may mount the accounting controller (cpuacct) apart from the one with the quotas (cpu).
        nanoseconds = read_number(os.path.normpath(f"{self._cgroup}/cpuacct/{inside}/cpuacct.usage"))
        return nanoseconds / 1e9 if nanoseconds is not None else None

    def _cpu_of_machine(self) -> float:
        fields = read_text(f"{self._proc}/stat").partition("\n")[0].split()[1:9]
        ticks = [int(field) for field in fields]
        # user nice system idle iowait irq softirq steal
        return (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, own: dict[str, str]) -> tuple[int, int, int]:
        """Return total, used without reclaimable file pages, and file cache."""
        kib = read_counters(f"{self._proc}/meminfo")
        info = {name: value * 1024 for name, value in kib.items()}
        host = info.get("MemTotal:", 0)
        limit_file, usage_file, cache, inactive = _MEMORY_V2 if self._v2() else _MEMORY_V1
        _, levels = self._levels("memory", own)
        limits = [(read_number(f"{level}/{limit_file}"), level) for level in levels]
        # Version 1 writes "no limit" as a number larger than any machine.
        real = [(limit, level) for limit, level in limits if limit is not None and (not host or limit < host)]
        total, level = min(real, default=(host, levels[-1]))
        usage = read_number(f"{level}/{usage_file}")
        if usage is None:
            return host, host - info.get("MemAvailable:", host), info.get("Cached:", 0) + info.get("Buffers:", 0)
        stat = read_counters(f"{level}/memory.stat")
        return total, max(0, usage - stat.get(inactive, 0)), stat.get(cache, 0)


def _quota(level: str, *, v2: bool) -> float:
    """Return the CPU limit of a cgroup in cores; infinity without one."""
    if v2:
        words = read_text(f"{level}/cpu.max").split()
        quota, period = (words[0], words[1]) if len(words) == 2 else ("max", "1")
    else:
        quota, period = read_text(f"{level}/cpu.cfs_quota_us").strip(), read_text(f"{level}/cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return math.inf
    return int(quota) / int(period)


class Metrics:
    """Measure on request: a reading, and the CPU use since an earlier one."""

    def __init__(self, probe: Probe, workers: WorkerPool, *, settle: float = SETTLE) -> None:
        self._probe = probe
        self._workers = workers
        self._settle = settle
        self._lock = asyncio.Lock()
        self._base: Reading | None = None
        self._percent = 0.0

    async def latest(self) -> tuple[Reading, float]:
        """Return a reading and the CPU use in percent of the limit."""
        async with self._lock:
            now = await self._workers.run(self._probe.read)
            base = self._base
            if base is None or now.clock - base.clock > STALE:
                self._base = base = now
                await asyncio.sleep(self._settle)
                now = await self._workers.run(self._probe.read)
                self._percent = cpu_percent(base, now)
            elif now.clock - base.clock >= SHORTEST:
                self._percent = cpu_percent(base, now)
            if now.clock - base.clock >= WINDOW:
                self._base = now
            return now, self._percent
