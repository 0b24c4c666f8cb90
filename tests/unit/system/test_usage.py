"""The gauges of telemetry, computed from readings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from toolbox.host.metrics import Reading
from toolbox.system.usage import Gauges

GIB = 1024**3


def at(clock: float, seconds: float, *, total: int = 4 * GIB) -> Reading:
    return Reading(
        clock=clock,
        cpu_seconds=seconds,
        cpu_source="x",
        cpu_limit=2.0,
        memory_total=total,
        memory_used=GIB,
        memory_cache=7,
        disk_total=10 * GIB,
        disk_used=5 * GIB,
        disk_free=4 * GIB,
    )


class Script:
    """A probe that returns the given readings."""

    def __init__(self, *readings: Reading) -> None:
        self._readings: Iterator[Reading] = iter(readings)

    def read(self) -> Reading:
        return next(self._readings)


def test_cpu_usage_is_measured_between_two_exports() -> None:
    gauges = Gauges(Script(at(0, 0), at(10, 5), at(20, 25)))  # type: ignore[arg-type]
    assert [gauges()["cpu.utilization"] for _ in range(3)] == [0.0, 25.0, 100.0]


def test_every_gauge_has_a_value_in_its_unit() -> None:
    values = Gauges(Script(at(0, 0)))()  # type: ignore[arg-type]
    assert values == {
        "cpu.utilization": 0.0,
        "cpu.limit": 2.0,
        "memory.utilization": 25.0,
        "memory.usage": GIB,
        "memory.limit": 4 * GIB,
        "memory.cache": 7,
        "filesystem.utilization": 50.0,
        "filesystem.usage": 5 * GIB,
        "filesystem.available": 4 * GIB,
        "filesystem.total": 10 * GIB,
    }


def test_unknown_total_gives_no_infinity() -> None:
    values = Gauges(Script(at(0, 0, total=0)))()  # type: ignore[arg-type]
    assert values["memory.utilization"] == pytest.approx(0.0)
    assert all(math.isfinite(value) for value in values.values())
