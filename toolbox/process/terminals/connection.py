"""One client of a terminal: its control frames, its input, and the close of the connection.

The order is fixed: ``connected`` first, then all output, ``exited`` for clients that know it, and a close frame with
the exit code. Old clients know only the first and the last.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

import msgspec

from toolbox import wire
from toolbox.errors import BadRequest, ToolboxError
from toolbox.host.child import ExitStatus
from toolbox.http.websocket import WsSession, serve
from toolbox.process.subprotocols import EXIT_CONTROL, INTERNAL, PTY_ENVS, close_code, exit_reason
from toolbox.process.terminals.terminal import Terminal
from toolbox.process.terminals.viewer import Skip, Viewer
from toolbox.process.terminals.wire import CloseReason, Command, ConnectQuery, Control, PingCommand, ResizeCommand

log = logging.getLogger(__name__)

# Our extension: text frames of the client are commands, and it gets all control frames.
IN_BAND = "X-Toolbox-Pty-Control"
MAX_ENVS = 64 * 1024
# How long after a disconnect the client's last input may take to be written.
LAST_WORDS = 1.0
_COMMAND: Any = Command


def requested_envs(protocols: Sequence[str]) -> dict[str, str]:
    """Decode the variables of a sub-protocol: base64url of a JSON object."""
    token = next((each.removeprefix(PTY_ENVS) for each in protocols if each.startswith(PTY_ENVS)), "")
    if not token:
        return {}
    if len(token) > MAX_ENVS:
        raise BadRequest(f"bad request: envs are over {MAX_ENVS} bytes")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        envs: dict[str, str] = wire.decode(raw, dict[str, str])
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("bad request: envs are not base64url of a json object of strings") from error
    if any(char in name for name in envs for char in "\r\n"):
        raise BadRequest("bad request: name of an environment variable contains a line break")
    return envs


async def refuse(socket: WsSession, error: ToolboxError) -> None:
    """Send an error to a client whose WebSocket is open, and close it."""
    message = wire.text(error.message)
    text = f"Failed to connect to PTY session: {message}"
    await socket.send_text(_frame(Control("control", "error", error=text)))
    await socket.close(INTERNAL, _fit(message))


class TerminalConnection:
    """Connect one WebSocket to one terminal."""

    def __init__(self, socket: WsSession, terminal: Terminal) -> None:
        self._socket = socket
        self._terminal = terminal
        self._in_band = IN_BAND in socket.protocols
        self._knows_exit = self._in_band or EXIT_CONTROL in socket.protocols

    async def serve(self, query: ConnectQuery) -> None:
        """Send ``connected``, then carry output and input until either side ends."""
        await self._socket.send_text(_frame(Control("control", "connected")))
        try:
            await self._carry(query)
        except ToolboxError as error:
            await refuse(self._socket, error)

    async def _carry(self, query: ConnectQuery) -> None:
        async with self._terminal.viewing(query.since, replay=query.wanted) as viewer:
            await self._send_control("replay", offset=viewer.offset)
            await serve(self._socket, self._show(viewer), self._type(), last_words=LAST_WORDS)

    async def _show(self, viewer: Viewer) -> None:
        async with contextlib.aclosing(viewer.output()) as output:
            async for part in output:
                if isinstance(part, Skip):
                    await self._send_control("skipped", offset=part.offset)
                else:
                    await self._socket.send_bytes(part)
        status = self._terminal.exit
        if status is not None:
            await self._send_exit(status)

    async def _send_exit(self, status: ExitStatus) -> None:
        reason = exit_reason(status.code)
        if self._knows_exit:
            frame = Control("control", "exited", exit_code=status.code, exit_reason=reason)
            await self._socket.send_text(_frame(frame))
        text = wire.encode(CloseReason(exit_code=status.code, exit_reason=reason)).decode()
        await self._socket.close(close_code(status.code), text)

    async def _type(self) -> None:
        try:
            async for message in self._socket:
                if isinstance(message, bytes):
                    await self._terminal.write(message)
                elif self._in_band:
                    await self._run_command(message)
                else:
                    await self._terminal.write(message.encode())
        except BrokenPipeError:
            # The shell has exited; ``_show`` still sends the rest of its output and closes the connection.
            log.debug("terminal input is closed: %s", self._terminal.id)

    async def _run_command(self, text: str) -> None:
        try:
            command: Command = wire.decode(text.encode("utf-8", "surrogatepass"), _COMMAND)
            await self._dispatch(command)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            await self._send_control("invalid", error=str(error))
        except (ToolboxError, OSError) as error:
            await self._send_control("failed", error=str(error))

    async def _dispatch(self, command: Command) -> None:
        if isinstance(command, PingCommand):
            await self._send_control("pong", id=command.id, offset=self._terminal.output.size)
        elif isinstance(command, ResizeCommand):
            await self._terminal.resize(command.cols, command.rows)
            await self._send_control("resized", cols=command.cols, rows=command.rows)
        else:
            await self._terminal.signal(_signal_number(command.signal))

    async def _send_control(self, status: str, **fields: Any) -> None:
        if self._in_band:
            await self._socket.send_text(_frame(Control("control", status, **fields)))


def _signal_number(name: str) -> int:
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        raise BadRequest(f"bad request: unknown signal: {name}") from None


def _frame(control: Control) -> str:
    return wire.encode(control).decode()


def _fit(message: str) -> str:
    """Return an error as a close reason: complete JSON of at most 123 bytes."""
    while len(reason := wire.encode(CloseReason(error=message))) > 123:
        message = message[:-1]
    return reason.decode()
