"""JSON and text answers of any size: one response if small, else written as it is made; with a heartbeat if late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from toolbox.http.connection import JSON

# A body above this is streamed instead of being built in memory.
WHOLE = 1024 * 1024
# Proxies give up on a silent answer; white space in front of JSON means nothing.
FIRST_BEAT = 30.0
BEAT = 15.0


class Pages(NamedTuple):
    """A body in parts, and the headers that belong to it."""

    parts: AsyncGenerator[bytes, None]
    headers: dict[str, str]


class LateAnswers:
    """Answer once a run has ended, and send white space until then, so that no proxy gives up."""

    def __init__(self, *, first_beat: float = FIRST_BEAT, beat: float = BEAT) -> None:
        self._first_beat = first_beat
        self._beat = beat

    async def send(
        self,
        request: web.BaseRequest,
        ended: asyncio.Future[Any],
        pages: Callable[[], Awaitable[Pages]],
        *,
        process_id: str,
        silent: bool = False,
    ) -> web.StreamResponse:
        """Answer with ``pages()`` once ``ended`` is done.

        A late answer names the process in ``X-Process-Id``: a client that loses the connection can read on by it.
        ``silent`` answers send nothing before the end, because the status may still be an error.
        """
        if not ended.done():
            await asyncio.wait([ended], timeout=None if silent else self._first_beat)
        if ended.done():
            return await send(request, await pages())
        response = web.StreamResponse(headers={"Content-Type": JSON, "X-Process-Id": process_id})
        await response.prepare(request)
        while not ended.done():
            await response.write(b" ")
            await asyncio.wait([ended], timeout=self._beat)
        return await _finish(response, (await pages()).parts)


async def send(
    request: web.BaseRequest, pages: Pages, *, media: str = JSON, at_once: bool = False
) -> web.StreamResponse:
    """Send a body: whole if it is small, else as it is made, ``at_once`` from its first part on."""
    headers = {"Content-Type": media, **pages.headers}
    body = bytearray()
    async with contextlib.aclosing(pages.parts) as parts:
        async for part in parts:
            body += part
            if at_once or len(body) > WHOLE:
                response = web.StreamResponse(headers=headers)
                await response.prepare(request)
                await response.write(bytes(body))
                return await _finish(response, parts)
    return web.Response(body=bytes(body), headers=headers)


async def _finish(response: web.StreamResponse, parts: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    async with contextlib.aclosing(parts):
        async for part in parts:
            await response.write(part)
    await response.write_eof()
    return response
