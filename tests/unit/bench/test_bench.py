"""The benchmark's arithmetic and the order in which it measures."""

from __future__ import annotations

import argparse
import json

import pytest

from bench.__main__ import arguments, loopback
from bench.report import as_json, lines, over_limit
from bench.rounds import BARE, chosen, groups, measure
from bench.stats import Figure, percentile
from bench.workload import Server, Workload


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        ([7], 0.95, 7),
        ([3, 1, 2], 0.5, 2),
        ([4, 1, 3, 2], 0.5, 2.5),
        ([10, 20], 0.95, 19.5),
        (range(101), 0.95, 95),
        ([1, 2], 0, 1),
        ([1, 2], 1, 2),
    ],
)
def test_percentile(samples: list[float], share: float, expected: float) -> None:
    assert percentile(samples, share) == pytest.approx(expected)


def test_rate_is_work_over_mean_time() -> None:
    assert Figure.of([1, 3], "ms", per_sample=10) == Figure("ms", 2, pytest.approx(2.9), 5000, 2)
    assert Figure.of([1, 3], "MB").rate is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1]:1", "http://localhost:1", "http://127.9.9.9"])
def test_loopback_addresses_are_taken(url: str) -> None:
    assert loopback(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "http://example.com", "http://0.0.0.0:1", "127.0.0.1:1", "http://[::2]"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a loopback address"):
        loopback(url)


@pytest.mark.parametrize("argv", [[], ["--spawn", *["--url", "http://127.0.0.1:1"] * 2], ["--url", "http://10.0.0.1"]])
def test_nonsense_on_the_command_line_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(argv)


def test_choosing_a_row_brings_its_baseline() -> None:
    assert [row.name for row in chosen("16 AT A TIME")] == ["bare spawn of the shell", "exec true, 16 at a time, each"]
    assert not chosen("no such row")


class Recorder:
    """A workload that notes who was measured and takes a fixed time for each server."""

    def __init__(self, **times: float) -> None:
        self.seen: list[str] = []
        self._times = times

    def row(self, name: str, **properties: object) -> Workload:
        async def sample(server: Server) -> list[float]:
            self.seen.append(f"{name}@{server.name}")
            return [self._times[server.name.replace(BARE, "bare")]]

        return Workload(name, sample, **properties)  # type: ignore[arg-type]


def ignore(at: int, total: int, name: str) -> None:
    """Say nothing."""


A, B = Server("A", ""), Server("B", "", pid=1)


async def test_what_is_compared_takes_turns() -> None:
    recorder = Recorder(bare=1, A=2, B=3)
    rows = [recorder.row("base", baseline=True, rounds=2), recorder.row("work", against="base", rounds=2)]
    await measure(rows, [A, B], seconds=60, say=ignore)
    assert recorder.seen == ["base@-", "work@A", "work@B", "base@-", "work@B", "work@A"]


async def test_ratios_and_limits() -> None:
    recorder = Recorder(bare=2, A=3, B=6)
    rows = [recorder.row("base", baseline=True), recorder.row("work", against="base", limit=1.4, per_second=1)]
    results = await measure(rows, [A, B], seconds=60, say=ignore)
    table = [line.split() for line in lines(results, rows)]
    assert table[2][-5:] == ["1.50", "base", "(limit", "1.4,", "OVER)"]
    assert table[3][-6:] == ["3.00", "2.00", "base", "(limit", "1.4,", "OVER)"]
    assert over_limit(results, rows) == ["work"]
    assert json.loads(as_json(results))["rows"]["work"]["A"] == {
        "unit": "ms", "p50": 3, "p95": 3, "rate": pytest.approx(333.3, abs=0.1), "samples": 5,
    }  # fmt: skip


async def test_row_that_needs_a_process_is_measured_only_there() -> None:
    recorder = Recorder(B=1)
    await measure([recorder.row("own", needs_pid=True, rounds=1)], [A, B], seconds=60, say=ignore)
    assert recorder.seen == ["own@B"]


async def test_row_that_fails_is_left_out_and_the_rest_goes_on() -> None:
    recorder = Recorder(A=1)
    rows = [recorder.row("broken"), recorder.row("whole")]
    results = await measure(rows, [Server("C", "")], seconds=60, say=ignore)
    assert results.left_out.keys() == {"broken", "whole"}
    results = await measure(rows[1:], [A], seconds=60, say=ignore)
    assert results.figures.keys() == {"whole"}


async def test_no_row_starts_after_the_time_is_up() -> None:
    recorder = Recorder(A=1)
    results = await measure([recorder.row("late")], [A], seconds=-1, say=ignore)
    assert not recorder.seen
    assert results.left_out.keys() == {"late"}


def test_every_row_belongs_to_one_group() -> None:
    rows = chosen("")
    assert sorted(row.name for group in groups(rows) for row in group) == sorted(row.name for row in rows)
