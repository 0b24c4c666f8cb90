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
from toolbox.host.worker_pool import WorkerPool
from toolbox.http.access import Access
from toolbox.http.body_reader import BodyReader
from toolbox.http.connection import MAX_LINE
from toolbox.http.endpoint import Request, collect, endpoint
from toolbox.http.proxy import PortProxy
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
        self.workers = WorkerPool("test", 2)

    @endpoint("GET", "/size", tag="test")
    async def head(self, request: Request) -> dict[str, int]:
        size = sum(len(name) + len(value) for name, value in request.raw_headers)
        return {"size": len(request.raw_path) + size}

    @endpoint("POST", "/size", tag="test", body_limit=8 * MIB)
    async def body(self, body: Body) -> dict[str, int]:
        return {"size": len(body.text)}

    @endpoint("POST", "/upload", tag="test")
    async def upload(self, request: Request) -> dict[str, int]:
        size = 0

        def count(chunk: bytes | memoryview) -> None:
            nonlocal size
            size += len(chunk)

        body = BodyReader(request, self.workers)
        try:
            for chunk in await body.pipe_to(count):
                count(chunk)
        finally:
            body.close()
        return {"size": size}

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
        self.proxy = PortProxy(lambda: self.address[1])
        self.server = HttpServer(
            [*collect(self.api), *collect(self.proxy)], Access(SigningKeys()), sandbox_id="box", **settings
        )

    async def __aenter__(self) -> Served:
        await self.server.start([self._listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.api.release.set()
        await self.server.drain(1)
        await self.server.close()
        await self.proxy.close()
        await self.api.workers.close()

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


POST = b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UPLOAD = POST.replace(b"/size", b"/upload")
LATE = {"head_seconds": 0.3, "body_seconds": 0.3}


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first request", "kept alive"])
@pytest.mark.parametrize(
    "start",
    [b"G", b"GET /size HTTP/1.1\r\n", GET, GET + line(KIB)[:-2], GET + b"\r"],
    ids=["byte", "request line", "field", "inside a field", "before the last byte"],
)
@pytest.mark.parametrize("drip", [False, True], ids=["silent", "drip"])
async def test_late_head_is_408_and_the_end(before: bytes, start: bytes, drip: bool) -> None:
    async with Served(**LATE) as served, served.connect() as (reader, writer):
        if before:
            writer.write(before)
            assert (await answer(reader))[0] == 200
        clock = asyncio.get_running_loop().time()
        writer.write(start)
        said = asyncio.create_task(ended(reader))
        while drip and start.endswith(b"\n") and not said.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)
        assert (await said).split()[1] == b"408"
        assert 0.25 < asyncio.get_running_loop().time() - clock < 2


@pytest.mark.parametrize("start", [b"", b"\r\n"], ids=["silent", "empty line"])
async def test_connection_without_a_request_ends(start: bytes) -> None:
    async with Served(**LATE) as served, served.connect() as (reader, writer):
        writer.write(start)
        assert (await ended(reader)).split()[1] == b"408"


async def test_idle_connection_is_kept_for_its_own_time() -> None:
    async with (
        Served(head_seconds=0.1, body_seconds=0.1, keep_alive=0.8) as served,
        served.connect() as (reader, writer),
    ):
        for pause in (0.4, 0.0):
            writer.write(GET + b"\r\n")
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(pause)
        assert await ended(reader) == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(POST + b"Content-Length: 20\r\n\r\n", id="no byte"),
        pytest.param(POST + b'Content-Length: 20\r\n\r\n{"text":', id="half"),
        pytest.param(POST + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"text":', id="half chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", id="no last chunk"),
        pytest.param(UPLOAD + b"Content-Length: 200000\r\n\r\n" + b"a" * 1000, id="small upload"),
        pytest.param(UPLOAD + b"Content-Length: 5000000\r\n\r\n" + b"a" * 2_000_000, id="large upload"),
        pytest.param(UPLOAD + b"Content-Length: 5000000\r\n\r\n", id="large upload without a byte"),
        pytest.param(
            b"GET /size HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            + POST
            + b"Content-Length: 20\r\n\r\n{",
            id="behind an upgrade",
        ),
    ],
)
async def test_stalled_body_is_408_and_the_end(request_bytes: bytes) -> None:
    async with Served(**LATE) as served, served.connect() as (reader, writer):
        await send(writer, request_bytes)
        said = await ended(reader)
        assert said.split(b"HTTP/1.")[-1].split()[1] == b"408"
        assert b"Connection: close" in said
        assert not served.server.in_flight


async def test_stalled_body_through_the_proxy_is_408() -> None:
    async with Served(**LATE) as upstream, Served(**LATE) as served, served.connect() as (reader, writer):
        upstream.server._body_seconds = 5
        path = b"/proxy/%d/size" % upstream.address[1]
        await send(writer, POST.replace(b"/size", path) + b"Content-Length: 20\r\n\r\n{")
        assert (await ended(reader)).split()[1] == b"408"


@pytest.mark.parametrize("size", [20, 1_500_000], ids=["small", "large"])
async def test_slow_body_that_goes_on_is_taken(size: int) -> None:
    async with Served(**LATE) as served, served.connect() as (reader, writer):
        writer.write(UPLOAD + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(10):
            writer.write(b"a" * (size // 10))
            await asyncio.sleep(0.1)
        assert await answer(reader) == (200, {"size": size})


async def test_slow_handler_has_no_deadline() -> None:
    async with Served(head_seconds=0.1, body_seconds=0.1) as served, served.connect() as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0.5)
        served.api.release.set()
        assert (await answer(reader))[0] == 200
        writer.write(GET + b"\r\n")
        assert (await answer(reader))[0] == 200
