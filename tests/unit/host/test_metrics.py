"""Readings from captured cgroup trees: version 1 and 2, nested, unlimited, and none at all."""

from __future__ import annotations

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator, Mapping

import pytest

from toolbox.host.metrics import Metrics, Probe, Reading, cpu_percent
from toolbox.host.worker_pool import WorkerPool

GIB = 1024**3
MEMINFO = "MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   6291456 kB\nBuffers:  1024 kB\nCached: 2048 kB\n"
STAT = "cpu  100 0 50 800 40 5 5 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"


def grow(root: pathlib.Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> pathlib.Path:
    grow(tmp_path, {"proc/meminfo": MEMINFO, "proc/stat": STAT, "proc/self/cgroup": "0::/\n"})
    (tmp_path / "cg").mkdir()
    return tmp_path


def read(root: pathlib.Path, cpus: int = 4) -> Reading:
    probe = Probe(cgroup=str(root / "cg"), proc=str(root / "proc"), disk=str(root), cpus=cpus, clock=lambda: 1.0)
    return probe.read()


V2 = {
    "cg/cgroup.controllers": "cpu memory\n",
    "cg/cpu.max": "150000 100000\n",
    "cg/cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
    "cg/memory.max": f"{2 * GIB}\n",
    "cg/memory.current": f"{GIB}\n",
    "cg/memory.stat": f"anon 1\nfile {GIB // 2}\ninactive_file {GIB // 4}\n",
}


def test_version_2_container(machine: pathlib.Path) -> None:
    grow(machine, V2)
    reading = read(machine)
    assert (reading.cpu_limit, reading.cpu_count, reading.cpu_seconds) == (1.5, 2, 2.5)
    assert (reading.memory_total, reading.memory_used, reading.memory_cache) == (2 * GIB, 3 * GIB // 4, GIB // 2)


def test_version_2_tightest_limit_of_a_nested_path_counts(machine: pathlib.Path) -> None:
    grow(machine, V2)
    grow(
        machine,
        {
            "proc/self/cgroup": "0::/outer/init\n",
            "cg/outer/cpu.max": "50000 100000\n",
            "cg/outer/cpu.stat": "usage_usec 1000000\n",
            "cg/outer/memory.max": f"{GIB}\n",
            "cg/outer/memory.current": "4096\n",
            "cg/outer/memory.stat": "file 1024\ninactive_file 96\n",
            "cg/outer/init/cpu.max": "max 100000\n",
            "cg/outer/init/cpu.stat": "usage_usec 1\n",
            "cg/outer/init/memory.max": "max\n",
            "cg/outer/init/memory.current": "1\n",
        },
    )
    reading = read(machine)
    assert (reading.cpu_limit, reading.cpu_seconds) == (0.5, 1.0)
    assert reading.cpu_count == 1
    assert (reading.memory_total, reading.memory_used, reading.memory_cache) == (GIB, 4000, 1024)


def test_unlimited_container_shows_the_machine_as_limit_and_its_own_use(machine: pathlib.Path) -> None:
    grow(machine, {**V2, "cg/cpu.max": "max 100000\n", "cg/memory.max": "max\n"})
    reading = read(machine)
    assert (reading.cpu_limit, reading.cpu_seconds) == (4.0, 2.5)
    assert (reading.memory_total, reading.memory_used) == (8 * GIB, 3 * GIB // 4)


V1 = {
    "proc/self/cgroup": "9:name=systemd:/x\n5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
    "cg/cpu/cpu.cfs_quota_us": "200000\n",
    "cg/cpu/cpu.cfs_period_us": "100000\n",
    "cg/cpuacct/cpuacct.usage": "3500000000\n",
    "cg/memory/memory.limit_in_bytes": f"{GIB}\n",
    "cg/memory/memory.usage_in_bytes": f"{GIB // 2}\n",
    "cg/memory/memory.stat": f"cache 5\ntotal_cache {GIB // 4}\ninactive_file 7\ntotal_inactive_file {GIB // 8}\n",
}


def test_version_1_container_whose_path_begins_above_the_mount(machine: pathlib.Path) -> None:
    grow(machine, V1)
    reading = read(machine)
    assert (reading.cpu_limit, reading.cpu_seconds) == (2.0, 3.5)
    assert (reading.memory_total, reading.memory_used, reading.memory_cache) == (GIB, 3 * GIB // 8, GIB // 4)


def test_version_1_nested_and_accounting_mounted_apart(machine: pathlib.Path) -> None:
    grow(machine, V1)
    grow(
        machine,
        {
            "proc/self/cgroup": "5:cpu:/box\n6:cpuacct:/box\n4:memory:/box\n",
            "cg/cpu/box/cpu.cfs_quota_us": "50000\n",
            "cg/cpu/box/cpu.cfs_period_us": "100000\n",
            "cg/cpuacct/box/cpuacct.usage": "1000000000\n",
            "cg/memory/box/memory.limit_in_bytes": "9223372036854771712\n",
            "cg/memory/box/memory.usage_in_bytes": "1\n",
        },
    )
    reading = read(machine)
    assert (reading.cpu_limit, reading.cpu_seconds) == (0.5, 1.0)
    assert reading.memory_total == GIB


def test_version_1_without_limits(machine: pathlib.Path) -> None:
    grow(machine, {**V1, "cg/cpu/cpu.cfs_quota_us": "-1\n", "cg/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    reading = read(machine)
    assert (reading.cpu_limit, reading.memory_total) == (4.0, 8 * GIB)


def test_without_cgroups_the_machine_counts(machine: pathlib.Path) -> None:
    reading = read(machine)
    assert reading.cpu_limit == 4.0
    assert reading.cpu_source == "machine"
    assert reading.cpu_seconds == pytest.approx(1.6)  # everything but idle and iowait, in ticks of 10 ms
    assert reading.memory_total == 8 * GIB
    assert reading.memory_used == 2 * GIB
    assert reading.memory_cache == 3072 * 1024


def test_root_of_version_2_on_a_bare_machine_falls_back_for_memory(machine: pathlib.Path) -> None:
    grow(machine, {"cg/cgroup.controllers": "cpu memory\n", "cg/cpu.stat": "usage_usec 9000000\n"})
    reading = read(machine)
    assert (reading.cpu_seconds, reading.cpu_limit, reading.memory_used) == (9.0, 4.0, 2 * GIB)


def test_this_machine_gives_plausible_numbers() -> None:
    reading = Probe().read()
    assert 0 < reading.memory_used < reading.memory_total
    assert 0 < reading.disk_free <= reading.disk_total
    assert reading.disk_used <= reading.disk_total
    assert reading.cpu_count >= 1
    assert reading.cpu_seconds > 0


def at(clock: float, seconds: float, source: str = "a", limit: float = 2.0) -> Reading:
    return Reading(clock, seconds, source, limit, 1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (at(0, 0), at(5, 5), 50.0),
        (at(0, 0), at(5, 20), 100.0),
        (at(0, 10), at(5, 5), 0.0),
        (at(5, 5), at(5, 5), 0.0),
        (at(0, 0, "a"), at(5, 5, "b"), 0.0),
    ],
)
def test_percent_is_of_the_limit(before: Reading, after: Reading, percent: float) -> None:
    assert cpu_percent(before, after) == percent


@pytest.fixture
async def workers() -> AsyncIterator[WorkerPool]:
    workers = WorkerPool("test-metrics", 1)
    yield workers
    await workers.close()


class Script:
    """A probe that plays readings back and notes that it was asked."""

    def __init__(self, *readings: Reading) -> None:
        self.left = list(readings)

    def read(self) -> Reading:
        return self.left.pop(0)


async def test_first_question_measures_a_short_window(workers: WorkerPool) -> None:
    script = Script(at(0, 0), at(0.25, 0.25))
    metrics = Metrics(script, workers, settle=0)  # type: ignore[arg-type]
    reading, percent = await metrics.latest()
    assert (reading.clock, percent) == (0.25, 50.0)
    assert not script.left


async def test_nothing_is_read_before_the_first_question(workers: WorkerPool) -> None:
    script = Script(at(0, 0))
    Metrics(script, workers)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert len(script.left) == 1


async def test_window_reaches_back_one_to_ten_seconds(workers: WorkerPool) -> None:
    script = Script(at(0, 0), at(0, 0), at(0.5, 1), at(2, 4), at(6, 6), at(6.5, 9), at(8, 10))
    metrics = Metrics(script, workers, settle=0)  # type: ignore[arg-type]
    percents = [(await metrics.latest())[1] for _ in range(6)]
    # first; too soon; since 0; since 0 and kept; too soon; since 6
    assert percents == [0.0, 0.0, 100.0, 50.0, 50.0, 100.0]


async def test_rare_question_measures_now_and_not_the_long_time_between(workers: WorkerPool) -> None:
    script = Script(at(0, 0), at(0, 0), at(600, 1200), at(600.25, 1200.25))
    metrics = Metrics(script, workers, settle=0)  # type: ignore[arg-type]
    await metrics.latest()
    assert (await metrics.latest())[1] == 50.0


@pytest.mark.slow
async def test_load_shows(workers: WorkerPool) -> None:
    metrics = Metrics(Probe(cpus=1), workers)

    def spin() -> float:
        """Return the share of a processor that we got: little where more urgent work runs."""
        started = time.monotonic()
        while time.monotonic() < started + 0.4:
            pass
        return time.thread_time() / (time.monotonic() - started)

    spinning = asyncio.create_task(asyncio.to_thread(spin))
    _, percent = await metrics.latest()
    assert 30 * await spinning < percent <= 100
