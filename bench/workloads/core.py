"""Start, memory, /version and exec, beside a bare aiohttp handler and a bare spawn of ``sh``."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import time

from aiohttp import ClientSession, web

from bench.spawn import spawned
from bench.workload import Server, Workload

TEN_MB = "head -c 10000000 /dev/zero | tr '\\0' x"
HUGE = "head -c 500000000 /dev/zero | tr '\\0' x"


async def timed(work: object) -> float:
    """Return the milliseconds an awaitable takes."""
    started = time.perf_counter()
    await work  # type: ignore[misc]
    return (time.perf_counter() - started) * 1000


async def execute(server: Server, command: str, **fields: object) -> None:
    async with server.http.post(f"{server.url}/process/execute", json={"command": command, **fields}) as answer:
        assert answer.status == 200, await answer.text()
        async for _ in answer.content.iter_any():
            pass


async def version(server: Server) -> None:
    async with server.http.get(f"{server.url}/version") as answer:
        assert answer.status == 200
        await answer.read()


async def sample_version(server: Server) -> list[float]:
    return [await timed(version(server)) for _ in range(300)]


async def sample_bare_handler(_: Server) -> list[float]:
    """Time the same request against the least that aiohttp can serve."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"version": "0"})

    listener = socket.create_server(("127.0.0.1", 0))
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.SockSite(runner, listener).start()
    async with ClientSession() as session:
        bare = Server("bare", f"http://127.0.0.1:{listener.getsockname()[1]}", session=session)
        times = [await timed(version(bare)) for _ in range(300)]
    await runner.cleanup()
    return times


async def sample_exec(server: Server) -> list[float]:
    return [await timed(execute(server, "true")) for _ in range(40)]


async def sample_exec_variable(server: Server) -> list[float]:
    return [await timed(execute(server, "true", envs={"BENCH": "1"})) for _ in range(40)]


async def sample_exec_paused(server: Server) -> list[float]:
    """Leave 20 ms between commands: whoever drives them thinks longer."""
    times = []
    for _ in range(20):
        await asyncio.sleep(0.02)
        times.append(await timed(execute(server, "true")))
    return times


async def sample_bare_sh_paused(_: Server) -> list[float]:
    times = []
    for _ in range(20):
        await asyncio.sleep(0.02)
        times.append(await timed(bare_spawn("sh")))
    return times


async def sample_exec_16(server: Server) -> list[float]:
    """Keep 16 commands going, 96 in all; the time is that of each command's share."""

    async def worker() -> None:
        for _ in range(6):
            await execute(server, "true")

    return [await timed(asyncio.gather(*(worker() for _ in range(16)))) / 96]


async def bare_spawn(shell: str) -> None:
    process = await asyncio.create_subprocess_exec(shell, "-c", "true", stdout=subprocess.PIPE)
    await process.communicate()


async def sample_bare_sh(_: Server) -> list[float]:
    return [await timed(bare_spawn("sh")) for _ in range(40)]


async def sample_bare_shell(_: Server) -> list[float]:
    """Start the shell that commands run in unless another is configured; bash takes longer to start than most sh."""
    shell = next(name for name in ("zsh", "bash", "sh") if shutil.which(name))
    return [await timed(bare_spawn(shell)) for _ in range(40)]


async def sample_output(server: Server) -> list[float]:
    return [await timed(execute(server, TEN_MB))]


async def sample_bare_output(_: Server) -> list[float]:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec("sh", "-c", TEN_MB, stdout=subprocess.PIPE)
        await process.communicate()

    return [await timed(run())]


def resident_mb(pid: int) -> float:
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def sample_idle_rss(_: Server) -> list[float]:
    async with spawned() as server:
        assert server.pid is not None
        await version(server)
        return [resident_mb(server.pid)]


async def sample_huge_output(_: Server) -> list[float]:
    async with spawned() as server:
        assert server.pid is not None
        await execute(server, "true")
        before = resident_mb(server.pid)
        await execute(server, HUGE)
        return [resident_mb(server.pid) - before]


async def sample_first_answer(_: Server) -> list[float]:
    started = time.perf_counter()
    async with spawned() as server:
        await version(server)
        return [(time.perf_counter() - started) * 1000]


def cpu_seconds(code: str) -> float:
    """Return the CPU milliseconds of an isolated interpreter that runs ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


async def sample_import_aiohttp(_: Server) -> list[float]:
    return [await asyncio.to_thread(cpu_seconds, "from aiohttp import web")]


async def sample_first_answer_cpu(_: Server) -> list[float]:
    async with spawned() as server:
        await version(server)
        assert server.pid is not None
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{server.pid}/schedstat").read_text(encoding="ascii").split()
            return [sum(map(thread_ms, pathlib.Path(f"/proc/{server.pid}/task").iterdir()))] if fields else []
    return []


def thread_ms(task: pathlib.Path) -> float:
    return int((task / "schedstat").read_text(encoding="ascii").split()[0]) / 1e6


WORKLOADS = [
    Workload("bare aiohttp handler", sample_bare_handler, per_second=1, baseline=True),
    Workload("bare spawn of the shell", sample_bare_shell, per_second=1, baseline=True),
    Workload("bare spawn of sh", sample_bare_sh, per_second=1, baseline=True),
    Workload("bare 10 MB through a pipe", sample_bare_output, baseline=True),
    Workload("cpu of importing aiohttp.web", sample_import_aiohttp, baseline=True),
    Workload("start to first answer", sample_first_answer, needs_pid=True),
    Workload(
        "cpu to first answer",
        sample_first_answer_cpu,
        needs_pid=True,
        against="cpu of importing aiohttp.web",
        limit=1.6,
    ),
    Workload("idle rss", sample_idle_rss, unit="MB", rounds=3, needs_pid=True),
    Workload("rss growth by 500 MB of output", sample_huge_output, unit="MB", rounds=1, needs_pid=True),
    Workload("/version", sample_version, per_second=1, against="bare aiohttp handler"),
    Workload("bare spawn of sh, after a pause", sample_bare_sh_paused, baseline=True),
    Workload("exec true", sample_exec, per_second=1, against="bare spawn of sh", limit=3.0),
    Workload("exec true, after a pause", sample_exec_paused, against="bare spawn of sh, after a pause", limit=3.0),
    Workload("exec with a variable", sample_exec_variable, per_second=1, against="bare spawn of the shell", limit=2.0),
    Workload("exec true, 16 at a time, each", sample_exec_16, per_second=1, against="bare spawn of the shell"),
    Workload("exec with 10 MB of output", sample_output, against="bare 10 MB through a pipe"),
]
