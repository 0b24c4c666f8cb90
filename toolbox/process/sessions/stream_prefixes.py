"""The multiplexed log: which stream each line belongs to, said by a marker before it.

``01 01 01`` stands before standard output, ``02 02 02`` before standard error: at the start of every line and wherever
the stream changes. There is no escape, so a payload that holds a marker loses those three bytes on the client; the
marker of its own stream after it keeps the rest where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolbox.host.output_log import Channel, Chunk

PREFIXES = {Channel.STDOUT: b"\x01\x01\x01", Channel.STDERR: b"\x02\x02\x02"}
_MARK = re.compile(rb"\x01{3}|\x02{3}")
# Old clients refuse large frames, the TypeScript SDK fails on them.
FRAME = 32 * 1024
# What is written in one go above this is not a few lines.
FLOOD = 4 * 1024


class StreamPrefixer:
    """Put markers into a whole log, chunk by chunk; the state is where the last chunk ended."""

    def __init__(self) -> None:
        self._open: Channel | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """Return a chunk with its markers; one that goes on with a line of its own stream starts without."""
        goes_on = self._open is chunk.channel
        self._open = None if chunk.data.endswith((b"\n", *PREFIXES.values())) else chunk.channel
        marked = _marked(chunk.data, PREFIXES[chunk.channel])
        return marked[3:] if goes_on else marked


def frames(chunk: Chunk) -> Iterator[bytes]:
    """Yield a chunk as frames of at most 32 KiB, each of whole segments: a marker and what belongs to it.

    In a flood a segment is a frame: the SDKs take time for each marker, the TypeScript one half a second per megabyte
    of lines.
    """
    data, mark, start = chunk.data, PREFIXES[chunk.channel], 0
    lines = len(data) <= FLOOD
    while start < len(data):
        size = (FRAME - 16) // 4 if lines else FRAME - 16
        while len(frame := _marked(data[start : (end := _cut(data, start, size))], mark, lines=lines)) > FRAME:
            size //= 2
        yield frame
        start = end


def _marked(data: bytes, mark: bytes, *, lines: bool = True) -> bytes:
    # Looking for each is twenty times faster than a pattern of both.
    if any(each in data for each in PREFIXES.values()):
        # Not at the very end: a marker with nothing behind it would be shown by the TypeScript SDK.
        data = _MARK.sub(lambda found: found[0] + mark if found.end() < len(found.string) else found[0], data)
    if not lines:
        return mark + data
    marked = mark + data.replace(b"\n", b"\n" + mark)
    return marked[: -len(mark)] if data.endswith(b"\n") else marked


def _cut(data: bytes, start: int, size: int) -> int:
    """Return where to cut at most ``size`` bytes on: after a line, else not inside a character."""
    end = start + size
    if end >= len(data):
        return len(data)
    line = data.rfind(b"\n", start, end) + 1
    if line:
        return line
    for back in range(4):
        if data[end - back] & 0xC0 != 0x80:
            return end - back
    return end
