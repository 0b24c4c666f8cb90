"""Command line: ``python -m bench --spawn``, or ``--url A [--url B]``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import pathlib
import sys
from urllib.parse import urlsplit

from aiohttp import ClientSession, TCPConnector

from bench.report import as_json, lines, over_limit
from bench.rounds import Results, chosen, measure
from bench.spawn import spawned
from bench.workload import Server

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


async def run(options: argparse.Namespace) -> Results:
    """Measure every chosen row."""
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(spawned())] if options.spawn else []
        for number, url in enumerate(options.url, start=len(servers)):
            session = await stack.enter_async_context(ClientSession(headers=headers, connector=TCPConnector(limit=0)))
            servers.append(Server(f"{'AB'[number]} {url}", url, session=session))
        return await measure(chosen(options.only), servers, seconds=options.seconds, say=progress)


def progress(at: int, total: int, name: str) -> None:
    """Draw the bar on standard error, on a terminal only."""
    if sys.stderr.isatty():
        done = BAR * at // max(total, 1)
        end = "\n" if at == total else ""
        print(f"\r[{'#' * done}{'.' * (BAR - done)}] {name:40}", end=end, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the status tells whether every row could be measured and kept its limit."""
    options = arguments(argv)
    results = asyncio.run(run(options))
    rows = chosen(options.only)
    print("\n".join(lines(results, rows)))
    for row, reason in results.left_out.items():
        print(f"left out: {row}: {reason}", file=sys.stderr)
    if options.json == "-":
        print(as_json(results))
    elif options.json:
        pathlib.Path(options.json).write_text(as_json(results) + "\n", encoding="utf-8")
    return 1 if results.left_out or over_limit(results, rows) else 0


if __name__ == "__main__":
    sys.exit(main())
