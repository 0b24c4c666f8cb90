"""Figures as a table and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator

from bench.rounds import BARE, Results
from bench.workload import Workload


def lines(results: Results, rows: Iterable[Workload]) -> Iterator[str]:
    """Format the table: each row over its baseline, and with two servers B over A."""
    yield f"{'row':34} {'server':10} {'p50':>10} {'p95':>10} {'per s':>9} {'/base':>7} {'B/A':>7}  base"
    for row in rows:
        for server, figure in results.figures.get(row.name, {}).items():
            base, other = over_baseline(results, row, server), over_first(results, row, server)
            yield (
                f"{row.name:34} {server[:10]:10} {figure.p50:7.2f} {figure.unit:2} {figure.p95:7.2f} {figure.unit:2} "
                f"{_cell(figure.rate, 9, 0)} {_cell(base, 7, 2)} {_cell(other, 7, 2)}  {row.against}{_mark(row, base)}"
            ).rstrip()


def _cell(value: float | None, width: int, digits: int) -> str:
    return " " * width if value is None else f"{value:{width}.{digits}f}"


def _mark(row: Workload, ratio: float | None) -> str:
    if row.limit is None or ratio is None:
        return ""
    return f" (limit {row.limit}{', OVER' if ratio > row.limit else ''})"


def over_baseline(results: Results, row: Workload, server: str) -> float | None:
    """Return the ratio of a server's median to that of the row's baseline."""
    base = results.figures.get(row.against, {}).get(BARE)
    return results.figures[row.name][server].p50 / base.p50 if base and base.p50 else None


def over_first(results: Results, row: Workload, server: str) -> float | None:
    """Return the ratio of the second server's median to the first one's."""
    figures = results.figures[row.name]
    names = sorted(figures)
    if len(names) < 2 or server == names[0] or not figures[names[0]].p50:
        return None
    return figures[server].p50 / figures[names[0]].p50


def over_limit(results: Results, rows: Iterable[Workload]) -> list[str]:
    """Name the rows in which our own server is over its limit."""
    return [
        row.name
        for row in rows
        for server in sorted(results.figures.get(row.name, {}))[:1]
        if row.limit is not None and (over_baseline(results, row, server) or 0) > row.limit
    ]


def as_json(results: Results) -> str:
    """Return every figure."""
    plain = {
        row: {server: dataclasses.asdict(figure) for server, figure in figures.items()}
        for row, figures in results.figures.items()
    }
    return json.dumps({"rows": plain, "leftOut": results.left_out}, indent=2)
