"""The HTTP server, through which every request passes in these steps.

request id → route → access → drain check → arguments → handler → response. An exception in any step becomes the error
envelope. Owns the listening sockets, the open WebSockets and the drain.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable

import msgspec
from aiohttp import WSCloseCode, web

from toolbox import logs
from toolbox.errors import MethodNotAllowed, NotFound, ToolboxError, Unavailable
from toolbox.http.access import Access
from toolbox.http.binding import arguments, respond
from toolbox.http.connection import BODY_SECONDS, HEAD_SECONDS, MAX_LINE, REPLY_HEADERS, ConnectionServer
from toolbox.http.disconnect import gone
from toolbox.http.endpoint import WEBSOCKET, Route
from toolbox.http.errors import error_response, started
from toolbox.http.router import RouteMatch, Router
from toolbox.http.websocket import WsSession

log = logging.getLogger(__name__)
access_log = logging.getLogger("toolbox.access")

# Seconds. The Python SDK keeps idle connections for 30 s. The client has to close first: a request sent on a connection
# that the server is closing fails.
KEEP_ALIVE = 90.0
READ_BUFFER = 256 * 1024
BACKLOG = 512
LINGER = 0.5

# What the log and the metrics call a request without a route.
NO_ROUTE = "(no route)"
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}")


class Finished(msgspec.Struct, frozen=True):
    """A finished request, as reported to observers."""

    request: web.BaseRequest
    route: str
    method: str
    status: int
    started_ns: int
    seconds: float


Observer = Callable[[Finished], None]


class HttpServer:
    """Serve the endpoint table."""

    def __init__(
        self,
        routes: Iterable[Route],
        access: Access,
        *,
        sandbox_id: str,
        head_seconds: float = HEAD_SECONDS,
        body_seconds: float = BODY_SECONDS,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self.router = Router(routes, sandbox_id)
        self.observers: list[Observer] = []
        self.in_flight = 0
        self._access = access
        self._head_seconds = head_seconds
        self._body_seconds = body_seconds
        self._keep_alive = keep_alive
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._sockets: set[WsSession] = set()
        self._runner: web.ServerRunner | None = None

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on bound sockets."""
        server = ConnectionServer(
            self.handle,
            access_log=None,
            head_seconds=self._head_seconds,
            body_seconds=self._body_seconds,
            keepalive_timeout=self._keep_alive,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=256,
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=LINGER)
        await self._runner.setup()
        for sock in sockets:
            await web.SockSite(self._runner, sock, backlog=BACKLOG).start()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, refuse new requests, wait for running ones."""
        self._draining = True
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("requests still running after drain of %.0f s", seconds, extra={"requests": self.in_flight})

    async def close_websockets(self) -> None:
        """Close every WebSocket with code 1001, going away."""
        self._draining = True
        closing = [session.close(WSCloseCode.GOING_AWAY, "daemon is shutting down") for session in self._sockets]
        await asyncio.gather(*closing, return_exceptions=True)

    async def close(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one request; called by aiohttp."""
        started_ns, clock = time.time_ns(), time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        request[REPLY_HEADERS] = {"Server": "toolbox", "X-Request-Id": name}
        if self._draining or "Origin" in request.headers:
            self._add_headers(request)
        mark = logs.request_id.set(name)
        self.in_flight += 1
        self._idle.clear()
        match: RouteMatch | None = None
        route: Route | None = None
        status = 499
        try:
            match = self.router.resolve(request.rel_url.raw_path)
            route = match.pick(request) if match else None
            response = await self._answer(request, match, route)
            status = response.status
            return response
        except Exception as error:  # noqa: BLE001 - any exception becomes a response
            response = self._failed(request, error)
            status = response.status
            return response
        finally:
            template = NO_ROUTE if route is None else route.mark.path
            seconds = time.perf_counter() - clock
            self._finish(Finished(request, template, request.method, status, started_ns, seconds), route)
            logs.request_id.reset(mark)

    def _add_headers(self, request: web.BaseRequest) -> None:
        headers = request[REPLY_HEADERS]
        headers |= self._access.cors(request)
        if self._draining:
            headers["Connection"] = "close"

    async def _answer(
        self, request: web.BaseRequest, match: RouteMatch | None, route: Route | None
    ) -> web.StreamResponse:
        preflight = self._access.preflight(request) if request.method == "OPTIONS" else None
        if preflight is not None:
            return preflight
        self._access.check(request, route)
        if self._draining and not (route is not None and route.mark.open):
            raise Unavailable("daemon is shutting down")
        if match is None or route is None:
            raise _no_route(request, match)
        if "Expect" in request.headers and request.headers["Expect"].lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # ``started`` must not count the interim response
        if route.mark.method == WEBSOCKET:
            return await self._websocket(route, request, match)
        bound = await arguments(route, request, match.captured)
        result = await route.call(**bound)
        return result if isinstance(result, web.StreamResponse) else await respond(route, request, result)

    async def _websocket(self, route: Route, request: web.BaseRequest, match: RouteMatch) -> web.StreamResponse:
        session = WsSession(request, route.mark.subprotocols.choose)
        bound = await arguments(route, request, match.captured)
        self._sockets.add(session)
        try:
            await route.call(**bound, ws=session)
        except ConnectionError:  # aiohttp raises the base class if a send waits for the buffer
            log.debug("websocket client disconnected: %s", request.path)
        except Exception as error:
            if not session.accepted:
                raise
            await session.close(WSCloseCode.INTERNAL_ERROR, _reason(error))
        finally:
            self._sockets.discard(session)
            if session.accepted:
                await session.close()
        return await session.accept()

    def _failed(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        if started(request) or gone(request):
            # Headers are sent, so no error response is possible: abort, or the client takes the part for complete.
            if not gone(request):
                log.warning("response aborted: %s", error, exc_info=not isinstance(error, (ToolboxError, OSError)))
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("response aborted") from error
        return error_response(request, error)

    def _finish(self, done: Finished, route: Route | None) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()
        quiet = route is not None and route.mark.quiet
        level = logging.DEBUG if quiet or done.status == 499 else logging.INFO
        access_log.log(level, "%s %s %d %.1f ms", done.method, done.route, done.status, done.seconds * 1000)
        for observe in self.observers:
            observe(done)


def _reason(error: Exception) -> str:
    if isinstance(error, ToolboxError):
        return error.message
    log.error("websocket handler failed", exc_info=error)
    return "internal error"


def _no_route(request: web.BaseRequest, match: RouteMatch | None) -> Exception:
    if match is None:
        return NotFound(f"no such route: {request.path}, see /openapi.json for the list")
    if WEBSOCKET in match.routes and request.method == "GET":
        return NotFound(f"{request.path} is a websocket: send an upgrade request")
    methods = match.allowed()
    return MethodNotAllowed(
        f"{request.method} is not allowed on {request.path}, use {' or '.join(methods)}", allow=methods
    )
