"""Session logs as bytes and as JSON, in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from toolbox import wire
from toolbox.host.output_log import Channel, Chunk
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.stream_prefixes import StreamPrefixer
from toolbox.runs.output import Decoder

# The first has both streams.
FIELDS = ((b'"output":', None), (b',"stdout":', Channel.STDOUT), (b',"stderr":', Channel.STDERR))


async def data(
    source: AsyncGenerator[Chunk, None], *, prefixed: bool, channel: Channel | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of chunks, with or without stream prefixes, of one stream or of both."""
    prefixer = StreamPrefixer()
    async with contextlib.aclosing(source) as chunks:
        async for chunk in chunks:
            if channel is None or chunk.channel is channel:
                yield prefixer.feed(chunk) if prefixed else chunk.data


async def body(
    log: Log, offset: int, stop: int, *, head: bytes = b"", prefixed: bool = True, streams: bool = True
) -> AsyncGenerator[bytes, None]:
    """Yield a JSON object, ``head`` and the fields of a log; without ``streams`` those of the two streams are null."""
    yield b"{" + head
    for name, channel in FIELDS:
        yield name
        if channel is not None and not streams:
            yield b"null"
            continue
        yield b'"'
        decoder = Decoder()
        source = data(log.chunks(offset, stop), prefixed=prefixed and channel is None, channel=channel)
        async with contextlib.aclosing(source) as pieces:
            async for piece in pieces:
                yield wire.encode(decoder.feed(piece))[1:-1]
        yield wire.encode(decoder.finish())[1:]
    yield b"}"
