"""Session logs as bytes and as JSON, in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from toolbox import wire
from toolbox.host.output_log import Channel
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.stream_prefixes import StreamPrefixer
from toolbox.runs.output import Decoder

FIELDS: tuple[tuple[str, Channel | None], ...] = (
    ("output", None),
    ("stdout", Channel.STDOUT),
    ("stderr", Channel.STDERR),
)


async def data(
    log: Log, offset: int = 0, stop: int | None = None, *, prefixed: bool, channel: Channel | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a log, with or without stream prefixes, of one stream or of both."""
    prefixer = StreamPrefixer()
    async with contextlib.aclosing(log.chunks(offset, stop)) as chunks:
        async for chunk in chunks:
            if channel is None or chunk.channel is channel:
                yield prefixer.feed(chunk) if prefixed else chunk.data


async def _strings(source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the content of a JSON string."""
    decoder = Decoder()
    async with contextlib.aclosing(source):
        async for piece in source:
            yield wire.encode(decoder.feed(piece))[1:-1]
    yield wire.encode(decoder.finish())[1:-1]


async def fields(
    log: Log, offset: int, stop: int, *, prefixed: bool = True, streams: bool = True
) -> AsyncGenerator[bytes, None]:
    """Yield the JSON fields of a log; without ``streams`` those of the two streams are null."""
    for name, channel in FIELDS:
        yield b'%s"%s":' % (b"" if channel is None else b",", name.encode())
        if channel is not None and not streams:
            yield b"null"
            continue
        yield b'"'
        source = data(log, offset, stop, prefixed=prefixed and channel is None, channel=channel)
        async with contextlib.aclosing(_strings(source)) as pieces:
            async for piece in pieces:
                yield piece
        yield b'"'
