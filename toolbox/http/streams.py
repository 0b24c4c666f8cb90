"""Streams of server-sent events, or JSON lines, with keep-alive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from toolbox import wire

KEEP_ALIVE = 15.0
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def wanted_stream(request: web.BaseRequest) -> str | None:
    """Return the streaming media type a client asks for in Accept, if any."""
    accept = request.headers.get("Accept", "")
    if SSE in accept:
        return SSE
    return NDJSON if NDJSON in accept else None


class EventStream:
    """Write events to a prepared response, one at a time; back-pressure is the caller's wait."""

    def __init__(self, response: web.StreamResponse, media: str) -> None:
        self.response = response
        self._media = media
        self._lock = asyncio.Lock()

    async def send(self, event: str, data: Any, *, event_id: str | None = None) -> None:
        """Send one event; raise ``ConnectionResetError`` once the client is gone."""
        if self._media == NDJSON:
            await self._write(wire.encode({"event": event, **wire.to_plain(data)}) + b"\n")
            return
        head = f"id: {event_id}\n" if event_id is not None else ""
        await self._write(f"{head}event: {event}\ndata: ".encode() + wire.encode(data) + b"\n\n")

    async def keep_alive(self) -> None:
        """Send what clients ignore, at intervals, until cancelled."""
        quiet = b"\n" if self._media == NDJSON else b": keep-alive\n\n"
        while True:
            await asyncio.sleep(KEEP_ALIVE)
            await self._write(quiet)

    async def _write(self, data: bytes) -> None:
        async with self._lock:
            await self.response.write(data)


@contextlib.asynccontextmanager
async def event_stream(request: web.BaseRequest, media: str = SSE) -> AsyncIterator[EventStream]:
    """Open a stream of events; it ends cleanly only if the body of the ``with`` does.

    An error inside leaves the response unfinished, so the transport is aborted and no client takes it for complete.
    """
    headers = {"Content-Type": f"{media}; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    stream = EventStream(response, media)
    beat = asyncio.create_task(stream.keep_alive(), name="stream keep-alive")
    try:
        yield stream
    finally:
        beat.cancel()
        await asyncio.wait([beat])
        if not beat.cancelled():
            beat.exception()  # a lost client; the next send reports it
    await response.write_eof()
