"""``/processes``: start, list, read, write to, signal, wait for, attach to and delete processes of every kind."""

from __future__ import annotations

import contextlib
from typing import cast

from aiohttp import web

from toolbox.errors import (
    BadRequest,
    Conflict,
    CursorExpired,
    Forbidden,
    InvalidBody,
    InvalidCursor,
    NameConflict,
    ProcessEnded,
    ProcessNotFound,
    ProtectedProcess,
    StartFailed,
    StdinClosed,
    StdinUnavailable,
    Unavailable,
    UnsupportedOperation,
)
from toolbox.http.disconnect import while_connected
from toolbox.http.endpoint import MIB, Request, endpoint, websocket
from toolbox.http.streams import SSE, event_stream
from toolbox.http.websocket import WsSession
from toolbox.process.processes import wire
from toolbox.process.processes.attach import attach
from toolbox.process.processes.logs import Events
from toolbox.process.processes.processes import Processes
from toolbox.process.subprotocols import SUBPROTOCOLS
from toolbox.runs.wire import SignalRequest

TAG = "processes"
STARTING = (InvalidBody, BadRequest, UnsupportedOperation, Forbidden, NameConflict, StartFailed, Unavailable)
READING = (BadRequest, ProcessNotFound, InvalidCursor, CursorExpired)
ACTING = (InvalidBody, BadRequest, ProcessNotFound, ProtectedProcess, ProcessEnded)


class ProcessesApi:
    """Processes of every kind: commands, session commands, terminals, code runs."""

    def __init__(self, service: Processes) -> None:
        self._processes = service

    @endpoint("POST", "/processes", tag=TAG, status=201, errors=STARTING, body_limit=64 * MIB)
    async def create_process(self, body: wire.CreateProcessRequest) -> wire.Process:
        """Start a process and return at once; it outlives the connection."""
        return await self._processes.create(body)

    @endpoint("GET", "/processes", tag=TAG, errors=(BadRequest,))
    async def list_processes(self, query: wire.ListQuery) -> list[wire.Process]:
        """List running and recently ended processes, the oldest first."""
        return self._processes.select(query)

    @endpoint("GET", "/processes/{id}", tag=TAG, errors=(ProcessNotFound,))
    async def get_process(self, path: wire.ProcessPath) -> wire.Process:
        """Describe a process; of an ended one also the processes it left in the background."""
        return await self._processes.get(path.id)

    @endpoint("DELETE", "/processes/{id}", tag=TAG, status=204, errors=(ProcessNotFound, ProtectedProcess, Conflict))
    async def delete_process(self, path: wire.ProcessPath) -> None:
        """Delete a process that has ended, with its output."""
        self._processes.delete(path.id)

    @endpoint("GET", "/processes/{id}/logs", tag=TAG, errors=READING, quiet=True, head=False)
    async def get_process_logs(
        self, path: wire.ProcessPath, query: wire.LogsQuery, headers: wire.LogsHeaders, request: Request
    ) -> wire.ProcessLogPage:
        """Read output from a cursor on.

        With ``follow=true`` the answer is a stream of server-sent events: ``state``, ``log``, ``warning`` where output
        was lost, and ``eof`` after the last ``state``; its ids are cursors. A stream without ``eof`` was cut off.
        """
        if not query.follow:
            return await while_connected(request, self._processes.page(path.id, query))
        events = self._processes.follow(path.id, query, headers.last_event_id)
        return cast("wire.ProcessLogPage", await while_connected(request, _send(request, events)))

    @endpoint(
        "POST",
        "/processes/{id}/stdin",
        tag=TAG,
        status=204,
        errors=(
            InvalidBody,
            BadRequest,
            ProcessNotFound,
            ProtectedProcess,
            ProcessEnded,
            StdinClosed,
            StdinUnavailable,
        ),
    )
    async def write_process_stdin(self, path: wire.ProcessPath, body: wire.StdinRequest) -> None:
        """Write to standard input, or close it with ``eof``; answered once all of it is written."""
        await self._processes.write(path.id, body)

    @endpoint(
        "POST",
        "/processes/{id}/signals",
        tag=TAG,
        status=204,
        errors=(*ACTING, UnsupportedOperation),
    )
    async def signal_process(self, path: wire.ProcessPath, body: SignalRequest) -> None:
        """Send a signal, and a second one after ``escalateAfterMs`` if the process still runs."""
        await self._processes.signal(path.id, body)

    @endpoint(
        "POST",
        "/processes/{id}/resize",
        tag=TAG,
        errors=(InvalidBody, ProcessNotFound, ProcessEnded, UnsupportedOperation),
    )
    async def resize_process(self, path: wire.ProcessPath, body: wire.ResizeRequest) -> wire.Process:
        """Change the size of a terminal."""
        return await self._processes.resize(path.id, body)

    @endpoint("GET", "/processes/{id}/wait", tag=TAG, errors=(BadRequest, ProcessNotFound), quiet=True, head=False)
    async def wait_process(self, path: wire.ProcessPath, query: wire.WaitQuery, request: Request) -> wire.ProcessResult:
        """Wait for the exit of a process; ``timed_out`` without an exit code means that it still runs."""
        return await while_connected(request, self._processes.wait(path.id, query.timeout_ms))

    @websocket("/processes/{id}/attach", tag=TAG, errors=READING, subprotocols=SUBPROTOCOLS)
    async def attach_process(self, path: wire.ProcessPath, query: wire.AttachQuery, ws: WsSession) -> None:
        """Attach to a process: its output as binary frames; frames of the client are written to its input."""
        await attach(ws, self._processes.find(path.id), query.cursor)


async def _send(request: web.BaseRequest, events: Events) -> web.StreamResponse:
    async with contextlib.aclosing(events), event_stream(request, SSE) as out:
        async for name, event in events:
            await out.send(name, event, event_id=getattr(event, "cursor", None))
    return out.response
