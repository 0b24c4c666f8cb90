"""Recorded output as text and as JSON, a page at a time: an answer of any size costs little memory."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Iterator

from toolbox import wire
from toolbox.errors import Unavailable
from toolbox.host.output_log import Channel, Chunk, OutputLog
from toolbox.runs.wire import Details


class Decoder:
    """Decode the bytes of one stream; what is not UTF-8 becomes U+FFFD, a gap becomes a notice."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """Decode what is complete."""
        return self._utf8.decode(data)

    def gap(self, size: int) -> str:
        """Say that ``size`` bytes are missing."""
        return f"{self.finish()}\n[... {size} bytes omitted ...]\n"

    def finish(self) -> str:
        """Decode what is left."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


async def text(output: OutputLog, channel: Channel | None = None, limit: int | None = None) -> AsyncIterator[str]:
    """Yield the text of one channel, or of all in order; with ``limit`` only that many bytes of head and tail."""
    decoder = Decoder()
    expected, size = 0, output.size
    async for chunk in _head_and_tail(output, limit):
        if chunk.offset > expected:
            yield decoder.gap(chunk.offset - expected)
        expected = chunk.end
        if channel is None or chunk.channel == channel:
            yield decoder.feed(chunk.data)
    if expected < size:
        raise Unavailable("daemon is shutting down, the output is gone")
    yield decoder.finish()


async def whole(output: OutputLog, channel: Channel | None = None, limit: int | None = None) -> str:
    """Return the text at once."""
    return "".join([part async for part in text(output, channel, limit)])


async def _head_and_tail(output: OutputLog, limit: int | None) -> AsyncIterator[Chunk]:
    size = output.size
    half = size if limit is None or size <= limit else limit // 2
    async for chunk in output.chunks(0, half):
        yield chunk
    async for chunk in output.chunks(max(size - half, half), size):
        yield chunk


async def json_answer(
    exit_code: int, output: OutputLog, *, split: bool, details: Details | None = None
) -> AsyncIterator[bytes]:
    """Yield the body of an execute answer."""
    yield b'{"exitCode":%d' % exit_code
    if details is not None:
        yield b',"details":' + wire.encode(details)
    for name, channel in fields(split=split):
        yield b',"%s":"' % name.encode()
        async for part in text(output, channel):
            if part:
                yield wire.encode(part)[1:-1]
        yield b'"'
    yield b"}"


def fields(*, split: bool) -> Iterator[tuple[str, Channel | None]]:
    """Yield the text fields of an answer and the channel each shows."""
    yield "result", None
    if split:
        yield "stdout", Channel.STDOUT
        yield "stderr", Channel.STDERR
