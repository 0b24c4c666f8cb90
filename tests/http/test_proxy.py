"""The port proxy between real clients and real upstreams."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import pathlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.proxy import PortProxy
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys

MIB = 1024 * 1024
TOKEN = "our-own-token"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Proxied:
    """The proxy on a port."""

    def __init__(self, token: str = "") -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.port = self.address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.proxy = PortProxy(lambda: self.port, token=token)
        self.server = HttpServer(collect(self.proxy), Access(SigningKeys(), token=token), sandbox_id="box")

    async def __aenter__(self) -> Proxied:
        await self.server.start([self.listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.proxy.stop()
        await self.server.drain(2)
        await self.server.close()
        await self.proxy.close()


class Upstream:
    """A program behind a port: echoes what it got, and more on other paths."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.seen: list[web.BaseRequest] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._runner = web.ServerRunner(
            web.Server(self._answer, auto_decompress=False, handler_cancellation=True), shutdown_timeout=0.1
        )
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        name = request.path.strip("/").replace("-", "_")
        handler = getattr(self, f"_on_{name}", self._echo)
        try:
            answer: web.StreamResponse = await handler(request)
            return answer
        finally:
            self.left.set()

    async def _echo(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        shown = {
            "method": request.method,
            "path": request.raw_path,
            "headers": [(name.lower(), value) for name, value in request.headers.items()],
            "body": body.decode("latin-1"),
        }
        return web.json_response(shown)

    async def _on_odd(self, _request: web.BaseRequest) -> web.StreamResponse:
        headers = CIMultiDict([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), ("X-Strange-CASE", "v")])
        headers.extend([("Connection", "X-Gone"), ("X-Gone", "hop"), ("Keep-Alive", "timeout=5")])
        return web.Response(status=299, reason="Oddly Fine", headers=headers, body=b"odd")

    async def _on_gzip(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"x" * 5000), headers={"Content-Encoding": "gzip"})

    async def _on_redirect(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def _on_empty(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=204)

    async def _on_same(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=304, headers={"ETag": '"e"'})

    async def _on_events(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.entered.set()
        await response.write(b"data: 1\n\n")
        await self.gate.wait()
        await response.write(b"data: 2\n\n")
        return response

    async def _on_head_first(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await self.gate.wait()
        return response

    async def _on_hang(self, _request: web.BaseRequest) -> web.StreamResponse:
        self.entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def _on_big(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(100 * MIB)})
        await response.prepare(request)
        for number in range(100):
            await response.write(bytes([number]) * MIB)
        return response

    async def _on_count(self, request: web.BaseRequest) -> web.StreamResponse:
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_any():
            digest.update(chunk)
            size += len(chunk)
        length = request.headers.get("Content-Length")
        return web.json_response({"size": size, "digest": digest.hexdigest(), "length": length})

    async def _on_early(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=413, text="too much")

    async def _on_ws(self, request: web.BaseRequest) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=("chat", "other"), max_msg_size=0, autoclose=False)
        await ws.prepare(request)
        self.sockets.append(ws)
        await ws.send_str("early")
        self.entered.set()
        try:
            async for message in ws:
                if message.data == "close":
                    await ws.close(code=4001, message=b"told to")
                elif message.type is WSMsgType.TEXT:
                    await ws.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await ws.send_bytes(message.data)
        finally:
            self.closed.set_result(ws.close_code)
        return ws

    async def _on_ws_flood(self, request: web.BaseRequest) -> web.StreamResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        self.sockets.append(ws)
        self.sent = 0
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await ws.send_bytes(bytes(MIB))
                self.sent += MIB
        return ws

    async def _on_ws_refused(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=403, text="not you", headers={"X-Why": "because"})


@pytest.fixture
async def proxied() -> AsyncIterator[Proxied]:
    async with Proxied() as proxied:
        yield proxied


@pytest.fixture
async def http(proxied: Proxied) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxied.url, auto_decompress=False) as session:
        yield session


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    await upstream.start()
    yield upstream
    await upstream.stop()


@contextlib.asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """Serve raw bytes: an upstream no library would write."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def raw(proxied: Proxied, request: bytes, until: bytes = b"") -> bytes:
    """Send bytes as they are; return what comes until the end or a marker."""
    reader, writer = await asyncio.open_connection(*proxied.address)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await (reader.readuntil(until) if until else reader.read())
    writer.close()
    return answer


def values(shown: dict[str, list[list[str]]], name: str) -> list[str]:
    return [value for key, value in shown["headers"] if key == name]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_any_method_with_its_body(http: aiohttp.ClientSession, upstream: Upstream, method: str) -> None:
    async with http.request(method, f"/proxy/{upstream.port}/echo?a=1&a=2", data=b"\x00\xff") as answer:
        shown = await answer.json()
    assert (shown["method"], shown["path"], shown["body"]) == (method, "/echo?a=1&a=2", "\x00\xff")
    assert values(shown, "content-length") == ["2"]


async def test_headers_that_tell_the_upstream_where_it_is(
    proxied: Proxied, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    headers = {"X-Forwarded-For": "10.0.0.9", "X-Custom": "1", "Cookie": "c=d", "Authorization": "Basic abc"}
    async with http.get(f"/box/proxy/{upstream.port}/x", headers=headers, skip_auto_headers=["User-Agent"]) as answer:
        shown = await answer.json()
    assert values(shown, "host") == [f"localhost:{upstream.port}"]
    assert values(shown, "x-forwarded-host") == [f"127.0.0.1:{proxied.port}"]
    assert values(shown, "x-forwarded-proto") == ["http"]
    assert values(shown, "x-forwarded-prefix") == [f"/proxy/{upstream.port}"]
    assert values(shown, "x-forwarded-for") == ["10.0.0.9, 127.0.0.1"]
    assert values(shown, "cookie") == ["c=d"]
    assert values(shown, "authorization") == ["Basic abc"]
    assert values(shown, "user-agent") == []


async def test_forwarded_host_of_an_outer_proxy_is_kept(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    headers = {"X-Forwarded-Host": "box.example", "X-Forwarded-Proto": "https"}
    async with http.get(f"/proxy/{upstream.port}/x", headers=headers) as answer:
        shown = await answer.json()
    assert values(shown, "x-forwarded-host") == ["box.example"]
    assert values(shown, "x-forwarded-proto") == ["https"]


async def test_hop_by_hop_headers_stop_here(proxied: Proxied, upstream: Upstream) -> None:
    answer = await raw(
        proxied,
        f"GET /proxy/{upstream.port}/x HTTP/1.1\r\nHost: localhost\r\nConnection: close, X-Named\r\nX-Named: 1\r\n"
        "TE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nX-Stays: 1\r\n\r\n".encode(),
    )
    names = {name for name, _ in json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]}
    assert "x-stays" in names
    assert not names & {"x-named", "te", "keep-alive", "proxy-authorization", "upgrade"}


@pytest.mark.parametrize(
    "target",
    [
        "/a/../b",
        "//c//",
        "/d%2Fe%2e%2e",
        "/%zz",
        "/;p=1/@/:8080/",
        "/x?q=%20+&&=&y#",
        "/~user/$&'()*!",
        "/?",
    ],
)
async def test_path_and_query_arrive_as_they_were_sent(proxied: Proxied, target: str) -> None:
    lines: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with talking(talk) as port:
        request = f"GET /proxy/{port}{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await raw(proxied, request.encode())
    assert b" 200 " in answer
    sent = target.rstrip("?").replace("#", "%23")
    assert lines[0].split() == [b"GET", sent.encode(), b"HTTP/1.1"]


async def test_status_reason_and_repeated_headers_are_unchanged(proxied: Proxied, upstream: Upstream) -> None:
    request = f"GET /proxy/{upstream.port}/odd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, _, body = (await raw(proxied, request.encode())).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 299 Oddly Fine"
    assert [line for line in lines if line.startswith("Set-Cookie")] == ["Set-Cookie: a=1", "Set-Cookie: b=2; Path=/"]
    assert "X-Strange-CASE: v" in lines
    assert "Content-Length: 3" in lines
    assert not [line for line in lines if line.startswith(("X-Gone", "Keep-Alive", "Transfer-Encoding"))]
    assert body == b"odd"


async def test_compressed_body_is_not_touched(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.get(f"/proxy/{upstream.port}/gzip") as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        body = await answer.read()
    assert answer.headers["Content-Length"] == str(len(body))
    assert gzip.decompress(body) == b"x" * 5000


async def test_compressed_upload_is_not_touched(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    packed = gzip.compress(b"y" * 5000, mtime=0)
    async with http.post(f"/proxy/{upstream.port}/x", data=packed, headers={"Content-Encoding": "gzip"}) as answer:
        shown = await answer.json()
    assert shown["body"].encode("latin-1") == packed


async def test_redirect_of_the_upstream_is_passed_on(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.get(f"/proxy/{upstream.port}/redirect", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
    assert len(upstream.seen) == 1


async def test_missing_content_type_stays_missing(proxied: Proxied) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        await writer.drain()

    async with talking(talk) as port, aiohttp.ClientSession(proxied.url) as http, http.get(f"/proxy/{port}/") as answer:
        assert "Content-Type" not in answer.headers
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert await answer.read() == b"until the end"


async def test_head_keeps_the_length_and_has_no_body(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.head(f"/proxy/{upstream.port}/odd") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (299, "3", b"")
    async with http.get(f"/proxy/{upstream.port}/odd") as answer:  # on the same connection
        assert await answer.read() == b"odd"


@pytest.mark.parametrize(("path", "status"), [("empty", 204), ("same", 304)])
async def test_statuses_without_a_body(proxied: Proxied, upstream: Upstream, path: str, status: int) -> None:
    request = f"GET /proxy/{upstream.port}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, _, body = (await raw(proxied, request.encode())).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"transfer-encoding" not in head.lower()
    assert body == b""


async def test_events_arrive_one_by_one(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.get(f"/proxy/{upstream.port}/events") as answer, asyncio.timeout(5):
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        upstream.gate.set()
        assert await answer.content.readuntil(b"\n\n") == b"data: 2\n\n"
        assert await answer.content.read() == b""


async def test_head_of_an_answer_does_not_wait_for_its_body(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with asyncio.timeout(5), http.get(f"/proxy/{upstream.port}/head-first") as answer:
        assert answer.status == 200
        upstream.gate.set()
        assert await answer.read() == b""


def resident() -> int:
    fields = pathlib.Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


@pytest.mark.slow
async def test_100_mb_down_in_constant_memory(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    before, most = resident(), 0
    digest = hashlib.sha256()
    async with http.get(f"/proxy/{upstream.port}/big") as answer:
        assert answer.headers["Content-Length"] == str(100 * MIB)
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
            most = max(most, resident())
    wanted = hashlib.sha256()
    for number in range(100):
        wanted.update(bytes([number]) * MIB)
    assert digest.digest() == wanted.digest()
    assert most - before < 40 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
async def test_100_mb_up_in_constant_memory(http: aiohttp.ClientSession, upstream: Upstream, known: bool) -> None:
    before, most = resident(), 0
    digest = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        nonlocal most
        for number in range(100):
            piece = bytes([number]) * MIB
            digest.update(piece)
            yield piece
            most = max(most, resident())

    headers = {"Content-Length": str(100 * MIB)} if known else {}
    async with http.post(f"/proxy/{upstream.port}/count", data=body(), headers=headers) as answer:
        shown = await answer.json()
    length = str(100 * MIB) if known else None
    assert shown == {"size": 100 * MIB, "digest": digest.hexdigest(), "length": length}
    assert most - before < 40 * MIB


async def test_slow_reader_holds_the_upstream_back(proxied: Proxied) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(MIB))
                try:
                    async with asyncio.timeout(0.5):
                        await writer.drain()
                except TimeoutError:
                    stuck.set()
                    await writer.drain()
                sent += MIB

    async with talking(talk) as port:
        _, writer = await asyncio.open_connection(*proxied.address, limit=1024)
        writer.write(f"GET /proxy/{port}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(10):
            await stuck.wait()
        assert sent < 30 * MIB
        writer.close()


async def test_upstream_that_resets_is_not_taken_for_complete(http: aiohttp.ClientSession) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with talking(talk) as port, http.get(f"/proxy/{port}/") as answer:
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await answer.read()


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_upstream_that_does_not_speak_http_is_a_bad_gateway_asked_once(
    http: aiohttp.ClientSession, answer: bytes
) -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(answer)

    async with talking(talk) as port, http.get(f"/proxy/{port}/") as response:
        body = await response.json()
    assert (response.status, body["code"], body["source"]) == (502, "BAD_GATEWAY", "DAYTONA_DAEMON")
    assert str(port) in body["message"]
    assert asked == 1


async def test_upstream_that_switches_unasked_is_a_bad_gateway(http: aiohttp.ClientSession) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        await reader.read()

    async with talking(talk) as port, http.get(f"/proxy/{port}/", headers={"Upgrade": "h2c"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (502, "BAD_GATEWAY")


async def test_port_without_listener_says_so(http: aiohttp.ClientSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for headers in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
            async with http.get(f"/proxy/{port}/", headers=headers) as answer:
                body = await answer.json()
            assert (answer.status, body["code"]) == (502, "BAD_GATEWAY")
            assert f"nothing is listening on port {port}" in body["message"]


async def test_upstream_request_ends_when_the_client_leaves(proxied: Proxied, upstream: Upstream) -> None:
    _, writer = await asyncio.open_connection(*proxied.address)
    writer.write(f"GET /proxy/{upstream.port}/hang HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(5):
        await upstream.entered.wait()
        assert not upstream.left.is_set()
        writer.close()
        await upstream.left.wait()


async def test_answer_before_the_end_of_the_upload_gets_through(proxied: Proxied, upstream: Upstream) -> None:
    request = f"POST /proxy/{upstream.port}/early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nstart"
    assert b" 413 " in await raw(proxied, request.encode(), until=b"too much")


async def test_expect_is_answered_here(proxied: Proxied, upstream: Upstream) -> None:
    reader, writer = await asyncio.open_connection(*proxied.address)
    head = f"POST /proxy/{upstream.port}/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        answer = await reader.read()
    writer.close()
    shown = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert shown["body"] == "hi"
    assert values(shown, "expect") == []


@pytest.mark.parametrize(
    "port",
    ["0", "65536", "70000", "abc", "-1", "", "3000@evil.example", "3000%40evil.example", "%33000", "127.0.0.1:80"],
)
async def test_port_must_be_a_port(proxied: Proxied, http: aiohttp.ClientSession, port: str) -> None:
    async with http.get(URL(f"{proxied.url}/proxy/{port}/x", encoded=True)) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (400, "BAD_REQUEST")


async def test_our_own_port_is_refused(proxied: Proxied, http: aiohttp.ClientSession) -> None:
    async with http.get(f"/proxy/{proxied.port}/version") as answer:
        assert answer.status == 400
        assert "daemon itself" in (await answer.json())["message"]


@pytest.mark.parametrize("prefix", ["", "/box"])
async def test_missing_slash_redirects_and_keeps_the_query(
    http: aiohttp.ClientSession, upstream: Upstream, prefix: str
) -> None:
    path = f"{prefix}/proxy/{upstream.port}"
    async with http.post(f"{path}?a=%20b", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, f"{upstream.port}/?a=%20b")
    async with http.post(path, data=b"x") as answer:
        assert answer.url.path == f"{path}/"
        shown = await answer.json()
    assert (shown["method"], shown["path"]) == ("POST", "/")


async def test_server_on_ipv6_loopback_only(http: aiohttp.ClientSession) -> None:
    upstream = Upstream()
    await upstream.start("::1")
    try:
        for _ in range(2):
            async with http.get(f"/proxy/{upstream.port}/x") as answer:
                assert answer.status == 200
    finally:
        await upstream.stop()


async def test_family_that_answered_last_is_tried_first(http: aiohttp.ClientSession) -> None:
    six, four = Upstream(), Upstream()
    await six.start("::1")
    async with http.get(f"/proxy/{six.port}/x"):
        pass
    await four.start("127.0.0.1", six.port)
    try:
        async with http.get(f"/proxy/{six.port}/x"):
            pass
        assert (len(six.seen), len(four.seen)) == (2, 0)
        await six.stop()
        async with http.get(f"/proxy/{six.port}/x") as answer:
            assert answer.status == 200
        assert len(four.seen) == 1
    finally:
        await four.stop()


async def test_our_credential_never_reaches_the_upstream(upstream: Upstream) -> None:
    async with Proxied(TOKEN) as proxied, aiohttp.ClientSession(proxied.url) as http:
        path = f"/proxy/{upstream.port}/x?a=1&DAYTONA_SANDBOX_AUTH_KEY={TOKEN}&b=2&DAYTONA_SANDBOX%5FAUTH_KEY=z"
        headers = {"Authorization": f"bearer {TOKEN}", "X-Daytona-Preview-Token": TOKEN}
        async with http.get(URL(proxied.url + path, encoded=True), headers=headers) as answer:
            text = await answer.text()
    assert TOKEN not in text
    assert json.loads(text)["path"] == "/x?a=1&b=2"


B64 = base64.b64encode(TOKEN.encode()).decode()
KEYED = f"DAYTONA_SANDBOX_AUTH_KEY={TOKEN}"


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("Authorization", f"Bearer {TOKEN}", []),
        ("Authorization", f"BEARER   {TOKEN}", []),
        ("Authorization", TOKEN, []),
        ("Authorization", f"token {TOKEN}", []),
        ("Authorization", "Basic " + base64.b64encode(f"u:{TOKEN}".encode()).decode(), []),
        ("Authorization", "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode(), []),
        ("Authorization", "Basic dTpw", ["Basic dTpw"]),
        ("Authorization", "", [""]),
        ("x-daytona-preview-token", TOKEN, []),
        ("X-Daytona-Preview-Token", "stale", []),
        ("Referer", f"http://a/proxy/1/?{KEYED}", ["http://a/proxy/1/"]),
        ("Referer", f"http://a/p?x=1&{KEYED}&y=2", ["http://a/p?x=1&y=2"]),
        ("Referer", "http://a/p?DAYTONA_SANDBOX%5fAUTH_KEY=our%2Down%2dtoken", ["http://a/p"]),
        ("Referer", f"http://a/login?x=1&next=%2Fp%3F{KEYED.replace('=', '%3D')}", ["http://a/login?x=1"]),
        ("Referer", f"http://u:{TOKEN}@a/", []),
        ("Referer", "http://a/p?x=1", ["http://a/p?x=1"]),
        ("Cookie", f"a=1; {KEYED}; b=2", ["a=1; b=2"]),
        ("Cookie", f"session={TOKEN}", []),
        ("Cookie", "DAYTONA_SANDBOX_AUTH_KEY=stale; b=2", ["b=2"]),
        ("Cookie", "a=our%2Down%2Dtoken; b=2", ["b=2"]),
        ("Cookie", "a=1;b=2; c", ["a=1;b=2; c"]),
        ("Sec-WebSocket-Protocol", f"chat, {TOKEN}", ["chat"]),
        ("Sec-WebSocket-Protocol", f"bearer.{TOKEN},chat", ["chat"]),
        ("Sec-WebSocket-Protocol", f"base64url.bearer.{B64.rstrip('=')}, chat", ["chat"]),
        ("Sec-WebSocket-Protocol", f"X-Daytona-Preview-Token~{TOKEN}", []),
        ("Sec-WebSocket-Protocol", "chat, other", ["chat, other"]),
        ("X-Original-URL", f"/proxy/1/?{KEYED}", []),
        ("X-Forwarded-Uri", "/proxy/1/", ["/proxy/1/"]),
    ],
)
async def test_no_form_of_our_credential_reaches_the_upstream(
    upstream: Upstream, name: str, value: str, left: list[str]
) -> None:
    async with Proxied(TOKEN) as proxied:
        head = f"GET /proxy/{upstream.port}/x?{KEYED} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        answer = await raw(proxied, f"{head}{name}: {value}\r\nX-Other: kept\r\n\r\n".encode())
    assert answer.split()[1] == b"200"
    shown = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert values(shown, name.lower()) == left
    assert values(shown, "x-other") == ["kept"]
    assert TOKEN not in json.dumps(shown)


async def test_repeated_header_lines_are_all_looked_at(upstream: Upstream) -> None:
    async with Proxied(TOKEN) as proxied:
        head = f"GET /proxy/{upstream.port}/x?{KEYED} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        lines = (
            f"Cookie: a=1\r\nCookie: t={TOKEN}\r\nX-Daytona-Preview-Token: x\r\nX-Daytona-Preview-Token: {TOKEN}\r\n"
        )
        answer = await raw(proxied, f"{head}{lines}\r\n".encode())
    assert answer.split()[1] == b"200"
    assert TOKEN.encode() not in answer


async def test_websocket_of_the_upstream_never_sees_our_credential(upstream: Upstream) -> None:
    async with Proxied(TOKEN) as proxied, aiohttp.ClientSession(proxied.url) as http:
        headers = {"Cookie": f"t={TOKEN}", "Referer": f"http://a/?{KEYED}"}
        path = f"/proxy/{upstream.port}/ws?{KEYED}"
        async with http.ws_connect(path, headers=headers, protocols=(TOKEN, "chat")) as ws:
            assert await ws.receive_str() == "early"
            assert ws.protocol == "chat"
    (seen,) = upstream.seen
    assert TOKEN not in f"{seen.raw_path} {seen.headers}"


async def test_short_token_takes_nothing_of_the_application(upstream: Upstream) -> None:
    async with Proxied("1") as proxied, aiohttp.ClientSession(proxied.url) as http:
        headers = {"Authorization": "Bearer 1", "Referer": "http://a/?page=1", "X-Version": "1"}
        path = f"/proxy/{upstream.port}/x?page=1&DAYTONA_SANDBOX_AUTH_KEY=1"
        async with http.post(path, headers=headers, data=b"1") as answer:
            shown = await answer.json()
    assert shown["path"] == "/x?page=1"
    assert shown["body"] == "1"
    assert values(shown, "content-length") == values(shown, "x-version") == ["1"]
    assert values(shown, "referer") == ["http://a/?page=1"]
    assert values(shown, "authorization") == []


async def test_credential_of_the_upstream_gets_through(upstream: Upstream) -> None:
    async with Proxied(TOKEN) as proxied, aiohttp.ClientSession(proxied.url) as http:
        headers = {"Authorization": "Bearer theirs", "X-Daytona-Preview-Token": TOKEN}
        async with http.get(f"/proxy/{upstream.port}/x", headers=headers) as answer:
            shown = await answer.json()
        async with http.get(f"/proxy/{upstream.port}/x") as answer:
            assert answer.status == 401
    assert values(shown, "authorization") == ["Bearer theirs"]


async def test_without_a_token_everything_gets_through(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    headers = {"Authorization": "Bearer theirs", "X-Daytona-Preview-Token": "p"}
    async with http.get(f"/proxy/{upstream.port}/x?DAYTONA_SANDBOX_AUTH_KEY=k", headers=headers) as answer:
        shown = await answer.json()
    assert values(shown, "authorization") == ["Bearer theirs"]
    assert values(shown, "x-daytona-preview-token") == ["p"]
    assert shown["path"] == "/x?DAYTONA_SANDBOX_AUTH_KEY=k"


async def test_websocket_gets_the_protocol_the_upstream_chose(
    proxied: Proxied, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    headers = {"Cookie": "a=b", "X-Custom": "1"}
    async with http.ws_connect(
        f"/proxy/{upstream.port}/ws?q=1",
        protocols=["nobody", "other"],
        headers=headers,
        origin=proxied.url,
    ) as ws:
        assert ws.protocol == "other"
        assert await ws.receive_str(timeout=5) == "early"
    seen = upstream.seen[0].headers
    assert (seen["Cookie"], seen["X-Custom"], seen["Host"]) == ("a=b", "1", f"localhost:{upstream.port}")
    assert seen["Origin"] == proxied.url
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("compress", [0, 15])
async def test_websocket_frames_are_unaltered(http: aiohttp.ClientSession, upstream: Upstream, compress: int) -> None:
    big = bytes(range(256)) * 4 * 5 * 1024
    async with http.ws_connect(f"/proxy/{upstream.port}/ws", max_msg_size=0, compress=compress) as ws:
        assert ws.compress == compress
        assert await ws.receive_str(timeout=5) == "early"
        for text in ("", "\u00fcber", "x" * 200_000):
            await ws.send_str(text)
            assert await ws.receive_str(timeout=5) == text
        await ws.send_bytes(big)
        assert await ws.receive_bytes(timeout=5) == big


async def test_websocket_ping_reaches_the_upstream(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.ws_connect(f"/proxy/{upstream.port}/ws", autoping=False) as ws:
        await ws.receive_str(timeout=5)
        await ws.ping(b"are you there")
        answer = await ws.receive(timeout=5)
        assert (answer.type, answer.data) == (WSMsgType.PONG, b"are you there")


async def test_close_code_of_the_upstream_reaches_the_client(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.ws_connect(f"/proxy/{upstream.port}/ws") as ws:
        await ws.receive_str(timeout=5)
        await ws.send_str("close")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "told to")


async def test_close_code_of_the_client_reaches_the_upstream(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async with http.ws_connect(f"/proxy/{upstream.port}/ws") as ws:
        await ws.receive_str(timeout=5)
        await ws.close(code=4444, message=b"bye")
    async with asyncio.timeout(5):
        assert await upstream.closed == 4444


async def test_client_that_vanishes_ends_the_upstream_socket(proxied: Proxied, upstream: Upstream) -> None:
    session = aiohttp.ClientSession()
    ws = await session.ws_connect(f"{proxied.url}/proxy/{upstream.port}/ws")
    await ws.receive_str(timeout=5)
    transport = ws._response.connection.transport  # type: ignore[union-attr]
    transport.abort()  # type: ignore[union-attr]
    async with asyncio.timeout(5):
        assert await upstream.closed in (None, 1006)
    await session.close()


async def test_refused_websocket_relays_the_answer_of_one_request(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    async with http.get(f"/proxy/{upstream.port}/ws-refused", headers=headers) as answer:
        assert (answer.status, answer.headers["X-Why"], await answer.text()) == (403, "because", "not you")
    assert len(upstream.seen) == 1


async def test_slow_websocket_reader_holds_the_upstream_back(proxied: Proxied, upstream: Upstream) -> None:
    reader, writer = await asyncio.open_connection(*proxied.address, limit=1024)
    writer.write(
        f"GET /proxy/{upstream.port}/ws-flood HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        assert b" 101 " in await reader.readline()
        before = -1
        while before != upstream.sent or not upstream.sent:  # until it gets no further in half a second
            before = upstream.sent
            await asyncio.sleep(0.5)
    assert upstream.sent < 30 * MIB
    writer.close()
    async with asyncio.timeout(10):
        await upstream.left.wait()


async def test_stop_ends_what_never_ends_and_leaves_the_rest(
    proxied: Proxied, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with (
        http.ws_connect(f"/proxy/{upstream.port}/ws") as ws,
        http.get(f"/proxy/{upstream.port}/events") as events,
        http.get(f"/proxy/{upstream.port}/head-first") as rest,
    ):
        await ws.receive_str(timeout=5)
        await events.content.readuntil(b"\n\n")
        await proxied.proxy.stop()
        async with asyncio.timeout(5):
            assert (await ws.receive()).type in (WSMsgType.CLOSED, WSMsgType.CLOSE)
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                await events.content.read()
            upstream.gate.set()
            assert await rest.read() == b""
