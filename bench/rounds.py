"""Which rows are measured, and in which order: everything that is compared takes turns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from bench.stats import Figure
from bench.workload import Server, Workload
from bench.workloads import all_workloads

Say = Callable[[int, int, str], None]
# A baseline has no server; its figure is kept under this name.
BARE = "-"


@dataclasses.dataclass(slots=True)
class Results:
    """Figures by row and server, and the rows that have none."""

    figures: dict[str, dict[str, Figure]] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


def chosen(only: str) -> list[Workload]:
    """Pick rows by name, with the baselines they are held against."""
    rows = all_workloads()
    wanted = {row.name for row in rows if only.lower() in row.name.lower()}
    wanted |= {row.against for row in rows if row.name in wanted}
    return [row for row in rows if row.name in wanted]


def groups(rows: list[Workload]) -> Iterator[list[Workload]]:
    """Put each baseline together with the rows that are held against it; the others stand alone."""
    for row in rows:
        if row.baseline:
            yield [row, *(other for other in rows if other.against == row.name)]
        elif not any(other.name == row.against for other in rows):
            yield [row]


async def measure(rows: list[Workload], servers: list[Server], *, seconds: float, say: Say) -> Results:
    """Measure rows, starting no further group once the time is up."""
    results, started, done = Results(), time.monotonic(), 0
    for group in groups(rows):
        if time.monotonic() - started > seconds:
            results.left_out |= {row.name: f"{seconds:.0f} s were over" for row in group}
            continue
        say(done, len(rows), group[0].name)
        await _measure_group(group, servers, results)
        done += len(group)
    say(done, len(rows), "done")
    return results


async def _measure_group(group: list[Workload], servers: list[Server], results: Results) -> None:
    """Take samples in rounds: every row on every server once, the servers in turn, then all again."""
    samples: dict[tuple[str, str], list[float]] = {}
    for turn in range(max(row.rounds for row in group)):
        for row in group:
            if turn < row.rounds and row.name not in results.left_out:
                await _measure_once(row, _in_turn(_targets(row, servers), turn), samples, results)
    for row in group:
        found = {name: values for (of, name), values in samples.items() if of == row.name and values}
        if found and row.name not in results.left_out:
            results.figures[row.name] = {
                name: Figure.of(values, row.unit, per_sample=row.per_second) for name, values in found.items()
            }


async def _measure_once(
    row: Workload, targets: list[Server], samples: dict[tuple[str, str], list[float]], results: Results
) -> None:
    for server in targets:
        try:
            samples.setdefault((row.name, server.name), []).extend(await row.sample(server))
        except Exception as error:  # noqa: BLE001 - a server that cannot do one thing is still measured in the others
            results.left_out[row.name] = f"{server.name}: {error!r}"


def _targets(row: Workload, servers: list[Server]) -> list[Server]:
    if row.baseline:
        return [Server(BARE, "")]
    return [server for server in servers if server.pid is not None] if row.needs_pid else servers


def _in_turn(servers: list[Server], turn: int) -> list[Server]:
    """Let another server go first each time, so that a drift of the machine meets all of them."""
    start = turn % len(servers) if servers else 0
    return servers[start:] + servers[:start]
