"""Attach a client to a process: output as binary frames, messages of the client as input."""

from __future__ import annotations

import contextlib
from typing import Any

from toolbox import wire
from toolbox.errors import Unavailable
from toolbox.http.websocket import WsSession, serve
from toolbox.process.subprotocols import EXIT_CONTROL, close_code, exit_reason
from toolbox.runs import output
from toolbox.runs.registry import Entry


async def attach(ws: WsSession, entry: Entry, cursor: str | None) -> None:
    """Send the output from a cursor on, and write messages to the input, until either side ends."""
    start = output.read_cursor(entry.output, cursor)
    await ws.accept()
    await serve(ws, _show(ws, entry, start), _feed(ws, entry))


async def _show(ws: WsSession, entry: Entry, start: int) -> None:
    await _send_control(ws, "connected")
    with entry.hold():
        async with contextlib.aclosing(entry.output.follow(start, until=lambda: not entry.running)) as chunks:
            async for chunk in chunks:
                await ws.send_bytes(chunk.data)
    end = await entry.wait()
    if end.reason == "sandbox_stopped":
        raise Unavailable("daemon is shutting down")
    reason = exit_reason(end.code)
    facts = {"exitCode": end.code, **({"exitReason": reason} if reason else {})}
    await _send_control(ws, "exited", **facts)
    await ws.close(close_code(end.code), wire.encode(facts).decode())


async def _feed(ws: WsSession, entry: Entry) -> None:
    """Write messages to the input in order; without an input, or once it is closed, they are dropped."""
    write = entry.controls.write
    async for message in ws:
        if write is None or entry.protected:
            continue
        with contextlib.suppress(BrokenPipeError):
            await write(message.encode() if isinstance(message, str) else message)


async def _send_control(ws: WsSession, status: str, **facts: Any) -> None:
    if EXIT_CONTROL in ws.protocols:
        await ws.send_text(wire.encode({"type": "control", "status": status, **facts}).decode())
