"""Convert exceptions to the error envelope."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from aiohttp import web

from toolbox.errors import ErrorCode, MethodNotAllowed, ToolboxError, from_os_error
from toolbox.http.connection import envelope_response

log = logging.getLogger(__name__)


def started(request: web.BaseRequest) -> bool:
    """Tell whether bytes of the response were sent, after which no other response is possible."""
    return request.writer.output_size > 0


def error_response(request: web.BaseRequest, error: Exception) -> web.Response:
    """Build the envelope; an internal error is logged with an id that the client gets too."""
    status, code, message, detail = _explain(error)
    if status >= 500 and not (isinstance(error, ToolboxError) and status != 500):
        detail = {**detail, "errorId": secrets.token_hex(6)}
        # A ToolboxError explains itself (for example a broken git repository); a stack trace adds nothing.
        trace = None if isinstance(error, ToolboxError) else error
        log.error("request failed: %s", message, exc_info=trace, extra={"error_id": detail["errorId"]})
    response = envelope_response(request, status, code, message, **detail)
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
    if isinstance(error, web.HTTPException):  # 412, or aiohttp's 400 for a WebSocket handshake
        return error.status, ErrorCode.BAD_REQUEST, (error.text or error.reason).strip().lower(), {}
    return 500, ErrorCode.INTERNAL_SERVER_ERROR, "internal error, see the daemon log for the error id", {}
