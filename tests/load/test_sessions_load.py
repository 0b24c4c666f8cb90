"""Two hundred sessions at once in a daemon of its own, and what they leave behind."""

from __future__ import annotations

import asyncio
import pathlib

import aiohttp
import pytest

from tests.daemon_process import serving
from tests.load.test_terminals_load import holdings, surplus

COUNT = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


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
        before = holdings(daemon)
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(use(http, f"again{number}") for number in range(COUNT)))
        assert await surplus(daemon, before) == [0, 0, 0]
        assert not list((daemon.home / ".daytona" / "sessions").iterdir())
