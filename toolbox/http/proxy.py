"""``/proxy/{port}/…``: pass HTTP and WebSockets on to a port of this machine, byte for byte.

Fresh connections only: a pooled one that the upstream has closed would force a choice between failing and sending a
request twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from toolbox.errors import BadGateway, BadRequest
from toolbox.http.access import PREVIEW_HEADER, QUERY_KEY
from toolbox.http.binding import unquote
from toolbox.http.endpoint import raw_route
from toolbox.http.server import MATCH
from toolbox.http.streams import disconnected
from toolbox.http.websocket import offered_protocols

CONNECT_SECONDS = 5.0
BUFFER = 256 * 1024
MAX_FIELD = 256 * 1024
ADDRESSES = ("127.0.0.1", "[::1]")
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Sent by aiohttp unless told not to.
AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
NO_CODE = 1005
ABNORMAL = 1006
FRAMES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG})

T = TypeVar("T")
Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class PortProxy:
    """Forward requests to loopback; remembers which address family each port answered on."""

    def __init__(self, own_port: Callable[[], int], *, token: str = "") -> None:
        self._own_port = own_port
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._answered: dict[int, str] = {}

    @raw_route("/proxy/{port}/{tail}", tag="port")
    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forward one request; the upstream request ends when the client leaves."""
        match = request[MATCH]
        port = self._port(match.captured["port"])
        tail = match.captured["tail"]
        if not tail:
            query = request.rel_url.raw_query_string
            where = f"{request.rel_url.raw_path}/{'?' + query if query else ''}"
            return web.Response(status=307, headers={"Location": where})
        target = tail + self._query(request.rel_url.raw_query_string)
        forward = self._websocket if _is_websocket(request) else self._http
        work = asyncio.ensure_future(forward(request, port, target))
        left = asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ConnectionResetError("client left")
            return work.result()
        finally:
            for task in (work, left):
                task.cancel()
            await asyncio.wait((work, left))

    async def close(self) -> None:
        """End every upstream connection."""
        if self._session is not None:
            await self._session.close()

    def _port(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
            raise BadRequest(f"bad request: invalid port {unquote(text)!r}: must be a number between 1 and 65535")
        if int(text) == self._own_port():
            raise BadRequest(f"bad request: port {text} is the daemon itself")
        return int(text)

    def _query(self, raw: str) -> str:
        """Return the query without our own credential."""
        kept = [part for part in raw.split("&") if not self._is_credential(part)]
        return "?" + "&".join(kept) if raw and kept else ""

    def _is_credential(self, part: str) -> bool:
        name, _, value = part.partition("=")
        return bool(self._token) and name == QUERY_KEY and unquote(value, plus=True) == self._token

    def _headers(self, request: web.BaseRequest, port: int) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers)
        headers.popall("Expect", None)
        headers["Host"] = f"localhost:{port}"
        headers.setdefault("X-Forwarded-Host", request.headers.get("Host", ""))
        headers.setdefault("X-Forwarded-Proto", "http")
        headers["X-Forwarded-Prefix"] = f"/proxy/{port}"
        chain = [*request.headers.getall("X-Forwarded-For", []), request.remote or ""]
        headers["X-Forwarded-For"] = ", ".join(filter(None, chain))
        if self._token:
            for name, own in (("Authorization", f"Bearer {self._token}"), (PREVIEW_HEADER, self._token)):
                if headers.get(name) == own:
                    del headers[name]
        return headers

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                skip_auto_headers=AUTOMATIC,
                read_bufsize=BUFFER,
                max_line_size=MAX_FIELD,
                max_field_size=MAX_FIELD,
            )
        return self._session

    async def _connect(self, port: int, target: str, attempt: Callable[[URL], Awaitable[T]]) -> T:
        """Try the loopback addresses in turn, the one that answered last time first."""
        first = self._answered.get(port, ADDRESSES[0])
        for address in sorted(ADDRESSES, key=lambda name: name != first):
            try:
                answer = await attempt(URL(f"http://{address}:{port}{target}", encoded=True))
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
            self._answered[port] = address
            return answer
        self._answered.pop(port, None)
        raise BadGateway(f"nothing is listening on port {port}: start the server, or see GET /port for what listens")

    async def _http(self, request: web.BaseRequest, port: int, target: str) -> web.StreamResponse:
        headers = self._headers(request, port)
        body = request.content if request.body_exists else None

        async def attempt(url: URL) -> aiohttp.ClientResponse:
            return await self._client().request(request.method, url, headers=headers, data=body, allow_redirects=False)

        try:
            upstream = await self._connect(port, target, attempt)
            async with upstream:
                return await _relay(request, upstream)
        except aiohttp.ClientError as error:
            raise BadGateway(f"port {port} broke off: {str(error) or type(error).__name__}") from error

    async def _websocket(self, request: web.BaseRequest, port: int, target: str) -> web.StreamResponse:
        headers = self._headers(request, port)
        for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
            del headers[name]

        async def attempt(url: URL) -> aiohttp.ClientWebSocketResponse:
            return await self._client().ws_connect(
                url,
                headers=headers,
                protocols=offered_protocols(request),
                autoping=False,
                autoclose=False,
                max_msg_size=0,
            )

        try:
            upstream = await self._connect(port, target, attempt)
        except aiohttp.WSServerHandshakeError:
            # Ask once more as plain HTTP, for the body of the refusal.
            return await self._http(request, port, target)
        except aiohttp.ClientError as error:
            raise BadGateway(f"port {port} broke off: {str(error) or type(error).__name__}") from error
        async with upstream:
            return await _join(request, upstream)


def _is_websocket(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Copy headers without those that are about one connection only."""
    copied: CIMultiDict[str] = CIMultiDict(headers)
    named = {name.strip().lower() for line in copied.getall("Connection", []) for name in line.split(",")}
    for name in {name for name in copied if name.lower() in HOP_BY_HOP | named}:
        copied.popall(name, None)
    return copied


async def _relay(request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    """Send status, headers and body of the upstream on, each chunk as it comes."""
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    for name, value in _end_to_end(upstream.headers).items():
        response.headers.add(name, value)
    await response.prepare(request)
    if request.method != "HEAD" and upstream.status not in (204, 304):
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    await response.write_eof()
    return response


async def _join(request: web.BaseRequest, upstream: aiohttp.ClientWebSocketResponse) -> web.StreamResponse:
    """Accept the client with the upstream's sub-protocol and copy frames both ways until either side closes."""
    chosen = (upstream.protocol,) if upstream.protocol else tuple(offered_protocols(request))
    client = web.WebSocketResponse(
        autoping=False, autoclose=False, max_msg_size=0, compress=False, protocols=chosen if upstream.protocol else ()
    )
    await client.prepare(request)
    copies = [asyncio.create_task(_copy(client, upstream)), asyncio.create_task(_copy(upstream, client))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.wait(copies)
    await client.close()
    return client


async def _copy(source: Socket, target: Socket) -> None:
    """Copy frames until the source closes; hand its close code on."""
    with contextlib.suppress(ConnectionError):
        while (message := await source.receive()).type in FRAMES:
            await target.send_frame(_payload(message), message.type)
        if message.type is WSMsgType.CLOSE:
            await _close(target, message.data, message.extra)
            await _close(source, message.data, message.extra)
        else:
            await _close(target, source.close_code or ABNORMAL, "")


def _payload(message: aiohttp.WSMessage) -> bytes:
    data = message.data
    return data.encode() if isinstance(data, str) else bytes(data)


async def _close(socket: Socket, code: int | None, reason: str | None) -> None:
    if socket.closed:
        return
    if not code or code == NO_CODE:
        await socket.send_frame(b"", WSMsgType.CLOSE)
        return
    await socket.close(code=1011 if code == ABNORMAL else code, message=(reason or "").encode()[:123])
