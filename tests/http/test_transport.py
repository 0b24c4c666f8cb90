"""The transport as a client sees it: routing, validation, envelope, access, WebSockets, drain."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from toolbox import errors, wire
from toolbox.http.access import Access
from toolbox.http.disconnect import disconnected
from toolbox.http.docs_api import DocsApi
from toolbox.http.endpoint import Reply, Request, Route, collect, endpoint, websocket
from toolbox.http.server import Finished, HttpServer
from toolbox.http.signing import SigningKeys, sign
from toolbox.http.streams import event_stream
from toolbox.http.websocket import WsSession
from toolbox.process.subprotocols import SUBPROTOCOLS

KEY = "testsigningkey1234567890abcdefgh"


class ThingPath(wire.Wire, kw_only=True):
    thing_id: str


class ThingQuery(wire.Wire, kw_only=True):
    path: str
    depth: int = 1
    recursive: wire.Flag | None = None
    names: list[str] | None = None


class Inner(wire.Wire, kw_only=True):
    size: int


class ThingBody(wire.Wire, kw_only=True):
    command: str
    inner: list[Inner] | None = None


class Shown(wire.Wire, kw_only=True):
    additive = frozenset({"extra"})
    name: str
    extra: str | None = None


class ThingApi:
    """A small table that exercises every kind of endpoint."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    @endpoint("POST", "/things/{thingId}", tag="thing", status=201, body_limit=300_000)
    async def make(self, path: ThingPath, body: ThingBody) -> Reply[dict[str, str]]:
        return Reply({"id": wire.text(path.thing_id), "command": body.command}, headers={"X-Made": "yes"})

    @endpoint("GET", "/things", tag="thing")
    async def find(self, query: ThingQuery) -> dict[str, Any]:
        return {
            "path": wire.text(query.path),
            "depth": query.depth,
            "flag": bool(query.recursive),
            "names": query.names,
        }

    @endpoint("GET", "/things/literal", tag="thing")
    async def literal(self) -> Shown:
        return Shown(name="literal", extra="new")

    @endpoint("DELETE", "/things/{thingId}", tag="thing", status=204)
    async def drop(self, path: ThingPath) -> None:
        raise errors.FileMissing(f"no such thing: {path.thing_id}", detail={"hint": "make it first"})

    @endpoint("GET", "/bug", tag="thing")
    async def bug(self) -> None:
        raise KeyError("secret internals")

    @endpoint("GET", "/os", tag="thing")
    async def os_error(self) -> None:
        raise PermissionError(13, "Permission denied", "/root/x")

    @endpoint("GET", "/slow", tag="thing")
    async def slow(self) -> dict[str, bool]:
        self.entered.set()
        await self.release.wait()
        return {"done": True}

    @endpoint("GET", "/hang", tag="thing")
    async def hang(self, request: Request) -> None:
        self.entered.set()
        await disconnected(request)
        self.left.set()

    @endpoint("GET", "/events", tag="thing")
    async def events(self, request: Request) -> web.StreamResponse:
        async with event_stream(request) as out:
            await out.send("tick", {"n": 1})
        return out.response

    @endpoint("GET", "/broken", tag="thing")
    async def broken(self, request: Request) -> web.StreamResponse:
        async with event_stream(request) as out:
            await out.send("tick", {"n": 1})
            raise errors.InternalError("half way")
        return out.response

    @endpoint("GET", "/open", tag="thing", open=True)
    async def unguarded(self) -> dict[str, bool]:
        return {"open": True}

    @endpoint("GET", "/files/download", tag="thing", signed=True)
    async def download(self, query: ThingQuery) -> dict[str, str]:
        return {"path": query.path}

    @websocket("/echo", tag="thing", subprotocols=SUBPROTOCOLS)
    async def echo(self, ws: WsSession) -> None:
        async for message in ws:
            if message == "fail":
                raise errors.BadRequest("bad request: told to fail")
            await (ws.send_text(message) if isinstance(message, str) else ws.send_bytes(message))

    @websocket("/refuse", tag="thing")
    async def refuse(self, ws: WsSession) -> None:
        raise errors.Conflict("conflict: taken")


class Served:
    """The table on a port."""

    def __init__(self, access: Access) -> None:
        self.api = ThingApi()
        self.seen: list[Finished] = []
        self.server = HttpServer(collect(self.api), access, sandbox_id="box")
        self.server.observers.append(self.seen.append)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"

    async def __aenter__(self) -> Served:
        await self.server.start([self._listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.api.release.set()
        await self.server.close_websockets()
        await self.server.drain(1)
        await self.server.close()


@pytest.fixture
async def things() -> AsyncIterator[Served]:
    async with Served(Access(SigningKeys(KEY))) as served:
        yield served


@pytest.fixture
async def http(things: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(things.url) as session:
        yield session


async def raw(things: Served, request: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes no client library would send; return status and envelope."""
    reader, writer = await asyncio.open_connection(*things.address)
    writer.write(request)
    await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    body = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "path",
    [
        "/things/a",
        "/things/a/",
        "/things//a",
        "/box/things/a",
        "/toolbox/box/things/a",
        "/toolbox/box/toolbox/things/a",
    ],
)
async def test_slash_and_prefix_variants_reach_the_route(http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(path, data=b'{"command": "x"}') as answer:
        assert answer.status == 201
        assert await answer.json() == {"id": "a", "command": "x"}
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["X-Made"] == "yes"


async def test_foreign_sandbox_prefix_is_unknown(http: aiohttp.ClientSession) -> None:
    async with http.get("/other/things/literal") as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "NOT_FOUND"


async def test_literal_segment_wins_over_parameter(http: aiohttp.ClientSession) -> None:
    async with http.get("/things/literal") as answer:
        assert await answer.json() == {"name": "literal", "extra": "new"}


@pytest.mark.parametrize(
    ("version", "known"), [("0.187.9", False), ("v0.100.0", False), ("0.188.0", True), ("0.0.0-dev", True)]
)
async def test_additive_fields_are_hidden_from_old_go_clients(
    http: aiohttp.ClientSession, version: str, known: bool
) -> None:
    headers = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": version}
    async with http.get("/things/literal", headers=headers) as answer:
        assert ("extra" in await answer.json()) is known


async def test_encoded_slash_stays_inside_a_parameter(things: Served) -> None:
    status, body = await raw(
        things,
        b"POST /things/a%2Fb HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\nConnection: close\r\n\r\n"
        b'{"command":"x"}',
    )
    assert (status, body["id"]) == (201, "a/b")


async def test_query_is_decoded_from_raw_bytes(things: Served) -> None:
    status, body = await raw(
        things,
        b"GET /things?path=a+b%FF%C3%A9&path=second&depth=7&recursive=True&names=1&names=2&other=x HTTP/1.1\r\n"
        b"Host: localhost\r\nConnection: close\r\n\r\n",
    )
    assert status == 200
    assert body == {"path": "a b�é", "depth": 7, "flag": False, "names": ["1", "2"]}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "command is required"),
        (b"{}", "command is required"),
        (b"{broken", "invalid request body: JSON is malformed: object keys must be strings (byte 1)"),
        (b"{", "invalid request body: input data was truncated"),
        (b"[]", "expected `object`, got `array`"),
        (b'{"command": 5}', "command: expected `str`, got `int`"),
        (b'{"command": "x", "inner": [{"size": "5"}]}', "inner[0].size: expected `int`, got `str`"),
        (b'{"command": "x", "inner": [{}]}', "inner[0].size is required"),
        (b'{"command": "\xff"}', "not valid utf-8"),
        (b"[" * 200_000, "invalid request body"),
        (b'{"command": "x", "y": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"command": "\\ud800"}', "invalid request body"),
    ],
    ids=[
        "empty",
        "missing",
        "malformed",
        "cut",
        "array",
        "type",
        "nested-type",
        "nested-missing",
        "utf8",
        "brackets",
        "deep",
        "surrogate",
    ],
)
async def test_bad_body_is_named(http: aiohttp.ClientSession, data: bytes, says: str) -> None:
    async with http.post("/things/a", data=data) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (400, "INVALID_REQUEST_BODY")
    assert says in body["message"]
    assert body.keys() >= {"statusCode", "message", "code", "source", "timestamp", "path", "method"}
    assert (body["statusCode"], body["source"], body["path"], body["method"]) == (
        400,
        "DAYTONA_DAEMON",
        "/things/a",
        "POST",
    )


async def test_body_over_its_limit_is_413(http: aiohttp.ClientSession) -> None:
    async with http.post("/things/a", data=b" " * 300_001) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("path", "says"), [("/things", "path is required"), ("/things?path=a&depth=x", "depth: expected `int`, got `str`")]
)
async def test_bad_query_is_named(http: aiohttp.ClientSession, path: str, says: str) -> None:
    async with http.get(path) as answer:
        assert answer.status == 400
        assert (await answer.json())["message"] == f"bad request: {says}"


async def test_nul_in_a_path_parameter_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/things/a%00b", data=b"{}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "BAD_REQUEST")


async def test_wrong_method_names_the_right_ones(http: aiohttp.ClientSession) -> None:
    async with http.put("/things/a") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, POST")
        assert "use DELETE or POST" in (await answer.json())["message"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /things?path=x HTTP/1.1\r\nHost: localhost\r\nX-Big: " + b"a" * 300_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET /things HTTP/9.x\r\nHost: localhost\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /things HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400),
    ],
    ids=["header", "line", "version", "nonsense", "colon"],
)
async def test_unreadable_requests_get_the_envelope(things: Served, request_bytes: bytes, status: int) -> None:
    got, body = await raw(things, request_bytes)
    assert got == status
    assert body["statusCode"] == status
    assert body["source"] == "DAYTONA_DAEMON"


async def test_long_lines_and_headers_are_taken(http: aiohttp.ClientSession) -> None:
    async with http.get("/things", params={"path": "p" * 100_000}, headers={"X-Big": "h" * 130_000}) as answer:
        assert len((await answer.json())["path"]) == 100_000


async def test_error_detail_is_kept_beside_the_seven_keys(http: aiohttp.ClientSession) -> None:
    async with http.delete("/things/a") as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["hint"]) == (404, "FILE_NOT_FOUND", "make it first")


async def test_bug_is_500_with_an_id_and_no_internals(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get("/bug") as answer:
        text = await answer.text()
    assert answer.status == 500
    assert "secret internals" not in text
    assert json.loads(text)["errorId"] in {record.__dict__.get("error_id") for record in caplog.records}


async def test_os_error_is_mapped_once(http: aiohttp.ClientSession) -> None:
    async with http.get("/os") as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["message"]) == (403, "FILE_ACCESS_DENIED", "/root/x: permission denied")


async def test_head_runs_the_get_handler(http: aiohttp.ClientSession) -> None:
    async with http.head("/things/literal") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_events_end_cleanly(http: aiohttp.ClientSession) -> None:
    async with http.get("/events") as answer:
        assert await answer.text() == 'event: tick\ndata: {"n":1}\n\n'


async def test_failing_stream_never_looks_complete(http: aiohttp.ClientSession) -> None:
    async with http.get("/broken") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_handler_learns_that_the_client_left(things: Served) -> None:
    _, writer = await asyncio.open_connection(*things.address)
    writer.write(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(things.api.entered.wait(), 5)
    writer.close()
    await asyncio.wait_for(things.api.left.wait(), 5)


async def test_expect_continue_is_answered(things: Served) -> None:
    reader, writer = await asyncio.open_connection(*things.address)
    writer.write(b"POST /things/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
    writer.write(b'{"command":"x"}')
    assert b" 201 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()


async def test_request_id_is_kept_or_made(http: aiohttp.ClientSession) -> None:
    async with http.get("/things/literal", headers={"X-Request-Id": "mine-1"}) as answer:
        assert answer.headers["X-Request-Id"] == "mine-1"
    async with http.get("/things/literal", headers={"X-Request-Id": "bad id!"}) as answer:
        assert answer.headers["X-Request-Id"] != "bad id!"


async def test_observers_see_the_template_not_the_path(http: aiohttp.ClientSession, things: Served) -> None:
    async with http.delete("/box/things/secret-name") as answer:
        await answer.read()
    assert [(done.route, done.method, done.status) for done in things.seen] == [("/things/{thingId}", "DELETE", 404)]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Host": "localhost:2280"}, True),
        ({"Host": "[::1]:2280"}, True),
        ({"Host": "127.8.8.8"}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "127.0.0.1.evil.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, True),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
    ],
)
async def test_open_daemon_refuses_other_sites(
    http: aiohttp.ClientSession, headers: dict[str, str], allowed: bool
) -> None:
    async with http.get("/things/literal", headers=headers) as answer:
        assert answer.status == (200 if allowed else 403)
    async with http.get("/open", headers=headers) as answer:
        assert answer.status == 200


async def test_open_daemon_refuses_websockets_of_other_sites(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/echo", origin="http://evil.example")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"Authorization": "Bearer s3cret"}, "", 200),
        ({"Authorization": "bearer s3cret"}, "", 200),
        ({"Authorization": "Bearer wrong"}, "", 401),
        ({"Authorization": "Basic s3cret"}, "", 401),
        ({"X-Daytona-Preview-Token": "s3cret"}, "", 200),
        ({}, "?DAYTONA_SANDBOX_AUTH_KEY=s3cret", 200),
        ({}, "?DAYTONA_SANDBOX_AUTH_KEY=", 401),
        ({"Authorization": "Bearer s3cret", "Origin": "http://app.example", "Host": "box.example"}, "", 200),
    ],
)
async def test_token_guards_every_route(headers: dict[str, str], query: str, status: int) -> None:
    async with Served(Access(SigningKeys(), token="s3cret")) as served, aiohttp.ClientSession(served.url) as session:
        async with session.get(f"/things/literal{query}", headers=headers) as answer:
            assert answer.status == status
        async with session.get(f"/no-such-route{query}", headers=headers) as answer:
            assert answer.status == (404 if status == 200 else 401)
        async with session.get("/open") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("token", "path", "headers", "reason"),
    [
        ("s3cret", "/things?path=hidden", {"Authorization": "Bearer guessed"}, "token is wrong"),
        ("s3cret", "/things?DAYTONA_SANDBOX_AUTH_KEY=guessed", {}, "token is wrong"),
        ("s3cret", "/nowhere", {}, "token is missing: send 'Authorization: Bearer <token>'"),
        ("", "/things", {"Host": "guessed.example"}, "host or origin is not allowed"),
        ("", "/things", {"Origin": "https://guessed.example"}, "host or origin is not allowed"),
    ],
)
async def test_refused_credential_is_one_log_line_without_its_text(
    caplog: pytest.LogCaptureFixture, token: str, path: str, headers: dict[str, str], reason: str
) -> None:
    caplog.set_level("INFO", "toolbox.http.access")
    access = Access(SigningKeys(), token=token)
    async with (
        Served(access) as served,
        aiohttp.ClientSession(served.url) as session,
        session.get(path, headers=headers) as answer,
    ):
        assert answer.status in (401, 403)
    records = [record for record in caplog.records if record.name == "toolbox.http.access"]
    assert [(record.levelname, record.getMessage()) for record in records] == [
        ("INFO", f"credential refused: {reason}")
    ]
    assert records[0].__dict__["peer"] == "loopback"
    assert not any(word in str(records[0].__dict__) for word in ("guessed", "s3cret", "hidden"))


async def test_missing_token_is_explained() -> None:
    served = Served(Access(SigningKeys(), token="s3cret"))
    async with served, aiohttp.ClientSession(served.url) as session, session.get("/things/literal") as answer:
        body = await answer.json()
    assert (body["code"], answer.headers["WWW-Authenticate"]) == ("UNAUTHORIZED", 'Bearer realm="toolbox"')
    assert "Authorization: Bearer" in body["message"]


@pytest.mark.parametrize(
    ("method", "path", "expires", "signature"),
    [
        ("GET", "/home/user/report.pdf", 1781234567, "v1_QXoy36mypac2FAv33L7jnN44GEUx8KrdwT0vuKgKiQg"),
        ("GET", "/home/user/report.pdf", 0, "v1_lpj67Q-1iHxBviass5MZhGs36X80uk3DgCaRjjmyPrk"),
        ("POST", "/tmp/incoming/data.bin", 1781234567, "v1_CziiRdFkC9asB7q1mi0-fDvvwkpTxcI7yR8N35ht9Vw"),
        ("GET", "/path with spaces/f.txt", 1900000000, "v1_GynMaKcifGfdmrBJHusa_ucAXowjZ_g4KP6lcMJ4WXE"),
    ],
)
def test_signature_vectors(method: str, path: str, expires: int, signature: str) -> None:
    assert sign(KEY, method, path, expires) == signature


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("path=/a&expires=0&signature=" + sign(KEY, "GET", "/a", 0), 200),
        ("path=/a+b&expires=0&signature=" + sign(KEY, "GET", "/a b", 0), 200),
        ("path=/b&expires=0&signature=" + sign(KEY, "GET", "/a", 0), 401),
        ("path=/a&expires=0&signature=" + sign(KEY, "POST", "/a", 0), 401),
        ("path=/a&expires=1&signature=" + sign(KEY, "GET", "/a", 1), 401),
        ("path=/a&expires=-1&signature=" + sign(KEY, "GET", "/a", -1), 401),
        ("path=/a&expires=x&signature=v1_x", 401),
        ("path=/a&expires=4000000000&signature=" + sign(KEY, "GET", "/a", 4000000000), 200),
        ("path=/a&signature=" + sign(KEY, "GET", "/a", 0), 401),
        ("expires=0&signature=x", 400),
    ],
)
async def test_signed_url_stands_in_for_the_token(query: str, status: int) -> None:
    async with Served(Access(SigningKeys(KEY), token="s3cret")) as served, aiohttp.ClientSession(served.url) as session:
        async with session.get(f"/files/download?{query}") as answer:
            assert answer.status == status
        async with session.head(f"/files/download?{query}") as answer:
            assert answer.status == status
        async with session.get(f"/things/literal?{query}") as answer:
            assert answer.status == 401


async def test_replaced_signing_key_ends_old_urls() -> None:
    keys = SigningKeys(KEY)
    async with Served(Access(keys, token="s3cret")) as served, aiohttp.ClientSession(served.url) as session:
        keys.replace("another")
        async with session.get(f"/files/download?path=/a&expires=0&signature={sign(KEY, 'GET', '/a', 0)}") as answer:
            assert answer.status == 401


async def test_cors_for_an_allowed_origin_only() -> None:
    access = Access(SigningKeys(), allowed_origins=frozenset({"https://app.example"}))
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with Served(access) as served, aiohttp.ClientSession(served.url) as session:
        async with session.options("/things/a", headers={**ask, "Origin": "https://app.example"}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Headers"]) == (204, "authorization")
        async with session.options("/things/a", headers={**ask, "Origin": "https://evil.example"}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        async with session.get("/events", headers={"Origin": "https://app.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


async def test_websocket_echoes_messages_and_one_protocol(http: aiohttp.ClientSession) -> None:
    offered = ["X-Daytona-Pty-Envs~e30", "other", "X-Daytona-Pty-Exit-Control", "X-Daytona-SDK-Version~0.218.0"]
    async with http.ws_connect("/box/echo", protocols=offered) as ws:
        assert ws.protocol == "X-Daytona-SDK-Version~0.218.0"
        await ws.send_str("hello")
        assert await ws.receive_str() == "hello"


async def test_protocols_may_be_spread_over_header_lines(things: Served) -> None:
    reader, writer = await asyncio.open_connection(*things.address)
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: X-Daytona-Pty-Envs~e30\r\nSec-WebSocket-Protocol: X-Daytona-Pty-Exit-Control\r\n\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    assert b"Sec-WebSocket-Protocol: X-Daytona-Pty-Exit-Control\r\n" in head


async def test_large_binary_is_cut_into_small_frames(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/echo") as ws:
        await ws.send_bytes(b"x" * 100_000)
        sizes = [len(await ws.receive_bytes()) for _ in range(4)]
    assert sizes == [32768, 32768, 32768, 1696]


@pytest.mark.parametrize("last", ["hello", "fail"])
async def test_websocket_leaves_nothing_once_it_is_closed(http: aiohttp.ClientSession, last: str) -> None:
    """Whether the client closes it or we: a ping that is still planned would keep all that belongs to it."""
    for _ in range(3):
        async with http.ws_connect("/echo") as ws:
            await ws.send_str(last)
            message = await ws.receive()
    assert message.type is (aiohttp.WSMsgType.TEXT if last == "hello" else aiohttp.WSMsgType.CLOSE)
    planned = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert not [repr(handle) for handle in planned if not handle.cancelled() and "heartbeat" in repr(handle)]


async def test_websocket_error_after_the_upgrade_closes_with_a_reason(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/echo") as ws:
        await ws.send_str("fail")
        message = await ws.receive()
    assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1011, "bad request: told to fail")


async def test_websocket_error_before_the_upgrade_is_http(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/refuse")
    assert caught.value.status == 409


async def test_plain_get_on_a_websocket_is_explained(http: aiohttp.ClientSession) -> None:
    async with http.get("/echo") as answer:
        assert answer.status == 404
        assert "send an upgrade request" in (await answer.json())["message"]


async def test_shutdown_closes_websockets_with_1001(http: aiohttp.ClientSession, things: Served) -> None:
    async with http.ws_connect("/echo") as ws:
        await ws.send_str("up")
        await ws.receive_str()
        closing = asyncio.create_task(things.server.close_websockets())
        message = await ws.receive()
        await closing
    assert message.data == 1001


async def test_drain_finishes_what_runs_and_refuses_what_is_new(things: Served, http: aiohttp.ClientSession) -> None:
    async with aiohttp.ClientSession(things.url) as other, other.get("/things/literal") as warm:
        await warm.read()
        running = asyncio.create_task(http.get("/slow"))
        await asyncio.wait_for(things.api.entered.wait(), 5)
        draining = asyncio.create_task(things.server.drain(5))
        await asyncio.sleep(0)
        async with other.get("/things/literal") as late:
            assert (late.status, late.headers["Connection"]) == (503, "close")
        things.api.release.set()
        answer = await running
        assert await answer.json() == {"done": True}
        await draining
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*things.address)


def test_unknown_parameter_name_fails_at_start() -> None:
    class Wrong:
        @endpoint("GET", "/x", tag="x")
        async def x(self, nonsense: ThingQuery) -> None:
            """Do nothing."""

    with pytest.raises(TypeError, match="unknown parameter nonsense"):
        list(collect(Wrong()))


def test_route_table_refuses_two_handlers_for_one_route() -> None:
    routes: list[Route] = [*collect(ThingApi()), *collect(ThingApi())]
    with pytest.raises(ValueError, match="two handlers"):
        HttpServer(routes, Access(SigningKeys()), sandbox_id="box")


class DocsServed(Served):
    """The table with its documentation."""

    def __init__(self) -> None:
        super().__init__(Access(SigningKeys()))
        routes = collect(self.api)
        self.docs = list(collect(DocsApi(lambda: list(routes), pages=True)))
        self.server = HttpServer(self.docs, Access(SigningKeys()), sandbox_id="box")


def directives(answer: aiohttp.ClientResponse) -> dict[str, str]:
    parts = [part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: value for name, _, value in parts}


async def test_no_page_of_ours_may_be_framed_or_run_foreign_scripts() -> None:
    async with DocsServed() as served, aiohttp.ClientSession(served.url) as http:
        pages = [route.mark.path for route in served.docs if route.mark.media == "text/html"]
        assert len(pages) >= 3
        for path in [*pages, "/docs/", "/box/docs", "/docs?DAYTONA_SANDBOX_AUTH_KEY=%22%3E%3Cscript%3E"]:
            async with http.get(path) as answer:
                assert answer.status == 200
                policy = directives(answer)
                assert policy["frame-ancestors"] == policy["default-src"] == policy["base-uri"] == "'none'"
                assert "unsafe" not in policy["script-src"]
                assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/swagger/index.html", "/toolbox/box/docs"])
async def test_policy_of_the_documentation_allows_what_it_needs(path: str) -> None:
    async with DocsServed() as served, aiohttp.ClientSession(served.url) as http:
        async with http.get(path) as answer:
            policy, page = directives(answer), await answer.text()
        (inline,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"].split()
        assert not re.search(r"<[^>]+\son\w+=", page)
        linked = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(linked) == 2
        for link in [*linked, re.findall(r'url: "([^"]+)"', inline)[0]]:
            async with http.get(URL(served.url + path).join(URL(link))) as answer:
                assert answer.status == 200
    for name in ("script-src", "style-src", "img-src", "connect-src"):
        assert "'self'" in policy[name].split()
    assert "data:" in policy["img-src"]
