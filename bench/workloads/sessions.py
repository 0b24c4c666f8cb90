"""Sessions: a command in a shell that is there already, logs that are followed, and how soon their end is known."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator

import aiohttp

from bench.workload import Server, Workload

FLOOD = 50_000_000
BATCH = 50
HEADERS = {"X-Daytona-SDK-Version": "0.226.1"}
_names = itertools.count()


@contextlib.asynccontextmanager
async def session(server: Server) -> AsyncIterator[str]:
    name = f"bench-{os.getpid()}-{next(_names)}"
    async with server.http.post(f"{server.url}/process/session", json={"sessionId": name}) as made:
        assert made.status == 201, await made.text()
    url = f"{server.url}/process/session/{name}"
    await run(server, url, "true")
    yield url
    async with server.http.delete(url) as done:
        assert done.status == 204, await done.text()


async def run(server: Server, url: str, command: str, *, background: bool = False) -> str:
    body = {"command": command, "runAsync": background}
    async with server.http.post(f"{url}/exec", json=body, headers=HEADERS) as answer:
        return str((await answer.json())["cmdId"])


async def sample_exec(server: Server) -> list[float]:
    times = []
    async with session(server) as url:
        for _ in range(BATCH):
            started = time.perf_counter()
            await run(server, url, "true")
            times.append((time.perf_counter() - started) * 1000)
    return times


async def sample_create(server: Server) -> list[float]:
    times = []
    for _ in range(10):
        started = time.perf_counter()
        async with session(server):
            times.append((time.perf_counter() - started) * 1000)
    return times


def follow(server: Server, url: str, command: str) -> aiohttp.client._WSRequestContextManager:
    return server.http.ws_connect(f"{url}/command/{command}/logs?follow=true", headers=HEADERS, max_msg_size=0)


async def sample_follow(server: Server) -> list[float]:
    async with session(server) as url:
        started = time.perf_counter()
        command = await run(server, url, f"yes $(printf '%098d' 0) | head -c {FLOOD}", background=True)
        size = 0
        async with follow(server, url, command) as ws:
            async for message in ws:
                size += len(message.data)
        assert size > FLOOD
        return [(time.perf_counter() - started) * 1000]


async def sample_end(server: Server) -> list[float]:
    """Return how long after the moment that a program printed last its stream ends."""
    times = []
    async with session(server) as url:
        for _ in range(10):
            command = await run(server, url, "sleep 0.1; date +%s%N", background=True)
            last = b""
            async with follow(server, url, command) as ws:
                async for message in ws:
                    last = message.data
            times.append((time.time_ns() - int(last[3:])) / 1e6)
    return times


WORKLOADS = [
    Workload("session create and first command", sample_create),
    Workload("session exec true", sample_exec, per_second=1, against="bare spawn of the shell", limit=3.0),
    Workload("session follow 50 MB", sample_follow, rounds=3, per_second=FLOOD / 1e6),
    Workload("session end of program to end of stream", sample_end),
]
