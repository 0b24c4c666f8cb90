"""Fixtures that every tier shares: a clean environment, the real daemon on a real port, and the leak guard."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import pathlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from toolbox.daemon import Daemon
from toolbox.settings import read

# A library's own thread closes what it used a moment after we let go of it, and tells nobody.
SETTLE_SECONDS = 1.0


@dataclasses.dataclass
class Running:
    """A daemon that serves in this process."""

    url: str
    daemon: Daemon
    home: pathlib.Path

    @property
    def port(self) -> int:
        """Return the TCP port."""
        return int(self.url.rpartition(":")[2])


def _fds() -> set[tuple[str, str]]:
    found = set()
    for entry in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add((entry.name, str(entry.readlink())))
    return found


def _children() -> set[str]:
    found: set[str] = set()
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= set((task / "children").read_text(encoding="ascii").split())
    return found


def _left_open(before: set[tuple[str, str]]) -> set[str]:
    return {target for _, target in _fds() - before if not target.startswith(("anon_inode:[eventpoll]", "socket:"))}


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """Keep what was there before out of the collection that follows each test: it would take most of its time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def leak_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a child process, an open file or a non-daemon thread behind."""
    if request.node.get_closest_marker("leaks_allowed"):
        yield
        return
    fds, children, threads = _fds(), _children(), set(threading.enumerate())
    yield
    gc.collect()
    left = _left_open(fds)
    limit = time.monotonic() + SETTLE_SECONDS
    while left and time.monotonic() < limit:
        time.sleep(0.002)
        left = _left_open(fds)
    assert not _children() - children, "child processes were left behind"
    assert not left, f"open files were left behind: {left}"
    alive = {thread for thread in set(threading.enumerate()) - threads if thread.is_alive() and not thread.daemon}
    executors = {thread for thread in alive if thread.name.startswith("asyncio_")}
    assert not alive - executors, f"threads were left behind: {alive - executors}"


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """Fail a test in which our code blocks the event loop."""
    if request.node.get_closest_marker("blocking_allowed"):
        yield None
        return
    with blockbuster_ctx("toolbox") as guard:
        yield guard


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the test a HOME of its own and none of the settings of whoever runs it."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("TOOLBOX_", "DAYTONA_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def environ(clean_environment: pathlib.Path) -> dict[str, str]:
    """Return the environment the daemon of this test starts with; override it to set more."""
    return {
        **os.environ,
        "HOME": str(clean_environment),
        "DAYTONA_SANDBOX_ID": "box",
        "DAYTONA_DAEMON_LOG_FILE_PATH": "",
        "TOOLBOX_WORKDIR": str(clean_environment),
    }


@contextlib.asynccontextmanager
async def running(environ: dict[str, str]) -> AsyncIterator[Running]:
    """Serve a daemon built from ``environ`` on a free loopback port."""
    settings = read(environ, [])
    daemon = await asyncio.to_thread(Daemon, settings, settings.token)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    await daemon.start([listener])
    try:
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", daemon, pathlib.Path(settings.home))
    finally:
        await daemon.close()


@pytest.fixture
async def server(environ: dict[str, str]) -> AsyncIterator[Running]:
    """Serve the whole daemon, without a token, on a real port."""
    async with running(environ) as daemon:
        yield daemon


@pytest.fixture
async def client(server: Running) -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client whose base is the served daemon."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session
