"""One WebSocket connection as a handler sees it.

A reader task keeps a receive pending at all times, so that pings of the client are answered while the handler is busy;
messages wait in a queue bounded in bytes. Sends wait for the socket to drain: a slow client delays only its handler.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from toolbox.http.disconnect import disconnected

log = logging.getLogger(__name__)

# Old clients built on `websockets` refuse frames over 1 MiB, the TypeScript demultiplexer over about 125 kB.
MAX_FRAME = 32 * 1024
MAX_MESSAGE = 16 * 1024 * 1024
MAX_WAITING = 4 * 1024 * 1024
# The async Python SDK answers pings only while its reader runs, and user code may block that for long.
PING_INTERVAL = 120.0
CLOSE_TIMEOUT = 2.0


def offered_protocols(request: web.BaseRequest) -> list[str]:
    """List the sub-protocols a client offers, which may be spread over several header lines."""
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [token.strip() for line in lines for token in line.split(",") if token.strip()]


class _Response(web.WebSocketResponse):
    """A response that schedules no ping once it is closed.

    aiohttp schedules one after the client's close frame too, which keeps 20 KB per connection for two more minutes.
    """

    def _reset_heartbeat(self) -> None:
        if not self.closed:
            super()._reset_heartbeat()


class WsSession:
    """Send and receive on an accepted WebSocket; raise ``ConnectionResetError`` once the client is gone."""

    def __init__(self, request: web.BaseRequest, choose: Callable[[list[str]], str | None]) -> None:
        self.request = request
        self._choose = choose
        self.protocols = offered_protocols(request)
        self.response: web.WebSocketResponse | None = None
        self._inbox: collections.deque[str | bytes] = collections.deque()
        self._waiting = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._reader: asyncio.Task[None] | None = None

    async def accept(self) -> web.WebSocketResponse:
        """Answer 101; called on first use, so that a handler can still refuse with an HTTP status before."""
        if self.response is not None:
            return self.response
        chosen = self._choose(self.protocols)
        self.response = _Response(
            timeout=CLOSE_TIMEOUT,
            heartbeat=PING_INTERVAL,
            compress=False,
            max_msg_size=MAX_MESSAGE,
            protocols=(chosen,) if chosen else tuple(self.protocols),
        )
        if chosen:
            # aiohttp reads only the first header line; the client may have offered the choice in another one.
            self.response.headers["Sec-WebSocket-Protocol"] = chosen
        await self.response.prepare(self.request)
        self._reader = asyncio.create_task(self._read(self.response), name="websocket reader")
        return self.response

    @property
    def accepted(self) -> bool:
        """Tell whether the upgrade was answered."""
        return self.response is not None

    @property
    def closed(self) -> bool:
        """Tell whether the client has gone or the session was closed."""
        return self._ended or (self.response is not None and self.response.closed)

    async def _read(self, response: web.WebSocketResponse) -> None:
        try:
            async for message in response:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._room.wait()
                    self._inbox.append(message.data)
                    self._waiting += len(message.data)
                    if self._waiting > MAX_WAITING:
                        self._room.clear()
                    self._changed.set()
        except ConnectionError as error:
            log.debug("websocket reader stopped: %s", error)
        finally:
            self._ended = True
            self._changed.set()

    async def receive(self) -> str | bytes | None:
        """Return the next message, or None once the client has closed."""
        await self.accept()
        while not self._inbox:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        data = self._inbox.popleft()
        self._waiting -= len(data)
        if self._waiting <= MAX_WAITING:
            self._room.set()
        return data

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self.receive()) is not None:
            yield message

    async def send_text(self, text: str) -> None:
        """Send one text frame and wait until the socket can take more."""
        await (await self._open()).send_str(text)

    async def send_bytes(self, data: bytes | memoryview) -> None:
        """Send bytes in frames of at most 32 KiB and wait until the socket can take more."""
        for start in range(0, len(data), MAX_FRAME):
            await (await self._open()).send_bytes(bytes(data[start : start + MAX_FRAME]))

    async def _open(self) -> web.WebSocketResponse:
        response = await self.accept()
        if self.closed:
            raise ConnectionResetError("websocket is closed")
        return response

    async def gone(self) -> None:
        """Wait until the client has closed or vanished."""
        await self.accept()
        while not self._ended:
            self._changed.clear()
            if self._inbox:
                self._inbox.clear()
                self._waiting = 0
                self._room.set()
            await self._changed.wait()

    async def close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """Close with a code; the reason is cut to the 123 bytes a close frame holds."""
        response = await self.accept()
        # While another task receives, aiohttp closes the connection without waiting for the client's close frame.
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        self._ended = True
        self._changed.set()
        if not response.closed:
            cut = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
            with contextlib.suppress(TimeoutError):  # a client that reads nothing does not take the close frame either
                async with asyncio.timeout(2 * CLOSE_TIMEOUT):
                    await response.close(code=code, message=cut.encode())


async def serve(
    ws: WsSession, output: Coroutine[Any, Any, None], typed: Coroutine[Any, Any, None], *, last_words: float = 0.0
) -> None:
    """Run both directions of a stream until ``output`` has ended or the client has disconnected.

    ``typed`` handles the client's messages, those sent before a disconnect for up to ``last_words`` seconds more.
    Raise the error of either direction, except that the client disconnected.
    """
    show = asyncio.create_task(output, name="websocket output")
    read = asyncio.create_task(typed, name="websocket input")
    watch = asyncio.create_task(disconnected(ws.request), name="client watch")
    tasks = (show, read, watch)
    try:
        await asyncio.wait([show, watch], return_when=asyncio.FIRST_COMPLETED)
        succeeded = show.done() and not show.cancelled() and show.exception() is None
        if last_words and not succeeded:
            await asyncio.wait([read], timeout=last_words)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, ConnectionResetError):
                raise error
