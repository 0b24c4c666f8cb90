"""Many processes and many readers: nothing is lost, nobody waits for somebody else, all is given back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.daemon_process import Process, serving
from toolbox.host import tree

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Replace the guard: the loop here is that of the client, the daemon has its own process."""


@pytest.fixture
def target(clean_environment: pathlib.Path) -> Iterator[Process]:
    with serving(clean_environment) as process:
        yield process


@pytest.fixture
async def client(target: Process) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(target.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


def held(pid: int) -> int:
    """Count what the daemon has open beside its connections."""
    names = (os.path.realpath(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return sum(1 for name in names if "socket:" not in name)


def resident(pid: int) -> int:
    fields = pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


async def call(client: aiohttp.ClientSession, method: str, path: str, **fields: Any) -> Any:
    async with client.request(method, path, **fields) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.status != 204 else None


async def shell(client: aiohttp.ClientSession, command: str, **fields: Any) -> str:
    return str((await call(client, "POST", "/processes", json={"shellCommand": command, **fields}))["id"])


async def followed(client: aiohttp.ClientSession, process: str, cursor: str = "start") -> tuple[int, int]:
    """Follow to the end; return how many bytes came and how many were told to be lost."""
    count, position = 0, 0
    async with client.get(f"/processes/{process}/logs?follow=true&cursor={cursor}") as answer:
        name = ""
        async for line in answer.content:
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            elif line.startswith(b"data: ") and name == "log":
                data = json.loads(line[6:])
                count += len(data["data"])
                position = int(data["cursor"])
    assert name == "eof"
    return count, position - count


async def test_many_processes_leave_nothing(target: Process, client: aiohttp.ClientSession) -> None:
    async def one(number: int) -> None:
        process = await shell(client, f"echo {number}; exit {number % 256}")
        ended = await call(client, "GET", f"/processes/{process}/wait")
        assert ended["exitCode"] == number % 256
        page = await call(client, "GET", f"/processes/{process}/logs")
        assert [frame["data"] for frame in page["frames"]] == [f"{number}\n"]

    async def burst(count: int) -> None:
        numbers = itertools.count()

        async def worker() -> None:
            while (number := next(numbers)) < count:
                await one(number)

        await asyncio.gather(*(worker() for _ in range(50)))

    await burst(300)
    before, memory = held(target.pid), resident(target.pid)
    await burst(600)
    assert held(target.pid) <= before
    assert resident(target.pid) - memory < 8_000_000
    assert len(await call(client, "GET", "/processes")) <= 256
    assert [item for item in tree.table().values() if item.parent == target.pid and item.state == "Z"] == []


async def test_readers_of_one_process_do_not_wait_for_each_other(
    target: Process, client: aiohttp.ClientSession
) -> None:
    process = await shell(client, "read go; yes 0123456789abcde | head -c 20000000", stdin="pipe")
    readers = [asyncio.create_task(followed(client, process)) for _ in range(5)]
    # One that asks and does not read.
    stuck = await client.get(f"/processes/{process}/logs?follow=true")
    await call(client, "POST", f"/processes/{process}/stdin", json={"data": "go\n"})
    ended = await call(client, "GET", f"/processes/{process}/wait")
    assert ended["exitCode"] == 0
    assert await asyncio.gather(*readers) == [(20_000_000, 0)] * 5
    stuck.close()
    assert await followed(client, process) == (20_000_000, 0)


async def test_output_that_is_kept_is_kept_on_disk(target: Process, client: aiohttp.ClientSession) -> None:
    async def one() -> None:
        process = await shell(client, "yes 0123456789abcde | head -c 1000000")
        await call(client, "GET", f"/processes/{process}/wait")

    await one()
    memory = resident(target.pid)
    for _ in range(15):
        await asyncio.gather(*(one() for _ in range(4)))
    assert resident(target.pid) - memory < 30_000_000
