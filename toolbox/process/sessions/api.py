"""``/process/session``: sessions, their commands and the logs of commands."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from toolbox.errors import (
    BadRequest,
    CommandCompleted,
    Conflict,
    InvalidBody,
    ProcessNotFound,
    SessionEnded,
    TooManyRequests,
    Unavailable,
)
from toolbox.http.disconnect import until, while_connected
from toolbox.http.endpoint import MIB, Reply, endpoint, websocket
from toolbox.http.pages import LateAnswers, Pages, send
from toolbox.http.websocket import WsSession, offered_protocols
from toolbox.process.sessions import log_json, sdk_compat, wire
from toolbox.process.sessions.entrypoint import EntrypointSession
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.sessions import ENTRYPOINT, Sessions
from toolbox.process.sessions.stream_prefixes import frames
from toolbox.process.subprotocols import SUBPROTOCOLS
from toolbox.runs.wire import SignalRequest

TAG = "process"
TEXT = "text/plain; charset=utf-8"
LOG_ERRORS = (BadRequest, ProcessNotFound)


class SessionsApi:
    """Create sessions, run commands in them, read their logs."""

    def __init__(self, sessions: Sessions, entrypoint: EntrypointSession, late: LateAnswers | None = None) -> None:
        self._sessions = sessions
        self._late = late or LateAnswers()
        self._entrypoint = entrypoint

    @endpoint(
        "POST",
        "/process/session",
        tag=TAG,
        status=201,
        errors=(InvalidBody, BadRequest, Conflict, TooManyRequests, Unavailable),
    )
    async def create_session(self, headers: wire.SessionHeaders, body: wire.CreateSession) -> None:
        """Create a session: a shell in which commands run one after the other."""
        known = sdk_compat.release(headers.version)
        await self._sessions.create(body.session_id, at_home=sdk_compat.starts_at_home(known))

    @endpoint("GET", "/process/session", tag=TAG)
    async def list_sessions(self) -> list[wire.Session]:
        """List the sessions, without that of the entrypoint."""
        return [session.describe() for session in await self._sessions.all()]

    @endpoint("GET", "/process/session/entrypoint", tag=TAG, errors=(ProcessNotFound,))
    async def get_entrypoint_session(self) -> wire.Session:
        """Describe the session of the entrypoint."""
        return self._entrypoint.describe()

    @endpoint("DELETE", "/process/session/entrypoint", tag=TAG, status=204, errors=(BadRequest,), hidden=True)
    async def delete_entrypoint_session(self) -> None:
        """Refuse: the entrypoint lives as long as the daemon."""
        await self._sessions.delete(ENTRYPOINT)

    @endpoint("GET", "/process/session/{sessionId}", tag=TAG, errors=(ProcessNotFound,))
    async def get_session(self, path: wire.SessionPath) -> wire.Session:
        """Describe a session and its commands."""
        return (await self._sessions.get(path.session_id)).describe()

    @endpoint("DELETE", "/process/session/{sessionId}", tag=TAG, status=204, errors=(BadRequest, ProcessNotFound))
    async def delete_session(self, path: wire.SessionPath, query: wire.DeleteQuery) -> None:
        """Delete a session with its logs, and kill everything that was started in it."""
        await self._sessions.delete(path.session_id, keep_background=bool(query.keep_background))

    @endpoint(
        "POST",
        "/process/session/{sessionId}/exec",
        tag=TAG,
        also=(202,),
        errors=(InvalidBody, BadRequest, ProcessNotFound, Conflict, SessionEnded, TooManyRequests),
        body_limit=64 * MIB,
    )
    async def session_execute_command(
        self, path: wire.SessionPath, headers: wire.SessionHeaders, body: wire.SessionExecute, request: web.BaseRequest
    ) -> Reply[wire.SessionExecuteResponse]:
        """Run a command in a session: wait for its exit, or with ``runAsync`` answer 202 at once."""
        command = await self._sessions.execute(path.session_id, body)
        if body.in_background:
            return Reply(wire.SessionExecuteResponse(cmd_id=command.id), status=202)

        async def pages() -> Pages:
            head = b'"cmdId":"%s","exitCode":%d,' % (command.id.encode(), command.result())
            form = _form(headers)
            parts = log_json.body(
                command.log,
                0,
                await command.log.size(),
                head=head,
                prefixed=form is not sdk_compat.Form.PLAIN,
                # Clients that are no SDK know them, old SDKs do not.
                streams=form is sdk_compat.Form.JSON or sdk_compat.release(headers.version) is None,
            )
            return Pages(parts, {})

        answer = await self._late.send(request, command.ending, pages, process_id=command.id)
        return cast("Reply[wire.SessionExecuteResponse]", answer)

    @endpoint("GET", "/process/session/{sessionId}/command/{commandId}", tag=TAG, errors=(ProcessNotFound,))
    async def get_session_command(self, path: wire.CommandPath) -> wire.Command:
        """Describe a command."""
        if path.session_id == ENTRYPOINT:
            return self._entrypoint.command(path.command_id)
        return (await self._sessions.get(path.session_id)).command(path.command_id).describe()

    @endpoint(
        "POST",
        "/process/session/{sessionId}/command/{commandId}/input",
        tag=TAG,
        status=204,
        errors=(InvalidBody, BadRequest, ProcessNotFound, Conflict, SessionEnded, CommandCompleted),
        body_limit=64 * MIB,
    )
    async def send_input(self, path: wire.CommandPath, body: wire.Input) -> None:
        """Write to the standard input of a command that was started with ``runAsync``."""
        await self._sessions.write(path.session_id, path.command_id, body)

    @endpoint(
        "POST",
        "/process/session/{sessionId}/command/{commandId}/signal",
        tag=TAG,
        status=204,
        errors=(BadRequest, ProcessNotFound, Conflict, CommandCompleted),
    )
    async def signal_session_command(self, path: wire.CommandPath, body: SignalRequest) -> None:
        """Signal the processes of a command, but not the shell of its session."""
        await self._sessions.signal(path.session_id, path.command_id, body)

    @endpoint(
        "GET",
        "/process/session/{sessionId}/command/{commandId}/logs",
        tag=TAG,
        errors=LOG_ERRORS,
        head=False,
        media="text/plain",
    )
    async def get_session_command_logs(
        self, path: wire.CommandPath, query: wire.LogsQuery, headers: wire.SessionHeaders, request: web.BaseRequest
    ) -> Reply[wire.Logs]:
        """Return the log of a command so far, in the form that the release of the client's SDK expects.

        ``offset`` starts at a byte offset, ``tail`` that many bytes before the end, and ``wait`` waits that many
        seconds for new output. The header ``X-Log-Offset`` has the offset for the next request.
        """
        log = await self._log(path)
        return cast("Reply[wire.Logs]", await self._logs(request, query, headers, log, _form(headers)))

    @websocket(
        "/process/session/{sessionId}/command/{commandId}/logs", tag=TAG, errors=LOG_ERRORS, subprotocols=SUBPROTOCOLS
    )
    async def follow_session_command_logs(
        self, path: wire.CommandPath, query: wire.LogsQuery, headers: wire.SessionHeaders, ws: WsSession
    ) -> None:
        """Stream the log of a command, from its start or an offset; close code 1000 means that it is complete."""
        log = await self._log(path)
        await _stream(ws, log, query, prefixed=_form(headers, ws.protocols) is not sdk_compat.Form.PLAIN)

    @endpoint("GET", "/process/session/entrypoint/logs", tag=TAG, errors=LOG_ERRORS, head=False, media="text/plain")
    async def get_entrypoint_logs(
        self, query: wire.LogsQuery, headers: wire.SessionHeaders, request: web.BaseRequest
    ) -> Reply[wire.Logs]:
        """Return the log of the entrypoint."""
        form = _form(headers, offered_protocols(request))
        form = form if form is sdk_compat.Form.JSON else sdk_compat.Form.PREFIXED
        return cast("Reply[wire.Logs]", await self._logs(request, query, headers, self._entrypoint.log(), form))

    @websocket("/process/session/entrypoint/logs", tag=TAG, errors=LOG_ERRORS, subprotocols=SUBPROTOCOLS)
    async def follow_entrypoint_logs(self, query: wire.LogsQuery, ws: WsSession) -> None:
        """Stream the log of the entrypoint."""
        await _stream(ws, self._entrypoint.log(), query, prefixed=True)

    async def _log(self, path: wire.CommandPath) -> Log:
        if path.session_id == ENTRYPOINT:
            return self._entrypoint.log(path.command_id)
        return (await self._sessions.get(path.session_id)).command(path.command_id).log

    async def _logs(
        self,
        request: web.BaseRequest,
        query: wire.LogsQuery,
        headers: wire.SessionHeaders,
        log: Log,
        form: sdk_compat.Form,
    ) -> web.StreamResponse:
        known = sdk_compat.release(headers.version)
        start = await log.start(query)
        if query.follow and (known is None or known < sdk_compat.SPLIT_SINCE):
            data = log_json.data(log.follow(start), prefixed=False)
            return await while_connected(request, send(request, Pages(data, {}), media=TEXT, at_once=True))
        stop = await log.size()
        about = {"X-Log-Offset": str(stop), "X-Output-Truncated": "true" if log.truncated else "false"}
        if form is sdk_compat.Form.JSON:
            return await send(request, Pages(log_json.body(log, start, stop), about))
        data = log_json.data(log.chunks(start, stop), prefixed=form is sdk_compat.Form.PREFIXED)
        return await send(request, Pages(data, about), media=TEXT)


def _form(headers: wire.SessionHeaders, protocols: Sequence[str] = ()) -> sdk_compat.Form:
    known = sdk_compat.release(headers.version, protocols)
    return sdk_compat.form_of(known, split=bool(headers.split), accept=headers.accept)


async def _stream(ws: WsSession, log: Log, query: wire.LogsQuery, *, prefixed: bool) -> None:
    start = await log.start(query)
    source = log.follow(start) if query.follow else log.chunks(start)
    await ws.accept()

    async def send_frames() -> None:
        async with contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                for frame in frames(chunk) if prefixed else (chunk.data,):
                    await ws.send_bytes(frame)

    await until(ws.gone(), send_frames())
    await ws.close()
