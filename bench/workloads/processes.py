"""Processes through ``/processes``: start to end, from there to the end of the stream, and how fast output is read."""

from __future__ import annotations

import json
import time

from bench.workload import Server, Workload

FLOOD = 50_000_000
# The program says when it ends, as late as it can.
LAST_WORD = "echo ready; read go; exec date +%s.%N"


async def start(server: Server, command: str, **fields: object) -> str:
    body = {"shellCommand": command, "shell": "sh", **fields}
    async with server.http.post(f"{server.url}/processes", json=body) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["id"])


async def wait(server: Server, process: str) -> None:
    async with server.http.get(f"{server.url}/processes/{process}/wait") as answer:
        assert (await answer.json())["exitCode"] == 0


async def one(server: Server) -> float:
    started = time.perf_counter()
    await wait(server, await start(server, "true"))
    return (time.perf_counter() - started) * 1000


async def sample_start(server: Server) -> list[float]:
    return [await one(server) for _ in range(40)]


async def last_word(server: Server) -> float:
    """Return the milliseconds from the last thing a process does to the end of the stream that follows it."""
    process = await start(server, LAST_WORD, stdin="pipe")
    said, name = "", ""
    async with server.http.get(f"{server.url}/processes/{process}/logs?follow=true") as stream:
        async for line in stream.content:
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            elif line.startswith(b"data: ") and name == "log":
                said = json.loads(line[6:])["data"]
                if said == "ready\n":
                    url = f"{server.url}/processes/{process}/stdin"
                    async with server.http.post(url, json={"data": "go\n"}) as answer:
                        assert answer.status == 204
    return (time.time() - float(said)) * 1000


async def sample_last_word(server: Server) -> list[float]:
    return [await last_word(server) for _ in range(20)]


async def sample_follow(server: Server) -> list[float]:
    process = await start(server, f"head -c {FLOOD} /dev/zero | tr '\\0' x")
    await wait(server, process)
    count = 0
    started = time.perf_counter()
    async with server.http.get(f"{server.url}/processes/{process}/logs?follow=true") as stream:
        async for chunk in stream.content.iter_any():
            count += len(chunk)
    assert count > FLOOD
    return [FLOOD / 1e6 / (time.perf_counter() - started)]


WORKLOADS = [
    Workload("process start to its end", sample_start, per_second=1, against="bare spawn of the shell"),
    Workload("end of a process to the end of its stream", sample_last_word),
    Workload("follow 50 MB of output by events", sample_follow, unit="MB/s", rounds=3),
]
