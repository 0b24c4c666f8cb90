"""``/proxy/{port}/…``: forward requests and WebSockets to a local port, unchanged.

Upstream connections are not reused. An upstream may close a pooled connection just as a request is sent; the proxy
would have to fail the request or to repeat one that may already have been executed.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from toolbox import wire
from toolbox.errors import BadGateway, BadRequest, RequestTimeout
from toolbox.host.ports import parse_port
from toolbox.http import tunnel
from toolbox.http.connection import MAX_LINE
from toolbox.http.credentials import Credentials
from toolbox.http.disconnect import while_connected
from toolbox.http.endpoint import Request, raw_route
from toolbox.http.router import is_upgrade

CONNECT_SECONDS = 5.0
BUFFER = 256 * 1024
MAX_HEADERS = 256
EVENTS = "text/event-stream"
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
# Headers that aiohttp adds by default.
AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
SWITCHING = 101
_UNSAFE = re.compile(rb"[^\x21-\x7e]|#")


class ProxyPath(wire.Wire, kw_only=True):
    """Port, and the raw rest of the path."""

    port: str
    tail: str


class PortProxy:
    """Forward requests to loopback ports; ``token`` is the daemon's credential, which is removed from requests."""

    def __init__(self, own_port: Callable[[], int], *, token: str = "") -> None:
        self._own_port = own_port
        self._credentials = Credentials(token)
        self._session: aiohttp.ClientSession | None = None
        self._endless: set[asyncio.Task[Any]] = set()

    @raw_route("/proxy/{port}/{tail}", tag="port")
    async def handle(self, path: ProxyPath, request: Request) -> web.StreamResponse:
        """Forward one request; close the upstream connection when the client disconnects."""
        port = parse_port(path.port)
        if port == self._own_port():
            raise BadRequest(f"bad request: port {port} is the daemon itself")
        tail, query = _sendable(path.tail), _sendable(request.raw_path.partition("?")[2])
        if not tail:
            # A relative Location is correct behind any path prefix.
            return web.Response(status=307, headers={"Location": f"{port}/{query and '?'}{query}"})
        query = self._credentials.strip_query(query)
        url = URL.build(scheme="http", host="localhost", port=port, path=tail, query_string=query, encoded=True)
        return await while_connected(request, self._forward(request, url))

    async def stop(self) -> None:
        """Cancel upgraded connections and event streams, which have no end, before the drain."""
        for task in list(self._endless):
            task.cancel()

    async def close(self) -> None:
        """End every upstream connection."""
        await self.stop()
        if self._session is not None:
            await self._session.close()

    async def _forward(self, request: Request, url: URL) -> web.StreamResponse:
        headers = self._headers(request, url)
        if is_upgrade(request):
            headers.update({"Connection": "Upgrade", "Upgrade": request.headers["Upgrade"]})
        upstream = await self._ask(request, url, headers)
        try:
            if upstream.status == SWITCHING:
                return await self._tunnel(request, upstream)
            return await self._relay(request, upstream)
        except aiohttp.ClientError as error:
            raise BadGateway(f"port {url.port} broke off in the middle of its answer: {error}") from error
        finally:
            upstream.close()

    async def _ask(self, request: Request, url: URL, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Send the request; return after the response headers."""
        body = request.content if request.body_exists else None
        if self._session is None:
            self._session = _session()
        try:
            return await self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except aiohttp.ClientError as error:
            late = request.content.exception()
            if isinstance(late, RequestTimeout):  # the client's fault, not the upstream's
                raise late from error
            raise _bad_gateway(error, url.port) from error

    def _headers(self, request: Request, url: URL) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers)
        headers.popall("Expect", None)
        self._credentials.strip_headers(headers)
        headers["Host"] = f"localhost:{url.port}"
        headers.setdefault("X-Forwarded-Host", request.headers.get("Host", ""))
        headers.setdefault("X-Forwarded-Proto", "http")
        headers["X-Forwarded-Prefix"] = f"{headers.get('X-Forwarded-Prefix', '')}/proxy/{url.port}"
        chain = [*headers.getall("X-Forwarded-For", []), request.remote or ""]
        headers["X-Forwarded-For"] = ", ".join(filter(None, chain))
        return headers

    async def _relay(self, request: Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Forward status, headers and body, each chunk as it arrives."""
        if upstream.content_type == EVENTS:
            self._mark_endless()
        response = _Relayed(upstream)
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _tunnel(self, request: Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Answer with the upstream's 101, then forward bytes both ways."""
        if upstream.connection is None or not is_upgrade(request):
            raise BadGateway("port switched to another protocol unasked")
        self._mark_endless()
        response = _Relayed(upstream)
        response.headers.update({"Connection": "Upgrade", "Upgrade": upstream.headers.get("Upgrade", "websocket")})
        await response.prepare(request)
        await tunnel.join(request.protocol, upstream.connection.protocol)
        response.force_close()
        return response

    def _mark_endless(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._endless.add(task)
            task.add_done_callback(self._endless.discard)


def _bad_gateway(error: aiohttp.ClientError, port: int | None) -> BadGateway:
    if isinstance(error, aiohttp.ClientConnectorError):
        return BadGateway(f"nothing is listening on port {port}: GET /port lists what does")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return BadGateway(f"port {port} does not accept connections")
    reason = str(error).partition("\n")[0] or "connection closed"
    return BadGateway(f"port {port} did not answer with http: {reason.lower()}")


class _Relayed(web.StreamResponse):
    """A response with the upstream's status and headers; aiohttp would add a Content-Type if there is none."""

    def __init__(self, upstream: aiohttp.ClientResponse) -> None:
        super().__init__(status=upstream.status, reason=upstream.reason, headers=_end_to_end(upstream.headers))
        self._typed = "Content-Type" in upstream.headers

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        if not self._typed:
            self.headers.popall("Content-Type", None)


def _session() -> aiohttp.ClientSession:
    loopback = _Loopback()
    connector = aiohttp.TCPConnector(
        resolver=loopback,
        socket_factory=loopback.open,
        use_dns_cache=False,
        happy_eyeballs_delay=None,
        limit=0,
        force_close=True,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        skip_auto_headers=AUTOMATIC,
        read_bufsize=BUFFER,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
    )
    # aiohttp repeats a request if the upstream closes without a response, even a PUT whose body is consumed.
    session._retry_connection = False  # noqa: SLF001 - there is no public switch
    return session


class _Loopback(AbstractResolver):
    """Resolve every name to both loopback addresses, the one that worked last for the port first."""

    def __init__(self) -> None:
        self._on_v6: set[int] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """List the addresses to try."""
        del family
        both = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in (reversed(both) if port in self._on_v6 else both)
        ]

    def open(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Open the socket of one attempt and remember its family: the last attempt for a port is the successful one."""
        family, kind, protocol, _, where = address
        (self._on_v6.add if family == socket.AF_INET6 else self._on_v6.discard)(int(where[1]))
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Do nothing."""


def _sendable(text: str) -> str:
    """Return a part of the request line as it is, with only bytes invalid in a URL encoded."""
    raw = text.encode("utf-8", "surrogateescape")
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Copy headers without the hop-by-hop ones (RFC 9110, 7.6.1)."""
    copied: CIMultiDict[str] = CIMultiDict(headers)
    named = {name.strip().lower() for line in copied.getall("Connection", []) for name in line.split(",")}
    for name in {name for name in copied if name.lower() in HOP_BY_HOP | named}:
        copied.popall(name, None)
    return copied
