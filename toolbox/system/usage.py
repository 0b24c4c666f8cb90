"""CPU, memory and disk usage of the sandbox, for the metrics endpoint and for telemetry."""

from __future__ import annotations

import datetime as dt

from toolbox import wire
from toolbox.host.metrics import Probe, Reading, cpu_percent
from toolbox.system.wire import SystemMetrics


def describe(reading: Reading, percent: float) -> SystemMetrics:
    """Return a sample as the SDKs know it; sizes in bytes, CPU in percent of the limit."""
    now = dt.datetime.now(dt.UTC)
    return SystemMetrics(
        cpu_count=reading.cpu_count,
        cpu_used_pct=round(percent, 2),
        mem_total=reading.memory_total,
        mem_used=reading.memory_used,
        mem_cache=reading.memory_cache,
        disk_total=reading.disk_total,
        disk_used=reading.disk_used,
        disk_free=reading.disk_free,
        timestamp=wire.timestamp(now),
        timestamp_unix=int(now.timestamp()),
    )


class Gauges:
    """Compute the metrics that the SDKs show as history; called in the thread of the exporter."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._before: Reading | None = None

    def __call__(self) -> dict[str, float]:
        """Return the values by name, without the prefix ``daytona.sandbox.``."""
        now = self._probe.read()
        percent = cpu_percent(self._before, now) if self._before is not None else 0.0
        self._before = now
        return {
            "cpu.utilization": percent,
            "cpu.limit": now.cpu_limit,
            "memory.utilization": _share(now.memory_used, now.memory_total),
            "memory.usage": now.memory_used,
            "memory.limit": now.memory_total,
            "memory.cache": now.memory_cache,
            "filesystem.utilization": _share(now.disk_used, now.disk_total),
            "filesystem.usage": now.disk_used,
            "filesystem.available": now.disk_free,
            "filesystem.total": now.disk_total,
        }


def _share(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
