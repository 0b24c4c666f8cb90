"""A client connection: reports a disconnect, and answers unparsable requests with the error envelope."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from toolbox import wire

log = logging.getLogger(__name__)

# Long paths are percent-encoded in the query, and terminal variables (64 KiB) are in a header.
MAX_LINE = 256 * 1024
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
    """aiohttp's connection with two additions: the event ``lost``, and JSON for requests that cannot be parsed."""

    __slots__ = ("lost",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lost = asyncio.Event()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Set ``lost``."""
        self.lost.set()
        super().connection_lost(exc)

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
        else:
            first_line = exc.message.strip().partition("\n")[0].rstrip(":").lower()
            status, code, reason = 400, "BAD_REQUEST", f"malformed http request: {first_line}"
        response = envelope_response(request, status, code, reason)
        response.force_close()
        return response


class HttpRequest(web.BaseRequest):
    """A request with headers for its response, applied also when a handler prepares the response itself."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        for name, value in self.get(REPLY_HEADERS, {}).items():
            response.headers.setdefault(name, value)


class ConnectionServer(web.Server):
    """aiohttp's low-level server with ``HttpConnection`` and ``HttpRequest``."""

    def __init__(self, handler: Any, **settings: Any) -> None:
        factory = functools.partial(HttpRequest, loop=asyncio.get_running_loop())
        super().__init__(handler, request_factory=factory, **settings)
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        """Create the protocol of a new connection."""
        return HttpConnection(self, loop=asyncio.get_running_loop(), **self._settings)
