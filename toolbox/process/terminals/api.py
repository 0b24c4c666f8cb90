"""``/process/pty``: create terminals, connect to them, read their screens."""

from __future__ import annotations

import msgspec

from toolbox.errors import (
    BadRequest,
    Conflict,
    Gone,
    InternalError,
    InvalidBody,
    NotFound,
    ProcessNotFound,
    ToolboxError,
    TooManyRequests,
    Unavailable,
)
from toolbox.http.disconnect import while_connected
from toolbox.http.endpoint import Request, endpoint, websocket
from toolbox.http.websocket import WsSession
from toolbox.process.subprotocols import SUBPROTOCOLS
from toolbox.process.terminals import wire
from toolbox.process.terminals.connection import TerminalConnection, refuse, requested_envs
from toolbox.process.terminals.screens import Screens
from toolbox.process.terminals.terminals import Terminals
from toolbox.process.terminals.waiting import Waits

TAG = "process"
CREATE_ERRORS = (InvalidBody, BadRequest, Conflict, TooManyRequests, InternalError, Unavailable)


class SourceHeaders(msgspec.Struct, kw_only=True):
    """The SDK of the client."""

    source: str = msgspec.field(name="X-Daytona-Source", default="")

    @property
    def hides_status(self) -> bool:
        """Tell whether the client hides the text of an HTTP error on a WebSocket request."""
        return self.source.startswith("sdk-typescript")


class PtyApi:
    """Create, list, resize, delete and connect to terminals."""

    def __init__(self, terminals: Terminals, screens: Screens, waits: Waits) -> None:
        self._terminals = terminals
        self._screens = screens
        self._waits = waits

    @endpoint("POST", "/process/pty", tag=TAG, status=201, errors=CREATE_ERRORS)
    async def create_pty_session(self, body: wire.CreateRequest) -> wire.CreateResponse:
        """Create a terminal."""
        terminal = await self._terminals.create(body)
        return wire.CreateResponse(session_id=terminal.id)

    @endpoint("GET", "/process/pty", tag=TAG)
    async def list_pty_sessions(self) -> wire.SessionList:
        """List all terminals."""
        return wire.SessionList(sessions=[terminal.info() for terminal in self._terminals])

    @endpoint("GET", "/process/pty/{sessionId}", tag=TAG, errors=(ProcessNotFound,))
    async def get_pty_session(self, path: wire.SessionPath) -> wire.SessionInfo:
        """Describe a terminal."""
        return self._terminals.get(path.session_id).info()

    @endpoint("DELETE", "/process/pty/{sessionId}", tag=TAG, errors=(ProcessNotFound,))
    async def delete_pty_session(self, path: wire.SessionPath) -> wire.Deleted:
        """Kill a terminal with everything that was started in it."""
        await self._terminals.delete(path.session_id)
        return wire.Deleted(message="PTY session deleted")

    @endpoint("POST", "/process/pty/{sessionId}/resize", tag=TAG, errors=(InvalidBody, Gone))
    async def resize_pty_session(self, path: wire.SessionPath, body: wire.ResizeRequest) -> wire.SessionInfo:
        """Change the size of a terminal."""
        terminal = await self._terminals.resize(path.session_id, body.cols, body.rows)
        return terminal.info()

    @endpoint("GET", "/process/pty/{sessionId}/screen", tag=TAG, errors=(ProcessNotFound,))
    async def show_pty_screen(self, path: wire.SessionPath) -> wire.ScreenResponse:
        """Return the screen of a terminal: its text, cursor and title."""
        return await self._screens.show(self._terminals.get(path.session_id))

    @endpoint(
        "POST",
        "/process/pty/{sessionId}/wait",
        tag=TAG,
        errors=(InvalidBody, BadRequest, ProcessNotFound, TooManyRequests),
    )
    async def wait_for_pty(self, path: wire.SessionPath, body: wire.WaitRequest, request: Request) -> wire.WaitResponse:
        """Wait until a terminal shows a text, has no output for a while, or has ended; return its screen."""
        terminal = self._terminals.get(path.session_id)
        return await while_connected(request, self._waits.wait(terminal, body))

    @websocket("/process/pty/create-connect", tag=TAG, errors=(*CREATE_ERRORS, NotFound), subprotocols=SUBPROTOCOLS)
    async def create_and_connect(self, query: wire.CreateQuery, headers: SourceHeaders, ws: WsSession) -> None:
        """Create a terminal and connect to it; variables are sent base64-encoded as a sub-protocol."""
        try:
            request = wire.CreateRequest(
                id=query.id, cwd=query.cwd, cols=query.cols, rows=query.rows, envs=requested_envs(ws.protocols)
            )
            terminal = await self._terminals.create(request)
        except ToolboxError as error:
            if not headers.hides_status:
                raise
            await refuse(ws, error)
            return
        await TerminalConnection(ws, terminal).serve(wire.ConnectQuery())

    @websocket("/process/pty/{sessionId}/connect", tag=TAG, errors=(BadRequest, NotFound), subprotocols=SUBPROTOCOLS)
    async def connect_pty_session(self, path: wire.SessionPath, query: wire.ConnectQuery, ws: WsSession) -> None:
        """Connect to a terminal: its scrollback comes first, then new output.

        ``since`` starts at an offset (``offset`` of the terminal is the newest), ``replay=0`` omits the scrollback.
        Frames of the client are input, unless it offers the sub-protocol ``X-Toolbox-Pty-Control``: text frames are
        then commands, ``{"type":"resize","cols":80,"rows":24}``, ``{"type":"signal","signal":"SIGINT"}`` or
        ``{"type":"ping"}``, and it also gets the control frames ``replay`` and ``skipped`` with an offset.
        """
        try:
            terminal = self._terminals.find(path.session_id)
            await self._terminals.start(terminal)
        except ToolboxError as error:
            await refuse(ws, error)
            return
        await TerminalConnection(ws, terminal).serve(query)
