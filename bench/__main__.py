"""Command line: ``python -m bench --spawn``, or ``--url A [--url B]``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import ClientSession, TCPConnector

from bench.spawn import spawned
from bench.stats import Figure
from bench.workload import Server, Workload
from bench.workloads import all_workloads

BAR = 24


def loopback(url: str) -> str:
    """Refuse any server that is not on this machine."""
    host = urlsplit(url).hostname or ""
    if host != "localhost" and not (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise argparse.ArgumentTypeError(f"{url} is not a loopback address; benchmarks talk to this machine only")
    return url.rstrip("/")


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--url", action="append", default=[], type=loopback, help="server to measure; give two to compare"
    )
    parser.add_argument("--spawn", action="store_true", help="start our own daemon (first, if a url is given too)")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains this, and their baselines")
    parser.add_argument("--token", default="", help="bearer token of the servers")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here; - for standard output")
    parser.add_argument("--seconds", type=float, default=240, help="start no further row after this long")
    options = parser.parse_args(argv)
    if not options.url and not options.spawn:
        parser.error("give --spawn or --url")
    if len(options.url) + options.spawn > 2:
        parser.error("at most two servers")
    return options


def chosen(only: str) -> list[Workload]:
    """Pick rows by name, with the baselines they are held against."""
    rows = all_workloads()
    wanted = {row.name for row in rows if only.lower() in row.name.lower()}
    wanted |= {row.against for row in rows if row.name in wanted}
    return [row for row in rows if row.name in wanted]


async def measure(row: Workload, servers: list[Server], bare: Workload | None) -> dict[str, Figure]:
    """Take the samples of one row, servers and baseline in turn so that a drift of the machine meets all of them."""
    targets = servers[:1] if row.baseline or row.needs_pid else servers
    samples: dict[str, list[float]] = {server.name: [] for server in targets}
    baseline: list[float] = []
    for turn in range(row.rounds):
        if bare is not None:
            baseline += await bare.sample(servers[0])
        for server in targets[turn % len(targets) :] + targets[: turn % len(targets)]:
            samples[server.name] += await row.sample(server)
    figures = {}
    for name, values in samples.items():
        rate = row.per_second * 1000 / statistics.fmean(values) if row.per_second else None
        figures[name] = Figure.of(values, row.unit, rate, baseline)
    return figures


async def run(options: argparse.Namespace) -> dict[str, dict[str, Figure]]:
    """Measure every chosen row."""
    rows, results, started = chosen(options.only), {}, time.monotonic()
    baselines = {row.name: row for row in rows if row.baseline}
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(spawned())] if options.spawn else []
        for number, url in enumerate(options.url):
            session = await stack.enter_async_context(ClientSession(headers=headers, connector=TCPConnector(limit=0)))
            servers.append(Server(f"{'AB'[number]} {url}", url, session=session))
        for at, row in enumerate(rows):
            if row.needs_pid and not options.spawn:
                continue
            if time.monotonic() - started > options.seconds:
                print(f"\nout of time, left out: {', '.join(rest.name for rest in rows[at:])}", file=sys.stderr)
                break
            progress(at, len(rows), row.name)
            results[row.name] = await measure(row, servers, baselines.get(row.against))
    progress(len(rows), len(rows), "done")
    return results


def progress(at: int, total: int, name: str) -> None:
    """Draw the bar on standard error, on a terminal only."""
    if sys.stderr.isatty():
        done = BAR * at // max(total, 1)
        end = "\n" if at == total else ""
        print(f"\r[{'#' * done}{'.' * (BAR - done)}] {name:40}", end=end, file=sys.stderr, flush=True)


def lines(results: dict[str, dict[str, Figure]], rows: Iterable[Workload]) -> Iterable[str]:
    """Format the table; ``ratio`` is B/A with two servers, else row/baseline."""
    yield f"{'row':34} {'server':10} {'p50':>10} {'p95':>10} {'per s':>9} {'ratio':>7}  of"
    for row in rows:
        figures = results.get(row.name, {})
        for name, figure in figures.items():
            ratio, of = ratio_of(row, name, results)
            rate = f"{figure.rate:9.0f}" if figure.rate else " " * 9
            shown = f"{ratio:7.2f}  {of}" if ratio is not None else ""
            mark = " OVER" if row.limit and ratio and not of.startswith("A ") and ratio > row.limit else ""
            server = "-" if row.baseline else name[:10]
            times = f"{figure.p50:7.2f} {figure.unit:2} {figure.p95:7.2f} {figure.unit:2}"
            yield f"{row.name:34} {server:10} {times} {rate} {shown}{mark}"


def ratio_of(row: Workload, name: str, results: dict[str, dict[str, Figure]]) -> tuple[float | None, str]:
    """Return a ratio of medians and what it is held against."""
    figures = results[row.name]
    first = next(iter(figures))
    if name != first:
        return figures[name].p50 / figures[first].p50, f"A ({first})"
    base = figures[name].baseline
    return (figures[name].p50 / base, row.against) if base else (None, "")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    options = arguments(argv)
    results = asyncio.run(run(options))
    rows = chosen(options.only)
    print("\n".join(lines(results, rows)))
    if options.json:
        plain = {
            row: {name: {key: getattr(figure, key) for key in Figure.__slots__} for name, figure in figures.items()}
            for row, figures in results.items()
        }
        text = json.dumps(plain, indent=2)
        if options.json == "-":
            print(text)
        else:
            pathlib.Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
