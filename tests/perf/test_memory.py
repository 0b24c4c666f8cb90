"""What a daemon holds: at rest, after many requests, after a command with endless output."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Iterator

import aiohttp
import pytest

from tests.daemon_process import Process, serving
from tests.perf.budgets import BUDGETS

pytestmark = pytest.mark.alone

HALF_A_GIGABYTE = 500_000_000
COMMAND = {"command": f"head -c {HALF_A_GIGABYTE} /dev/zero | tr '\\0' x"}
MIXED = (
    ("GET", "/version", None),
    ("GET", "/files?path=.", None),
    ("GET", "/system/metrics", None),
    ("GET", "/files/info?path=missing", None),
    ("GET", "/work-dir", None),
    ("POST", "/env", {"set": {"A": "b"}}),
    ("GET", "/nowhere", None),
    ("POST", "/process/execute", {}),
    ("GET", "/user-home-dir", None),
    ("POST", "/process/execute", {"command": "true"}),
)


@pytest.fixture
def process(tmp_path: pathlib.Path) -> Iterator[Process]:
    """Serve a daemon that has answered once."""
    with serving(tmp_path / "served", LOG_LEVEL="warn") as process:
        process.get("/version")
        yield process


async def send(session: aiohttp.ClientSession, number: int) -> None:
    method, path, body = MIXED[number % len(MIXED)]
    async with session.request(method, path, json=body) as answer:
        await answer.read()
        assert answer.status < 500


async def requests(url: str, count: int) -> None:
    """Send a mix of good and bad requests, ten at a time."""
    async with aiohttp.ClientSession(url) as session:
        for first in range(0, count, 10):
            await asyncio.gather(*(send(session, first + offset) for offset in range(10)))


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_memory_at_rest_and_after_many_requests(process: Process) -> None:
    idle = process.resident_mb()
    await requests(process.url, 1_000)
    early = process.resident_mb()
    await requests(process.url, 9_000)
    late = process.resident_mb()
    assert idle <= BUDGETS.idle_mb
    assert early <= BUDGETS.after_1000_requests_mb
    assert late - early <= BUDGETS.growth_1000_to_10000_mb


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_half_a_gigabyte_of_output_stays_out_of_memory(process: Process) -> None:
    """Whatever part of it the answer carries, it was not collected first."""
    await requests(process.url, 100)
    before = process.resident_mb()
    async with aiohttp.ClientSession(process.url) as session, session.post("/process/execute", json=COMMAND) as answer:
        assert answer.status == 200
        async for _ in answer.content.iter_any():
            assert process.resident_mb() - before <= BUDGETS.growth_by_500_mb_of_output_mb
    assert process.resident_mb() - before <= BUDGETS.growth_by_500_mb_of_output_mb
