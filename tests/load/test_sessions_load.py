"""Two hundred sessions at once in a daemon of its own: what they cost others, and what they leave behind."""

from __future__ import annotations

import asyncio
import pathlib
import re
import sys
import time

import aiohttp
import pytest

from tests.daemon_process import serving
from tests.load import test_terminals_load as terminals
from tests.load.test_terminals_load import holdings, probing, surplus

COUNT = 200
SECONDS = 60
# Between two commands of an agent.
PAUSE = 4
NEWEST = {"X-Daytona-SDK-Version": "0.226.1"}

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Replace the guard: the loop here is that of the client, the daemon has its own process."""


async def use(http: aiohttp.ClientSession, name: str) -> None:
    """Make a session, leave something running in it, and delete it."""
    async with http.post("/process/session", json={"sessionId": name}) as made:
        assert made.status == 201
    async with http.post(f"/process/session/{name}/exec", json={"command": f"sleep 1000 & echo {name}"}) as done:
        assert (await done.json())["stdout"] == f"{name}\n"
    async with http.delete(f"/process/session/{name}") as gone:
        assert gone.status == 204


async def test_two_hundred_sessions_leave_nothing(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path / "box") as daemon:
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(use(http, f"first{number}") for number in range(COUNT)))
        before, resident = holdings(daemon), daemon.resident_mb()
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(use(http, f"again{number}") for number in range(COUNT)))
        assert await surplus(daemon, before) == [0, 0, 0]
        assert not list((daemon.home / ".daytona" / "sessions").iterdir())
        assert daemon.resident_mb() < 1.1 * resident


async def work(http: aiohttp.ClientSession, name: str, until: float) -> int:
    """Use a session as an agent does: now and then a command, some of them followed."""
    turns = 0
    await asyncio.sleep(PAUSE * int(name.split()[1]) / COUNT)
    async with http.post("/process/session", json={"sessionId": name}) as made:
        assert made.status == 201
    while time.monotonic() < until:
        command = {"command": f"N=$((N + 1)); echo {name} $N", "runAsync": turns % 2 == 1}
        async with http.post(f"/process/session/{name}/exec", json=command, headers=NEWEST) as done:
            answer = await done.json()
        turns += 1
        text = answer["stdout"]
        if text is None:
            logs = f"/process/session/{name}/command/{answer['cmdId']}/logs?follow=true"
            async with http.ws_connect(logs, headers=NEWEST) as ws:
                text = b"".join([message.data async for message in ws]).decode().lstrip("\1")
        assert text == f"{name} {turns}\n"
        await asyncio.sleep(PAUSE)
    async with http.delete(f"/process/session/{name}") as gone:
        assert gone.status == 204
    return turns


async def everybody(http: aiohttp.ClientSession, name: str, seconds: float) -> int:
    """Have all sessions and terminals used for so long, and deleted; return the fewest turns that one had."""
    until = time.monotonic() + seconds
    return min(
        await asyncio.gather(
            *(work(http, f"{name} {number}", until) for number in range(COUNT)),
            *(terminals.chat(http, number, until) for number in range(terminals.COUNT)),
        )
    )


@pytest.mark.soak
async def test_sessions_and_terminals_for_a_minute(tmp_path: pathlib.Path) -> None:
    """What is kept for commands while their sessions live takes memory; a second time takes no more of it."""
    with serving(tmp_path / "box") as daemon:
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as http:
            await everybody(http, "first", SECONDS)
            before, resident = holdings(daemon), daemon.resident_mb()
            async with probing(daemon.url) as stalls:
                turns = await everybody(http, "again", SECONDS)
        # All three hundred shells start within seconds at first, and want the processors as much as the daemon does.
        assert stalls.worst(after=0.1)[-1] < 0.05, stalls.worst(after=0.1)
        assert turns > SECONDS / PAUSE / 2
        assert await surplus(daemon, before) == [0, 0, 0]
        assert daemon.resident_mb() < 1.1 * resident


CLOCK = """
import sys, time
stop = time.time() + float(sys.argv[1])
while time.time() < stop:
    sys.stdout.write(f"{time.time():.4f} {'x' * 1000}\\n" * 30)
    sys.stdout.flush()
    time.sleep(0.05)
"""


@pytest.mark.soak
async def test_reader_that_stops_for_a_minute_delays_nobody(tmp_path: pathlib.Path) -> None:
    """Forty megabytes pass by while it does not read; then it gets every byte of them."""
    program = tmp_path / "clock.py"
    program.write_text(CLOCK, encoding="utf-8")
    with serving(tmp_path / "box") as daemon:
        async with aiohttp.ClientSession(daemon.url) as http:
            async with http.post("/process/session", json={"sessionId": "s"}):
                pass
            command = {"command": f"{sys.executable} {program} {SECONDS}", "runAsync": True}
            started = time.monotonic()
            async with http.post("/process/session/s/exec", json=command) as begun:
                logs = f"/process/session/s/command/{(await begun.json())['cmdId']}/logs?follow=true"
            delays, whole = [], bytearray()
            async with (
                http.ws_connect(logs, headers=NEWEST) as stopped,
                http.ws_connect(logs, headers=NEWEST) as reader,
            ):
                async for message in reader:
                    now = time.time()
                    whole += message.data
                    delays += [now - float(when) for when in re.findall(rb"(\d{10}\.\d{4}) x", message.data)]
                took = time.monotonic() - started
                late = b"".join([message.data async for message in stopped])
            async with http.get("/version") as answer:
                assert answer.status == 200
        assert took < SECONDS + 5
        assert len(whole) > 0.5 * SECONDS / 0.05 * 30 * 1000
        assert late.replace(b"\1\1\1", b"") == bytes(whole).replace(b"\1\1\1", b"")
        assert sorted(delays)[int(len(delays) * 0.99)] < 0.05, sorted(delays)[-5:]
        assert daemon.resident_mb() < 100
