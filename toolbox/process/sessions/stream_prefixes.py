"""Both streams in one log: a prefix in front of each line names its stream.

``01 01 01`` is standard output, ``02 02 02`` standard error. A prefix is at the start of every line and wherever the
stream changes. There is no escape: output that contains a prefix loses these three bytes on the client. The prefix of
its own stream is inserted behind it, so that the client attributes the rest correctly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toolbox.host.output_log import Channel, Chunk

PREFIXES = {Channel.STDOUT: b"\x01\x01\x01", Channel.STDERR: b"\x02\x02\x02"}
_PREFIX = re.compile(rb"\x01{3}|\x02{3}")
# Old clients refuse large frames, the TypeScript SDK fails on them.
FRAME = 32 * 1024
# A larger chunk gets one prefix per frame instead of one per line.
FLOOD = 4 * 1024


class StreamPrefixer:
    """Insert prefixes into a log, chunk by chunk; the state is whether the last chunk ended its line."""

    def __init__(self) -> None:
        self._open: Channel | None = None

    def feed(self, chunk: Chunk) -> bytes:
        """Return a chunk with prefixes; one that continues a line of its own stream starts without."""
        continues = self._open is chunk.channel
        self._open = None if chunk.data.endswith((b"\n", *PREFIXES.values())) else chunk.channel
        prefixed = _prefixed(chunk.data, PREFIXES[chunk.channel])
        return prefixed[3:] if continues else prefixed


def frames(chunk: Chunk) -> Iterator[bytes]:
    """Yield a chunk as frames of at most 32 KiB, each of whole segments: a prefix and its output.

    A large chunk has one segment per frame: SDKs need time for each prefix, the TypeScript SDK half a second per
    megabyte of lines.
    """
    data, prefix, start = chunk.data, PREFIXES[chunk.channel], 0
    lines = len(data) <= FLOOD
    while start < len(data):
        size = (FRAME - 16) // 4 if lines else FRAME - 16
        while len(frame := _prefixed(data[start : (end := _cut(data, start, size))], prefix, lines=lines)) > FRAME:
            size //= 2
        yield frame
        start = end


def _prefixed(data: bytes, prefix: bytes, *, lines: bool = True) -> bytes:
    # Two substring searches are twenty times faster than the pattern.
    if any(each in data for each in PREFIXES.values()):
        # Not at the very end: the TypeScript SDK shows a prefix without output after it.
        data = _PREFIX.sub(lambda found: found[0] + prefix if found.end() < len(found.string) else found[0], data)
    if not lines:
        return prefix + data
    prefixed = prefix + data.replace(b"\n", b"\n" + prefix)
    return prefixed[: -len(prefix)] if data.endswith(b"\n") else prefixed


def _cut(data: bytes, start: int, size: int) -> int:
    """Return where to cut, at most ``size`` bytes on: after a line, else between two characters."""
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
