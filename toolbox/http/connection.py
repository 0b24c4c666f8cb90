"""A client connection: reports a disconnect, and answers unparsable requests with the error envelope."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from toolbox import wire
from toolbox.errors import RequestTimeout

log = logging.getLogger(__name__)

# Long paths are percent-encoded in the query, and terminal variables (64 KiB) are in a header.
MAX_LINE = 256 * 1024
# All lines of a request head together: one line of the maximum and the 64 KiB that other servers allow. aiohttp bounds
# only the single line and their number, which makes 64 MiB for each connection before any token is checked.
MAX_HEAD = MAX_LINE + 64 * 1024
# How long the bytes of a refused client are read and ignored.
LAST_SECONDS = 1.0
# Seconds for the first byte and the whole head of a request, and for each further byte of its body.
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
JSON = "application/json; charset=utf-8"
REPLY_HEADERS = web.RequestKey("reply_headers", dict[str, str])


def envelope(status: int, code: str, message: str, *, path: str, method: str, **extra: Any) -> dict[str, Any]:
    """Build the seven-key error body; without ``source`` the SDKs ignore ``code``."""
    return {
        **extra,
        "statusCode": status,
        "message": wire.text(message),
        "code": code,
        "source": "DAYTONA_DAEMON",
        "timestamp": wire.now(),
        "path": wire.text(path),
        "method": wire.text(method),
    }


def envelope_response(request: web.BaseRequest, status: int, code: str, message: str, **extra: Any) -> web.Response:
    """Build an error response."""
    body = envelope(status, code, message, path=request.path, method=request.method, **extra)
    return web.Response(status=status, body=wire.encode(body), headers={"Content-Type": JSON})


class HttpConnection(web.RequestHandler):
    """aiohttp's connection with bounds on size and time of a request, the event ``lost``, and JSON errors.

    aiohttp's keep-alive timer measures all times: it is moved forward only when a request does not arrive at once.
    """

    __slots__ = ("_body", "_deadline", "_head_bytes", "body_seconds", "head_seconds", "lost")

    def __init__(self, *args: Any, head_seconds: float, body_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lost = asyncio.Event()
        self.head_seconds = head_seconds
        self.body_seconds = body_seconds
        # When the head or the body that is arriving is late; 0 while none is.
        self._deadline = 0.0
        # Bytes of a head that has not ended yet, and the body of the newest request.
        self._head_bytes = 0
        self._body: Any = EMPTY_PAYLOAD

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time for the first request."""
        super().connection_made(transport)
        self._expect(self.head_seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Set ``lost``."""
        self.lost.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and follow where in a request the connection is; aiohttp's parser does not tell."""
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            if self._head_bytes + len(data) > MAX_HEAD:
                self._check_heads()
            # After an upgrade that is refused, aiohttp parses what follows without a call of this method.
            self._body = None if self._upgraded else self._messages[-1][1]
            self._head_bytes = 0
            self._deadline = 0.0
            if self._body is None or not self._body.is_eof():
                self._expect(self.body_seconds)
        elif data and not self._upgraded and not self._close and not self._force_close:
            self._continued(data)

    def _check_heads(self) -> None:
        # The bytes that completed a head may belong to its body too, so the lines are counted.
        if any(_head_size(message) > MAX_HEAD for message, _ in self._messages):
            self._messages.clear()
            self._refuse(431, f"request head is over {MAX_HEAD} bytes")

    def _continued(self, data: bytes) -> None:
        """Take bytes that did not complete a head."""
        if not self._newest_body().is_eof():
            self._expect(self.body_seconds)
            return
        if self._head_bytes or data.strip(b"\r\n"):  # RFC 9112, 2.2: empty lines before a request are ignored
            if not self._head_bytes and self._request_count:
                self._expect(self.head_seconds)
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            self._refuse(431, f"request head is over {MAX_HEAD} bytes")

    def _expect(self, seconds: float) -> None:
        """Set the deadline, and move the timer only if it would be later."""
        self._deadline = self._loop.time() + seconds
        handle = self._keepalive_handle
        if isinstance(handle, asyncio.TimerHandle) and handle.when() <= self._deadline:
            return
        if handle is not None:
            handle.cancel()
        self._keepalive_handle = self._loop.call_at(self._deadline, self._process_keepalive)

    def _process_keepalive(self) -> None:
        if not self._deadline or self._upgraded or self._close or self._force_close:
            super()._process_keepalive()
            return
        self._keepalive_handle = None
        body = self._newest_body()
        if not body.is_eof() and (self._reading_paused or self._buffer_paused):
            # The handler is slow, not the client.
            self._deadline = self._loop.time() + self.body_seconds
        if self._loop.time() < self._deadline:
            self._keepalive_handle = self._loop.call_at(self._deadline, self._process_keepalive)
        elif body.is_eof() and not self._waits_for_head():
            # The body has arrived since.
            self._deadline = 0.0
            super()._process_keepalive()
        elif body.is_eof():
            self._refuse(408, f"request head did not arrive within {self.head_seconds:g} s")
        else:
            self._give_up(body)

    def _waits_for_head(self) -> bool:
        return self._head_bytes > 0 or not self._request_count

    def _give_up(self, body: Any) -> None:
        """Fail the handler that reads a body which does not arrive; its response ends the connection."""
        self._close = True
        request = self._current_request
        if request is not None and REPLY_HEADERS in request:
            request[REPLY_HEADERS]["Connection"] = "close"
        body.set_exception(RequestTimeout(f"request body did not arrive: no byte for {self.body_seconds:g} s"))
        body.feed_eof()

    def _newest_body(self) -> Any:
        if self._body is None:
            if self._messages:
                return self._messages[-1][1]
            return EMPTY_PAYLOAD if self._current_request is None else self._current_request.content
        return self._body

    def _refuse(self, status: int, reason: str) -> None:
        """Answer an error in place of the request that is arriving, ignore what follows, and close."""
        error = HttpProcessingError(code=status, message=reason)
        self._messages.append((_ErrInfo(status=status, exc=error, message=reason), EMPTY_PAYLOAD))
        self._close = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a request that did not reach a handler."""
        del message
        if isinstance(exc, ConnectionError):
            # The client disconnected, or the response was aborted on purpose: no response can be sent.
            log.debug("connection ended: %s", exc)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=499)
        if not isinstance(exc, HttpProcessingError):
            log.error("request failed outside the error middleware", exc_info=exc)
            reason, code = "internal error", "INTERNAL_SERVER_ERROR"
        elif isinstance(exc, LineTooLong):
            status, code, reason = 431, "BAD_REQUEST", f"request line or header field is over {MAX_LINE} bytes"
        elif exc.code in (408, 431):
            status, reason = exc.code, exc.message
            code = "REQUEST_TIMEOUT" if status == 408 else "BAD_REQUEST"
        else:
            first_line = exc.message.strip().partition("\n")[0].rstrip(":").lower()
            status, code, reason = 400, "BAD_REQUEST", f"malformed http request: {first_line}"
        self._close = True
        body = envelope(status, code, reason, path=request.path, method=request.method)
        response = _LastResponse(status=status, body=wire.encode(body), headers={"Content-Type": JSON})
        response.force_close()
        return response


def _head_size(message: RawRequestMessage | _ErrInfo) -> int:
    """Return the size of a request's head, without what the parser left out of it."""
    if isinstance(message, _ErrInfo):
        return 0
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
    return len(message.method) + len(message.path) + fields


class _LastResponse(web.Response):
    """A response after which the connection ends, and which a client that is still sending receives.

    Closing a socket with unread bytes resets the connection, and the client loses a response it has not read.
    """

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        await super().write_eof(data)
        if request is None or request.transport is None or not isinstance(request.protocol, HttpConnection):
            return
        with contextlib.suppress(OSError, TimeoutError):
            request.transport.write_eof()
            async with asyncio.timeout(LAST_SECONDS):
                await request.protocol.lost.wait()


class HttpRequest(web.BaseRequest):
    """A request with headers for its response, applied also when a handler prepares the response itself."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        for name, value in self.get(REPLY_HEADERS, {}).items():
            response.headers.setdefault(name, value)


class ConnectionServer(web.Server):
    """aiohttp's low-level server with ``HttpConnection`` and ``HttpRequest``."""

    def __init__(self, handler: Any, *, head_seconds: float, body_seconds: float, **settings: Any) -> None:
        factory = functools.partial(HttpRequest, loop=asyncio.get_running_loop())
        super().__init__(handler, request_factory=factory, **settings)
        self._settings = settings
        self._limits = {"head_seconds": head_seconds, "body_seconds": body_seconds}

    def __call__(self) -> web.RequestHandler:
        """Create the protocol of a new connection."""
        return HttpConnection(self, loop=asyncio.get_running_loop(), **self._limits, **self._settings)
