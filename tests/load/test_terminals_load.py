"""Many terminals at once in a daemon of its own: what they cost others, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.daemon_process import Process, serving
from tests.terminal_client import connected, new
from toolbox.host import tree

COUNT = 100
SECONDS = 60
# Pools of threads grow up to their size only when they are busy.
POOLED = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


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
import asyncio
async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def bare() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Have a program beside the daemon that does nothing but answer: what delays it too is not the daemon's fault."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(await process.stdout.readline()))

    async def ask() -> None:
        writer.write(b"ping\n")
        await reader.readline()

    yield ask
    process.kill()
    await process.wait()
    writer.close()


async def timed(work: Awaitable[None]) -> float:
    """Return the seconds that something takes."""
    started = time.monotonic()
    await work
    return time.monotonic() - started


async def stalls(session: aiohttp.ClientSession, until: float | Callable[[], float]) -> list[float]:
    """Ask for the version all the time; return how much longer each answer took than one of a bare program."""
    end = until if callable(until) else lambda: until

    async def version() -> None:
        async with session.get("/version") as got:
            assert got.status == 200

    times = []
    async with bare() as ask:
        while time.monotonic() < end():
            ours, theirs = await asyncio.gather(timed(version()), timed(ask()))
            times.append(ours - theirs)
            await asyncio.sleep(0.02)
    return times


async def chat(session: aiohttp.ClientSession, number: int, until: float) -> int:
    """Type and read, as a person does."""
    turns = 0
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
            times, count, *turns = await asyncio.gather(
                stalls(session, until),
                flood(session, until),
                *(chat(session, number, until) for number in range(COUNT - 1)),
            )
        assert isinstance(times, list)
        # All hundred shells start at once at first, and want the processors as much as the daemon does.
        slowest = sorted(times[len(times) // 10 :])
        assert slowest[-3] < 0.05, f"slowest of {len(times)}: {slowest[-5:]}"
        assert min(turns) > SECONDS
        # One loop of the script takes a good 0.2 s: nobody waited for the client that does not read.
        assert count > 2 * SECONDS * 100_000
        assert await surplus(daemon, before) == [0, 0, 0]
        assert daemon.resident_mb() < 1.1 * resident + 5
