"""Code runs of a daemon in this process: its loop is never blocked, and it closes without leaks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running, running
from toolbox.host import reaper
from toolbox.runs.registry import Kind

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def environ(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = f"{pathlib.Path(sys.executable).parent}:{environ.get('PATH', '')}"
    # Shared, because finding all fonts takes seconds.
    return {**environ, "PATH": path, "MPLCONFIGDIR": str(tmp_path_factory.getbasetemp() / "matplotlib")}


@pytest.fixture
async def warm(environ: dict[str, str]) -> AsyncIterator[Running]:
    """Serve a daemon that is a child subreaper, with a running fork server."""
    assert reaper.set_subreaper()
    try:
        async with running(environ) as daemon, aiohttp.ClientSession(daemon.url) as client:
            await run(client, "pass")
            await daemon.daemon.code.fork_servers.started()
            yield daemon
    finally:
        # Orphans of later tests must not be re-parented to this process.
        ctypes.CDLL(None).prctl(reaper.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


async def run(client: aiohttp.ClientSession, code: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    async with client.post("/process/code-run", json={"code": code, "language": "python", **fields}) as answer:
        assert answer.status == status, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('drawn')"


async def test_fresh_and_forked_runs_leave_no_resources(warm: Running) -> None:
    async with aiohttp.ClientSession(warm.url) as client:
        for envs in ({}, {"PYTHONFRESH": "1"}):
            answer = await run(client, DRAW, envs=envs)
            assert (answer["exitCode"], answer["result"]) == (0, "drawn\n")
            assert [chart["type"] for chart in answer["artifacts"]["charts"]] == ["line"]
        answers = await asyncio.gather(*(run(client, f"print({number})") for number in range(8)))
    assert [answer["result"] for answer in answers] == [f"{number}\n" for number in range(8)]


async def test_run_is_in_the_list_of_processes_while_it_runs(environ: dict[str, str]) -> None:
    async with running(environ) as daemon, aiohttp.ClientSession(daemon.url) as client:
        os.mkfifo(daemon.home / "gate")
        task = asyncio.create_task(run(client, "print('in', flush=True)\nopen('gate').read()"))
        opened = await asyncio.to_thread(os.open, daemon.home / "gate", os.O_WRONLY)
        entries = [entry for entry in daemon.daemon.registry if entry.kind is Kind.CODE and entry.running]
        assert [entry.command for entry in entries] == ["print('in', flush=True)\nopen('gate').read()"]
        assert entries[0].pid is not None
        os.close(opened)
        assert (await task)["exitCode"] == 0


async def test_killed_fork_server_is_replaced_and_its_runs_continue(warm: Running) -> None:
    servers = warm.daemon.code.fork_servers._servers
    async with aiohttp.ClientSession(warm.url) as client:
        os.mkfifo(warm.home / "gate")
        task = asyncio.create_task(run(client, "open('gate').read()\nraise SystemExit(5)"))
        opened = await asyncio.to_thread(os.open, warm.home / "gate", os.O_WRONLY)
        server = next(iter(servers.values()))
        first = server.child.state.pid
        assert first is not None
        workers = server.child.session
        os.kill(first, signal.SIGKILL)
        await server.child.wait()
        os.close(opened)
        assert (await task)["exitCode"] == 5
        for _ in range(8):  # what was forked before it died may still be used
            assert (await run(client, "print(1)"))["result"] == "1\n"
        await warm.daemon.code.fork_servers.started()
        assert (await run(client, "print(1)"))["result"] == "1\n"
        assert server.child.state.pid not in {first, None}
        assert len(workers) == 0


async def test_daemon_that_ends_answers_who_waits(environ: dict[str, str]) -> None:
    async with running(environ) as daemon, aiohttp.ClientSession(daemon.url) as client:
        os.mkfifo(daemon.home / "gate")
        task = asyncio.create_task(run(client, "open('gate').read()\nimport time\ntime.sleep(60)", status=503))
        opened = await asyncio.to_thread(os.open, daemon.home / "gate", os.O_WRONLY)
        os.close(opened)
        await daemon.daemon.code.stop()
        assert "shutting down" in (await task)["message"]


async def test_disconnect_does_not_end_the_run(environ: dict[str, str]) -> None:
    async with running(environ) as daemon, aiohttp.ClientSession(daemon.url) as client:
        os.mkfifo(daemon.home / "gate")
        task = asyncio.create_task(run(client, "open('gate').read()\nopen('done', 'w').close()"))
        opened = await asyncio.to_thread(os.open, daemon.home / "gate", os.O_WRONLY)
        task.cancel()
        await asyncio.wait([task])
        entry = next(entry for entry in daemon.daemon.registry if entry.kind is Kind.CODE)
        os.close(opened)
        assert (await entry.wait()).code == 0
        assert (daemon.home / "done").exists()
