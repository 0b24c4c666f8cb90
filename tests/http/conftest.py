"""The files component alone on a port: what its tests need of the daemon, and nothing another component could break."""

from __future__ import annotations

import dataclasses
import pathlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from toolbox.fs.component import FilesComponent
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys


@dataclasses.dataclass
class Files:
    """The files component, served."""

    url: str
    port: int
    work: pathlib.Path
    component: FilesComponent
    procs: Procs
    server: HttpServer


@pytest.fixture
async def files(tmp_path: pathlib.Path) -> AsyncIterator[Files]:
    """Serve ``/files`` below a working directory of its own."""
    work, state = tmp_path / "work", tmp_path / "state"
    work.mkdir()
    spool = Spool(tmp_path)
    procs = Procs(spool)
    component = FilesComponent(workdir=str(work), state_dir=str(state), procs=procs)
    server = HttpServer(collect(*component.apis), Access(SigningKeys()), sandbox_id="box")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await server.start([listener])
    await component.start()
    yield Files(f"http://127.0.0.1:{port}", port, work, component, procs, server)
    await server.drain(5)
    await server.close()
    await procs.close()
    await spool.close()
    await component.close()


@pytest.fixture
async def api(files: Files) -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client whose base is the served component."""
    async with aiohttp.ClientSession(files.url) as session:
        yield session


@pytest.fixture
def work(files: Files) -> pathlib.Path:
    """Return the working directory."""
    return files.work
