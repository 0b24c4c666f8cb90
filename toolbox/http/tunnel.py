"""Join two connections after an upgrade: bytes pass both ways unread, each side held up by the other's pace.

Nothing is parsed, so frames, sub-protocols, extensions, pings, close codes and reasons arrive as they were sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

FLUSH_SECONDS = 5.0


class Upgraded(Protocol):
    """What both of aiohttp's connection classes have once an upgrade is through."""

    transport: asyncio.Transport | None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Be told that the connection is gone."""


class _EarlyBytes:
    """Stands where aiohttp expects a frame parser, to get what has arrived behind the handshake."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: the transport reports the end."""


class _TunnelEnd(asyncio.Protocol):
    """One end of the tunnel; replaces aiohttp's protocol, which still learns of the end of its connection."""

    def __init__(self, before: Upgraded, transport: asyncio.Transport, over: asyncio.Event) -> None:
        self.transport = transport
        self.lost = asyncio.Event()
        self._before = before
        self._over = over
        self.peer: _TunnelEnd | None = None

    def join(self, peer: _TunnelEnd, early: bytes) -> None:
        """Begin to pass bytes on to ``peer``, first those that came already."""
        self.peer = peer
        self.transport.set_protocol(self)
        self.data_received(early)
        if peer.full():
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def full(self) -> bool:
        """Tell whether this end should be given no more."""
        return self.transport.get_write_buffer_size() > self.transport.get_write_buffer_limits()[1]

    def data_received(self, data: bytes) -> None:
        if data and self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set()
        self._over.set()
        self._before.connection_lost(exc)

    async def close(self) -> None:
        """Send what is buffered, then hang up; a side that does not read gets a few seconds."""
        self.transport.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.lost.wait()
        finally:
            self.transport.abort()


async def join(left: Any, right: Any) -> None:
    """Pass bytes between two of aiohttp's upgraded connections until either hangs up, then close both."""
    over = asyncio.Event()
    early = _EarlyBytes(), _EarlyBytes()
    ends = [_TunnelEnd(side, _transport(side), over) for side in (left, right)]
    left.set_parser(early[0])
    right.set_parser(early[1], None)
    ends[0].join(ends[1], bytes(early[0].data))
    ends[1].join(ends[0], bytes(early[1].data))
    try:
        await over.wait()
    finally:
        await asyncio.gather(*(end.close() for end in ends))


def _transport(side: Upgraded) -> asyncio.Transport:
    if side.transport is None:
        raise ConnectionResetError("connection was lost during the upgrade")
    return side.transport
