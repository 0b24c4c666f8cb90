"""Many commands against a daemon in a process of its own, also as PID 1: what they cost and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.timing import bare_spawn
from toolbox.host import tree

ROOT = pathlib.Path(__file__).parents[2]
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
LINE = b"Starting toolbox server on port "

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(120)]


def can_unshare() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Replace the guard: the loop here is that of the client, the daemon has its own process."""


class Target:
    """A daemon of which we know the process."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def fds(self) -> int:
        return sum(1 for _ in pathlib.Path(f"/proc/{self.pid}/fd").iterdir())

    def resident(self) -> int:
        fields = pathlib.Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def zombies(self) -> set[int]:
        entries = tree.table()
        return {item.pid for item in entries.values() if item.state == "Z" and item.parent in (self.pid, self.init())}

    def init(self) -> int:
        item = tree.entry(self.pid)
        return item.parent if item else 0


def daemon_below(root: int) -> int:
    """Return the process that listens: the deepest of the chain init, daemon."""
    pid = root
    entries = tree.table()
    while below := [item.pid for item in entries.values() if item.parent == pid]:
        pid = below[0]
    return pid


@contextlib.contextmanager
def daemon(home: pathlib.Path, *prefix: str) -> Iterator[Target]:
    environ = {**os.environ, "HOME": str(home), "TOOLBOX_WORKDIR": str(home), "LOG_LEVEL": "warn"}
    environ |= {"DAYTONA_DAEMON_LOG_FILE_PATH": ""}
    command = [*prefix, sys.executable, "-m", "toolbox", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(LINE)
        yield Target(f"http://127.0.0.1:{int(line[len(LINE) :])}", daemon_below(process.pid))
    finally:
        # Not to unshare, which passes nothing on: to the daemon, or to the init in front of it.
        first = [item.pid for item in tree.table().values() if item.parent == process.pid]
        os.kill(first[0] if prefix else process.pid, signal.SIGTERM)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(params=["child", "pid1"])
def target(request: pytest.FixtureRequest, clean_environment: pathlib.Path) -> Iterator[Target]:
    if request.param == "pid1" and not can_unshare():
        pytest.skip("pid namespaces are not allowed here")
    with daemon(clean_environment, *(NAMESPACE if request.param == "pid1" else [])) as found:
        yield found


@pytest.fixture
async def client(target: Target) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(target.url, connector=connector) as session:
        yield session


async def execute(client: aiohttp.ClientSession, command: str, **fields: object) -> dict[str, object]:
    async with client.post("/process/execute", json={"command": command, **fields}) as response:
        body: dict[str, object] = await response.json()
        assert response.status == 200, body
        return body


async def burst(client: aiohttp.ClientSession, count: int, at_once: int) -> list[tuple[int, dict[str, object]]]:
    """Run commands with orphans of their own, ``at_once`` at a time; return what came back wrong."""
    numbers = iter(range(count))
    wrong = []

    async def worker() -> None:
        for n in numbers:
            body = await execute(client, f"(sleep 0.01 >/dev/null 2>&1 &); echo {n}; exit {n % 256}")
            if body != {"exitCode": n % 256, "result": f"{n}\n"}:
                wrong.append((n, body))

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return wrong


async def test_thousand_commands_a_hundred_at_a_time(target: Target, client: aiohttp.ClientSession) -> None:
    assert await burst(client, 100, 100) == []
    # Connections of the client are descriptors of the daemon, so both counts are taken with as many of them open.
    await settled(target)
    before = target.fds()
    start = time.perf_counter()
    assert await burst(client, 1000, 100) == []
    seconds = time.perf_counter() - start
    await settled(target)
    print(f"\n1000 commands in {seconds:.2f} s, {1000 / seconds:.0f}/s; descriptors {before} -> {target.fds()}")
    assert target.fds() <= before


async def settled(target: Target) -> None:
    """Wait until nothing of the commands is left: there is no event for a zombie of somebody else's."""
    async with asyncio.timeout(5):
        while target.zombies() or len(tree.descendants({target.pid}, tree.table())) > 1:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("target", ["child"], indirect=True)
async def test_half_a_gigabyte_of_output_leaves_no_memory_behind(target: Target, client: aiohttp.ClientSession) -> None:
    await execute(client, "head -c 3000000 /dev/zero | tr '\\0' x")
    before = target.resident()
    start = time.perf_counter()
    body = await execute(client, "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 500000000")
    seconds = time.perf_counter() - start
    grown = (target.resident() - before) / 1e6
    print(f"\n500 MB in {seconds:.2f} s, {500 / seconds:.0f} MB/s; resident +{grown:.1f} MB")
    assert "bytes omitted" in str(body["result"])
    assert grown < 40


@pytest.mark.parametrize("target", ["child"], indirect=True)
async def test_a_command_costs_little_more_than_a_bare_spawn(target: Target, client: aiohttp.ClientSession) -> None:
    async def bare() -> float:
        start = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "true", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        await process.communicate()
        return time.perf_counter() - start

    async def ours() -> float:
        start = time.perf_counter()
        await execute(client, "true")
        return time.perf_counter() - start

    async def medians() -> tuple[float, float]:
        pairs = [(await bare(), await ours()) for _ in range(150)]
        return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)

    # Other work on the machine slows down what has more threads: the quietest of up to eight rounds counts. Against
    # `sh`, which is dash on Debian: bash alone takes up to 1 ms more to start.
    ratios: list[float] = []
    while len(ratios) < 8 and min(ratios, default=4.0) > 3.0:
        bare_s, ours_s = await medians()
        ratios.append(ours_s / bare_s)
        print(f"\nexec true {ours_s * 1e3:.2f} ms, bare {bare_s * 1e3:.2f} ms, ratio {ratios[-1]:.2f}", end="")
    assert min(ratios) <= 3.0


async def test_timeouts_are_answered_at_once_and_leave_nothing(target: Target, client: aiohttp.ClientSession) -> None:
    async def one() -> float:
        start = time.perf_counter()
        body = {"command": "sleep 100 & setsid sleep 100 & (sleep 100 &) ; sleep 100", "timeout": 1}
        async with client.post("/process/execute", json=body) as response:
            assert response.status == 408
        return time.perf_counter() - start - 1

    await execute(client, "true")
    bare = bare_spawn()
    alone = [await one() for _ in range(3)]
    crowd = await asyncio.gather(*(one() for _ in range(20)))
    print(f"\nseconds after the deadline: {statistics.median(alone):.3f}, {statistics.median(crowd):.3f} of 20 at once")
    assert statistics.median(alone) < 100 * bare
    await settled(target)
