"""Clients that send too much, too slowly or nothing: they are refused, and others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import socket
from collections.abc import AsyncIterator

import pytest

from toolbox import wire
from toolbox.http.access import Access
from toolbox.http.connection import MAX_LINE
from toolbox.http.endpoint import Request, collect, endpoint
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys

KIB = 1024
MIB = 1024 * KIB
GET = b"GET /size HTTP/1.1\r\nHost: localhost\r\n"


class Body(wire.Wire, kw_only=True):
    text: str = ""


class SizeApi:
    """Endpoints that tell what arrived."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    @endpoint("GET", "/size", tag="test")
    async def head(self, request: Request) -> dict[str, int]:
        size = sum(len(name) + len(value) for name, value in request.raw_headers)
        return {"size": len(request.raw_path) + size}

    @endpoint("POST", "/size", tag="test", body_limit=8 * MIB)
    async def body(self, body: Body) -> dict[str, int]:
        return {"size": len(body.text)}

    @endpoint("GET", "/slow", tag="test")
    async def slow(self) -> dict[str, int]:
        await self.release.wait()
        return {"size": 0}


class Served:
    """The endpoints on a port."""

    def __init__(self, **settings: float) -> None:
        self.api = SizeApi()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.server = HttpServer(collect(self.api), Access(SigningKeys()), sandbox_id="box", **settings)

    async def __aenter__(self) -> Served:
        await self.server.start([self._listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.api.release.set()
        await self.server.drain(1)
        await self.server.close()

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection(*self.address, limit=4 * MIB)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with Served() as served:
        yield served


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    """Return status and JSON body of the next response."""
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end of the connection, which may be a reset."""
    data = b""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(65536):
                data += block
    return data


async def send(writer: asyncio.StreamWriter, data: bytes, piece: int = 64 * KIB) -> None:
    """Send in pieces, until the server does not take more."""
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)


def line(size: int, number: int = 0) -> bytes:
    name = b"X-Filler-%d: " % number
    return name + b"a" * (size - len(name) - 2) + b"\r\n"


def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET + line(MAX_LINE - KIB), id="one line of the maximum"),
        pytest.param(b"GET /size?q=" + b"a" * (MAX_LINE - KIB) + b" HTTP/1.1\r\nHost: localhost\r\n", id="target"),
        pytest.param(GET + b"".join(line(KIB, n) for n in range(200)), id="many lines"),
        pytest.param(GET + line(MAX_LINE - KIB) + line(60 * KIB), id="just below the bound"),
    ],
)
@pytest.mark.parametrize("piece", [997, 64 * KIB, MIB])
async def test_long_heads_within_the_bound_are_taken(served: Served, head: bytes, piece: int) -> None:
    async with served.connect() as (reader, writer):
        for _ in range(2):
            await send(writer, head + b"\r\n", piece)
            status, body = await answer(reader)
            assert status == 200
            assert int(str(body["size"])) > len(head) - 2 * KIB


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET + b"".join(line(250_000, n) for n in range(8)), id="long lines without an end"),
        pytest.param(GET + b"".join(line(KIB, n) for n in range(240)) + line(100 * KIB), id="short lines"),
        pytest.param(GET + line(MAX_LINE - KIB) + line(80 * KIB) + b"\r\n", id="complete head"),
        pytest.param(GET + line(MAX_LINE * 4), id="one line"),
        pytest.param(b"GET /" + b"a" * MAX_LINE * 4, id="target without an end"),
        pytest.param(GET + b"Cookie: " + b"a=b; " * 80 * KIB, id="value without an end"),
        pytest.param(GET + b"X" * MAX_LINE * 4, id="name without an end"),
    ],
)
@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first request", "kept alive"])
async def test_head_over_its_bound_is_431_and_the_end(served: Served, head: bytes, before: bytes) -> None:
    async with served.connect() as (reader, writer):
        if before:
            writer.write(before)
            assert (await answer(reader))[0] == 200
        await send(writer, head)
        said = await ended(reader)
    assert int(said.split()[1]) == 431
    assert said.count(b"HTTP/1.") == 1
    assert json.loads(said.partition(b"\r\n\r\n")[2])["source"] == "DAYTONA_DAEMON"


async def test_pipelined_heads_are_bounded_too(served: Served) -> None:
    async with served.connect() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET)
        await send(writer, b"".join(line(250_000, n) for n in range(8)))
        served.api.release.set()
        assert (await ended(reader)).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("first", [b"", b"GET /size HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n"])
async def test_a_body_is_no_head(served: Served, first: bytes) -> None:
    text = json.dumps({"text": "a" * 2 * MIB}).encode()
    post = b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with served.connect() as (reader, writer):
        writer.write(first)
        await send(writer, post % len(text) + text)
        if first:
            await answer(reader)
        assert await answer(reader) == (200, {"size": 2 * MIB})


async def test_many_endless_heads_leave_no_memory(served: Served) -> None:
    attack = GET + b"".join(line(250_000, n) for n in range(40))

    async def one() -> None:
        async with served.connect() as (reader, writer):
            await send(writer, attack)
            await ended(reader)

    await one()
    before = resident()
    await asyncio.gather(*(one() for _ in range(16)))
    assert resident() - before < 40 * MIB


async def test_empty_lines_between_requests_are_ignored(served: Served) -> None:
    async with served.connect() as (reader, writer):
        for _ in range(3):
            await send(writer, b"\r\n" * 200_000)
            writer.write(GET + b"\r\n")
            assert (await answer(reader))[0] == 200
