"""Attach a client to a process: output as bytes, messages of the client as input."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from toolbox import wire
from toolbox.errors import Unavailable
from toolbox.process.subprotocols import close_code, exit_reason
from toolbox.runs import output
from toolbox.runs.registry import Entry


class Attachment:
    """One client of one process."""

    def __init__(self, entry: Entry, cursor: str | None) -> None:
        self._entry = entry
        self._start = output.read_cursor(entry.output, cursor)

    async def output(self) -> AsyncGenerator[bytes, None]:
        """Yield all output, until the process has ended."""
        with self._entry.hold():
            chunks = self._entry.output.follow(self._start, until=lambda: not self._entry.running)
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    yield chunk.data

    async def feed(self, messages: AsyncIterator[str | bytes]) -> None:
        """Write messages to the input in order; without an input, or once it is closed, they are dropped."""
        write = self._entry.controls.write
        async for message in messages:
            if write is None or self._entry.protected:
                continue
            with contextlib.suppress(BrokenPipeError):
                await write(message.encode() if isinstance(message, str) else message)

    async def exit(self) -> tuple[dict[str, Any], int]:
        """Wait for the exit; return the close reason and the close code."""
        end = await self._entry.wait()
        if end.reason == "sandbox_stopped":
            raise Unavailable("daemon is shutting down")
        reason = exit_reason(end.code)
        return {"exitCode": end.code, **({"exitReason": reason} if reason else {})}, close_code(end.code)


def control(status: str, **facts: Any) -> str:
    """Return a control frame."""
    return wire.encode({"type": "control", "status": status, **facts}).decode()
