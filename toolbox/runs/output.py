"""Recorded output as text, a page at a time so that any size costs little memory, and the cursors that address it."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator

from toolbox import wire
from toolbox.errors import CursorExpired, InvalidCursor, Unavailable
from toolbox.host.output_log import Channel, Chunk, OutputLog

START = "start"
END = "end"


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
    expected, size = 0, output.size
    if not size:
        return
    decoder = Decoder()
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


async def json_strings(parts: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield the content of a JSON string, without its quotes, for text that comes in parts."""
    async for part in parts:
        if part:
            yield wire.encode(part)[1:-1]


def first_available(output: OutputLog) -> int:
    """Return the offset of the first byte that is kept."""
    gap = output.gap
    return gap[1] if gap is not None and gap[0] == 0 else 0


def lost_until(output: OutputLog, offset: int) -> int:
    """Return where output goes on, if it is not kept at ``offset``; else 0."""
    gap = output.gap
    return gap[1] if gap is not None and gap[0] <= offset < gap[1] else 0


def read_cursor(output: OutputLog, cursor: str | None) -> int:
    """Read a cursor, which is an offset; refuse one that was never handed out, or whose output is dropped."""
    if cursor in (None, "", START):
        return first_available(output)
    if cursor == END:
        return output.size
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20) or int(cursor) > output.size:
        raise InvalidCursor(f"invalid cursor: {wire.text(cursor[:64])}")
    after = lost_until(output, int(cursor))
    if after:
        raise CursorExpired(
            f"output is not kept any more: cursor {cursor}", detail={"firstAvailableCursor": str(after)}
        )
    return int(cursor)
