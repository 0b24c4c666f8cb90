"""Terminals, beside bare ones: ``openpty`` and ``sh`` with nothing in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pty
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp

from bench.workload import Server, Workload

FLOOD = 50_000_000
LINE = b"the quick brown fox jumps over the lazy dog, and does so again 9\n"
END = b"@@end"
KEYS = 100
# What follows is the program's alone: no prompt, no echo, no translation.
QUIET = "PS1=; stty -echo -opost; exec sh -c '{script}'\n"
_names = itertools.count()


@contextlib.asynccontextmanager
async def terminal(server: Server) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    name = f"bench-{os.getpid()}-{next(_names)}"
    url = f"{server.url}/process/pty/create-connect?id={name}&cols=80&rows=24"
    async with server.http.ws_connect(url, protocols=("X-Daytona-Pty-Exit-Control",)) as ws:
        first = await ws.receive()
        assert first.type is aiohttp.WSMsgType.TEXT, first
        yield ws
        async with server.http.delete(f"{server.url}/process/pty/{name}") as done:
            assert done.status in {200, 404}


async def wait_for(ws: aiohttp.ClientWebSocketResponse, text: bytes) -> None:
    seen = b""
    while text not in seen:
        message = await ws.receive()
        assert message.type is aiohttp.WSMsgType.BINARY, message
        seen = seen[-len(text) :] + message.data


@contextlib.contextmanager
def bare_terminal(*argv: str) -> Iterator[int]:
    master, slave = pty.openpty()
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        yield master
    finally:
        child.kill()
        child.wait()
        os.close(master)


async def sample_bare_create(_: Server) -> list[float]:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        with bare_terminal("sh", "-i", "-l"):
            times.append((time.perf_counter() - started) * 1000)
    return times


async def sample_create(server: Server) -> list[float]:
    times = []
    for _ in range(20):
        started = time.perf_counter()
        async with terminal(server):
            times.append((time.perf_counter() - started) * 1000)
    return times


async def sample_bare_echo(_: Server) -> list[float]:
    times = []
    with bare_terminal("cat") as master:
        for _ in range(KEYS):
            started = time.perf_counter()
            os.write(master, b"x")
            os.read(master, 100)
            times.append((time.perf_counter() - started) * 1000)
    return times


async def sample_echo(server: Server) -> list[float]:
    times = []
    async with terminal(server) as ws:
        await ws.send_str("exec sh -c 'echo re\"\"ady; exec cat'\n")
        await wait_for(ws, b"ready\r\n")
        for _ in range(KEYS):
            started = time.perf_counter()
            await ws.send_bytes(b"x")
            await wait_for(ws, b"x")
            times.append((time.perf_counter() - started) * 1000)
    return times


@contextlib.contextmanager
def flood() -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(LINE * (FLOOD // len(LINE)) + END)
        file.flush()
        yield file.name


def read_flood(path: str) -> float:
    with bare_terminal("sh", "-c", f"stty -opost; cat {path}; sleep 100") as master:
        started = time.perf_counter()
        seen = b""
        while not seen.endswith(END):
            seen = seen[-len(END) :] + os.read(master, 65536)
        return (time.perf_counter() - started) * 1000


async def sample_bare_flood(_: Server) -> list[float]:
    with flood() as path:
        return [await asyncio.to_thread(read_flood, path)]


async def sample_flood(server: Server) -> list[float]:
    with flood() as path:
        async with terminal(server) as ws:
            await ws.send_str(QUIET.format(script=f"echo re''ady; read go; cat {path}; sleep 100"))
            await wait_for(ws, b"ready\n")
            started = time.perf_counter()
            await ws.send_str("go\n")
            await wait_for(ws, END)
            return [(time.perf_counter() - started) * 1000]


WORKLOADS = [
    Workload("bare terminal of sh", sample_bare_create, baseline=True),
    Workload("bare keystroke echo", sample_bare_echo, baseline=True),
    Workload("bare cat of 50 MB through a terminal", sample_bare_flood, baseline=True, rounds=3),
    Workload("terminal create to connected", sample_create, against="bare terminal of sh"),
    Workload("terminal keystroke echo", sample_echo, against="bare keystroke echo"),
    Workload(
        "terminal cat of 50 MB",
        sample_flood,
        rounds=3,
        against="bare cat of 50 MB through a terminal",
    ),
]
