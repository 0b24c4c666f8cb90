"""The terminals component alone on a port, and a client that reads one terminal byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import re
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.terminals.component import TerminalsComponent
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry

EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
IN_BAND = "X-Toolbox-Pty-Control"
CONNECTED = '{"type":"control","status":"connected"}'
# A shell without start-up files and line editor: its output is known to the byte.
PLAIN = "/bin/sh"
MATCH = 4096


@dataclasses.dataclass
class Served:
    """The terminals component, served."""

    url: str
    port: int
    work: pathlib.Path
    component: TerminalsComponent
    registry: Registry
    procs: Procs
    environment: Environment
    server: HttpServer


@contextlib.asynccontextmanager
async def serve(work: pathlib.Path, *, shell: str = PLAIN) -> AsyncIterator[Served]:
    """Serve terminals whose shells start in ``work`` with a prompt of ``$ ``."""
    spool = Spool(work)
    procs, registry = Procs(spool), Registry()
    variables = {"HOME": str(work), "PATH": "/usr/local/bin:/usr/bin:/bin", "PS1": "$ ", "LANG": "C.UTF-8"}
    environment = Environment(variables, own=())
    shells = Shells(environment.get, shell)
    component = TerminalsComponent(
        ProcessContext(procs, environment, shells, spool, registry, workdir=str(work)), grace=0
    )
    server = HttpServer(collect(*component.apis), Access(SigningKeys()), sandbox_id="box")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await server.start([listener])
    try:
        yield Served(f"http://127.0.0.1:{port}", port, work, component, registry, procs, environment, server)
    finally:
        await server.close_websockets()
        await component.stop()
        await server.drain(5)
        await component.close()
        await registry.close()
        await procs.close()
        await spool.close()
        await server.close()


class Tty:
    """One connection to one terminal."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.output = bytearray()
        self.frames: list[dict[str, Any]] = []
        self.close: tuple[int, str] | None = None

    async def type(self, text: str | bytes) -> None:
        """Send input; a string is sent as a text frame."""
        if isinstance(text, str):
            await self.ws.send_str(text)
        else:
            await self.ws.send_bytes(text)

    async def step(self) -> bool:
        """Receive one frame; return False if it closed the connection."""
        message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            self.output += message.data
        elif message.type is aiohttp.WSMsgType.TEXT:
            self.frames.append(json.loads(message.data))
        elif message.type is aiohttp.WSMsgType.CLOSE:
            self.close = (message.data, message.extra or "")
            return False
        else:
            return False
        return True

    async def until(self, pattern: str | bytes) -> re.Match[bytes]:
        """Read until the output since the last match has a match."""
        wanted = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.DOTALL)
        at = 0
        while not (found := wanted.search(self.output, at)):
            # Search only the new output and a little before it: patterns are short, output may be large.
            at = max(len(self.output) - MATCH, 0)
            assert await self.step(), f"{wanted.pattern!r} never came: {bytes(self.output[-2000:])!r}"
        groups = re.match(wanted, bytes(self.output[found.start() : found.end()]))
        del self.output[: found.end()]
        assert groups is not None
        return groups

    async def control(self, status: str) -> dict[str, Any]:
        """Read until a control frame with this status arrives; return it."""
        while not (found := [frame for frame in self.frames if frame["status"] == status]):
            assert await self.step(), f"{status} never came"
        self.frames.remove(found[0])
        return found[0]

    async def end(self) -> tuple[int, str]:
        """Read until the close frame; return its code and reason."""
        while await self.step():
            pass
        assert self.close is not None, "connection was cut"
        return self.close


@contextlib.asynccontextmanager
async def connected(
    session: aiohttp.ClientSession, path: str, *, protocols: Sequence[str] = (EXIT_CONTROL,), **options: Any
) -> AsyncIterator[Tty]:
    """Connect, and check that the first frame is ``connected``."""
    async with session.ws_connect(f"/process/pty/{path}", protocols=protocols, **options) as ws:
        first = await ws.receive()
        assert (first.type, first.data) == (aiohttp.WSMsgType.TEXT, CONNECTED)
        yield Tty(ws)


def same(got: bytes | bytearray, wanted: bytes) -> bool:
    """Compare large data; pytest would need minutes to print the difference of an assertion on the data itself."""
    return bytes(got) == wanted


def new(name: str, **query: Any) -> str:
    """Return the path that creates a terminal and connects to it."""
    more = "".join(f"&{key}={value}" for key, value in query.items())
    return f"create-connect?id={name}{more}"


async def gone(pid: int) -> None:
    """Wait for the exit of a process that is not a child of the test."""
    async with asyncio.timeout(10):
        while pathlib.Path(f"/proc/{pid}/stat").exists():
            await asyncio.sleep(0.02)
