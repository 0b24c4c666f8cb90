"""Convert exceptions to the error envelope."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from aiohttp import web

from toolbox import wire
from toolbox.errors import ErrorCode, MethodNotAllowed, ToolboxError, from_os_error
from toolbox.http.connection import envelope

log = logging.getLogger(__name__)

_BY_STATUS = {
    400: ErrorCode.BAD_REQUEST,
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    416: ErrorCode.RANGE_NOT_SATISFIABLE,
}


def started(request: web.BaseRequest) -> bool:
    """Tell whether bytes of the response were sent, after which no other response is possible."""
    return request.writer.output_size > 0


def gone(request: web.BaseRequest) -> bool:
    """Tell whether the client has disconnected."""
    return request.transport is None or request.transport.is_closing()


def error_response(request: web.BaseRequest, error: Exception) -> web.Response:
    """Build the envelope; an internal error is logged with an id that the client gets too."""
    status, code, message, detail = _explain(error)
    if status >= 500 and not (isinstance(error, ToolboxError) and status != 500):
        detail = {**detail, "errorId": secrets.token_hex(6)}
        # A ToolboxError explains itself (for example a broken git repository); a stack trace adds nothing.
        trace = None if isinstance(error, ToolboxError) else error
        log.error("request failed: %s", message, exc_info=trace, extra={"error_id": detail["errorId"]})
    body = envelope(status, code, message, path=request.path, method=request.method, **detail)
    response = web.Response(status=status, body=wire.encode(body), content_type="application/json", charset="utf-8")
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allow)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="toolbox"'
    return response


def _explain(error: Exception) -> tuple[int, str, str, dict[str, Any]]:
    if isinstance(error, OSError) and not isinstance(error, ToolboxError):
        error = from_os_error(error)
    if isinstance(error, ToolboxError):
        return error.status, error.code, error.message, error.detail
    if isinstance(error, web.HTTPException) and error.status >= 400:
        code = _BY_STATUS.get(
            error.status, ErrorCode.BAD_REQUEST if error.status < 500 else ErrorCode.INTERNAL_SERVER_ERROR
        )
        return error.status, code, (error.text or error.reason).strip().lower(), {}
    return 500, ErrorCode.INTERNAL_SERVER_ERROR, "internal error, see the daemon log for the error id", {}
