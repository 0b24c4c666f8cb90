"""Many terminals at once in a daemon of its own: what they cost others, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.daemon_process import Process, serving
from tests.terminal_client import connected, new
from toolbox.host import tree

COUNT = 100
SECONDS = 60
# Pools of threads grow up to their size only when they are busy.
POOLED = 4

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Replace the guard: the loop here is that of the client, the daemon has its own process."""


def holdings(daemon: Process) -> tuple[int, int, int]:
    """Count the descriptors, threads and descendants of the daemon."""
    proc = pathlib.Path(f"/proc/{daemon.pid}")
    fds = sum(1 for _ in (proc / "fd").iterdir())
    threads = sum(1 for _ in (proc / "task").iterdir())
    return fds, threads, len(tree.descendants([daemon.pid], tree.table()))


async def surplus(daemon: Process, before: tuple[int, int, int]) -> list[int]:
    """Return what there is more of than before, once closed connections have been noticed."""
    limit = time.monotonic() + 10
    while True:
        more = [max(now - then, 0) for now, then in zip(holdings(daemon), before, strict=True)]
        more[1] = max(more[1] - POOLED, 0)
        if not any(more) or time.monotonic() > limit:
            return more
        await asyncio.sleep(0.1)


async def use(session: aiohttp.ClientSession, name: str) -> None:
    """Make a terminal, have it write something, and delete it while it runs on."""
    async with connected(session, new(name)) as tty:
        await tty.type(f"seq 3000; sleep 1000 & echo re''ady {name}\n")
        await tty.until(f"ready {name}")
        async with session.delete(f"/process/pty/{name}") as done:
            assert done.status == 200
        assert (await tty.end())[0] == 1011


async def test_hundred_terminals_leave_nothing(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path / "box") as daemon:
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(use(session, f"first{number}") for number in range(COUNT)))
        before = holdings(daemon)
        resident = daemon.resident_mb()
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(use(session, f"again{number}") for number in range(COUNT)))
        assert await surplus(daemon, before) == [0, 0, 0]
        assert daemon.resident_mb() < 1.1 * resident


ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
while data := client.recv(100):
    client.sendall(data)
"""
PROBE = """
import http.client, json, select, socket, sys, time
daemon = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
bare = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
times = []
while not select.select([sys.stdin], [], [], 0.02)[0]:
    started = time.monotonic()
    daemon.request("GET", "/version")
    assert daemon.getresponse().read()
    asked = time.monotonic()
    bare.sendall(b"ping")
    bare.recv(100)
    times.append([asked - started, time.monotonic() - asked])
print(json.dumps(times))
"""


@dataclasses.dataclass
class Stalls:
    """Seconds that ``/version`` took, and beside each what a bare program that only answers took at that time."""

    times: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def worst(self, *, after: float = 0.0) -> list[float]:
        """Return by how much the slowest few were slower than the bare program, without the first part of them.

        What takes the processors from the bare program too is not the daemon's fault.
        """
        return sorted(ours - theirs for ours, theirs in self.times[int(after * len(self.times)) :])[-5:]


@contextlib.asynccontextmanager
async def probing(url: str) -> AsyncIterator[Stalls]:
    """Ask for the version all the time, in a process of its own: this one is as busy as all its clients together."""
    found = Stalls()
    pipe = asyncio.subprocess.PIPE
    echo = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=pipe)
    assert echo.stdout is not None
    ports = url.rpartition(":")[2], (await echo.stdout.readline()).decode().strip()
    probe = await asyncio.create_subprocess_exec(sys.executable, "-c", PROBE, *ports, stdin=pipe, stdout=pipe)
    try:
        yield found
        output, _ = await probe.communicate(b"stop")
        found.times += json.loads(output)
    finally:
        for process in (probe, echo):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def chat(session: aiohttp.ClientSession, number: int, until: float) -> int:
    """Type and read, as a person does, who does not begin when all others do."""
    turns = 0
    await asyncio.sleep(number / COUNT)
    async with connected(session, new(f"chat{number}")) as tty:
        await tty.type("PS1=; stty -echo\n")
        while time.monotonic() < until:
            await tty.type(f"echo turn {turns}\n")
            await tty.until(f"turn {turns}\r\n")
            turns += 1
            await asyncio.sleep(0.5)
        async with session.delete(f"/process/pty/chat{number}"):
            return turns


async def flood(session: aiohttp.ClientSession, until: float) -> int:
    """Read a flood on a terminal on which another client reads nothing; return how much came."""
    async with connected(session, new("flood")), connected(session, "flood/connect?replay=0") as tty:
        await tty.type("while :; do seq 20000; sleep 0.2; done\n")
        count = 0
        while time.monotonic() < until:
            await tty.step()
            count += len(tty.output)
            tty.output.clear()
        async with session.delete("/process/pty/flood"):
            return count


@pytest.mark.soak
async def test_hundred_terminals_for_a_minute(tmp_path: pathlib.Path) -> None:
    with serving(tmp_path / "box") as daemon:
        async with aiohttp.ClientSession(daemon.url, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(use(session, f"warm{number}") for number in range(COUNT)))
            before, resident = holdings(daemon), daemon.resident_mb()
            until = time.monotonic() + SECONDS
            async with probing(daemon.url) as stalls:
                count, *turns = await asyncio.gather(
                    flood(session, until),
                    *(chat(session, number, until) for number in range(COUNT - 1)),
                )
        # All hundred shells start at once at first, and want the processors as much as the daemon does.
        assert stalls.worst(after=0.1)[-3] < 0.05, stalls.worst(after=0.1)
        assert min(turns) > SECONDS
        # One loop of the script takes a good 0.2 s: nobody waited for the client that does not read.
        assert count > 2 * SECONDS * 100_000
        assert await surplus(daemon, before) == [0, 0, 0]
        assert daemon.resident_mb() < 1.1 * resident + 5
