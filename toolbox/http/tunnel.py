"""Forward bytes between two upgraded connections, both ways and with back-pressure.

Nothing is parsed, so frames, sub-protocols, extensions, pings, close codes and reasons are unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

FLUSH_SECONDS = 5.0


class _EarlyBytes:
    """Replaces aiohttp's frame parser, to get the bytes that arrived right after the handshake."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: the transport reports the end."""


class _TunnelEnd(asyncio.Protocol):
    """One end of the tunnel. Replaces aiohttp's protocol on the transport, but forwards ``connection_lost`` to it."""

    def __init__(self, before: Any, over: asyncio.Event) -> None:
        if before.transport is None:
            raise ConnectionResetError("connection was lost during the upgrade")
        self.transport: asyncio.Transport = before.transport
        self.lost = asyncio.Event()
        self._before = before
        self._over = over
        self.peer: _TunnelEnd | None = None

    def join(self, peer: _TunnelEnd, early: bytes) -> None:
        """Start to forward to ``peer``, beginning with the ``early`` bytes."""
        self.peer = peer
        self.transport.set_protocol(self)
        self.data_received(early)
        # Above its high-water mark the peer has called pause_writing before, on aiohttp's protocol.
        if peer.transport.get_write_buffer_size() > peer.transport.get_write_buffer_limits()[1]:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

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
        """Flush and close; abort a peer that does not read within ``FLUSH_SECONDS``."""
        self.transport.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.lost.wait()
        finally:
            self.transport.abort()


async def join(left: Any, right: Any) -> None:
    """Forward bytes between two upgraded aiohttp protocols until either closes, then close both."""
    over = asyncio.Event()
    early = _EarlyBytes(), _EarlyBytes()
    ends = [_TunnelEnd(side, over) for side in (left, right)]
    left.set_parser(early[0])
    right.set_parser(early[1], None)
    ends[0].join(ends[1], bytes(early[0].data))
    ends[1].join(ends[0], bytes(early[1].data))
    try:
        await over.wait()
    finally:
        await asyncio.gather(*(end.close() for end in ends))
