"""Fork servers whose interpreters are small scripts; ``tests/http/test_code_inside.py`` uses real ones."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pathlib
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from toolbox.host import reaper
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.process.code.fork_server import MAX_SERVERS, ForkServerPool

SERVER = """#!{python} -S
import socket, sys
open({starts!r}, "a").write("started\\n")
control = socket.socket(fileno=int(sys.argv[-1]))
control.send(b"ready")
while control.recv(16):
    control.send({answer!r})
"""


@pytest.fixture
async def procs(tmp_path: pathlib.Path) -> AsyncIterator[Procs]:
    assert await asyncio.to_thread(reaper.set_subreaper)
    spool = Spool(tmp_path / "spool")
    host = Procs(spool)
    yield host
    await host.close()
    await spool.close()
    ctypes.CDLL(None).prctl(reaper.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
async def servers(procs: Procs) -> AsyncIterator[ForkServerPool]:
    made = ForkServerPool(procs, workdir="/", max_output=1000)
    yield made
    await made.close()


@pytest.fixture
def interpreter(tmp_path: pathlib.Path) -> Callable[..., str]:
    """Return a function that writes an interpreter whose server answers every request with ``answer``."""

    def write(name: str, answer: bytes = b"none", text: str = SERVER) -> str:
        path = tmp_path / name
        text = text.format(python=sys.executable, starts=str(tmp_path / "starts"), answer=answer)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


async def use(servers: ForkServerPool, python: str, times: int = 1) -> None:
    for _ in range(times):
        assert await servers.take(python, {"PATH": os.environ["PATH"]}, {}, 1) is None
        await servers.started()


def starts(folder: pathlib.Path) -> int:
    return (folder / "starts").read_text(encoding="utf-8").count("started")


async def test_server_that_ends_for_lack_of_memory_is_not_started_again_soon(
    servers: ForkServerPool, interpreter: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    await use(servers, interpreter("python3", b"memory"), 4)
    assert starts(tmp_path) == 1


async def test_server_that_is_out_of_date_is_replaced(
    servers: ForkServerPool, interpreter: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    await use(servers, interpreter("python3", b"stale"), 4)
    assert starts(tmp_path) > 1


async def test_server_that_cannot_start_is_tried_once(
    servers: ForkServerPool,
    interpreter: Callable[..., str],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = "#!/bin/sh\necho started >>{starts}\necho broken interpreter >&2\nexit 3\n"
    python = interpreter("python3", text=text)
    await use(servers, python, 4)
    assert starts(tmp_path) == 1
    expected = f"fork server {python} failed to start: exited with status 3: broken interpreter"
    assert [record.getMessage() for record in caplog.records] == [expected]


async def test_least_recently_used_server_is_ended(
    procs: Procs, servers: ForkServerPool, interpreter: Callable[..., str]
) -> None:
    pythons = [interpreter(f"python{number}", b"") for number in range(MAX_SERVERS + 1)]
    for python in pythons[:-1]:
        await use(servers, python)
    kept = {child.pid for child in procs.live}
    await use(servers, pythons[-1])
    now = {child.pid for child in procs.live}
    assert (len(kept), len(now), len(kept & now)) == (MAX_SERVERS, MAX_SERVERS, MAX_SERVERS - 1)


async def test_process_to_which_orphans_do_not_come_starts_no_server(
    servers: ForkServerPool, interpreter: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    await asyncio.to_thread(ctypes.CDLL(None).prctl, reaper.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    if await asyncio.to_thread(reaper.is_subreaper):
        pytest.skip("this is PID 1")
    await use(servers, interpreter("python3"), 2)
    assert not (tmp_path / "starts").exists()
