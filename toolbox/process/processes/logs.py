"""Recorded output as frames: a page at a time, or followed.

A cursor is the offset of the next byte, so a reader that resumes from its last cursor gets each byte exactly once.
A frame that is not UTF-8 is sent as base64. A code point is split between frames only if the process wrote it in two
pieces with other output between them.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator
from typing import Literal

import msgspec

from toolbox.errors import Unavailable
from toolbox.host.output_log import Channel, Chunk
from toolbox.process.processes import describe, wire
from toolbox.runs import output
from toolbox.runs.registry import Entry

PAGE_FRAMES = 1000
PAGE_BYTES = 1024 * 1024

Event = wire.ProcessLogFrame | wire.StateEvent | wire.WarningEvent | wire.EofEvent
Events = AsyncGenerator[tuple[str, Event], None]

_CHANNELS: dict[Channel, Literal["stdout", "stderr", "pty", "system"]] = {
    Channel.STDOUT: "stdout",
    Channel.STDERR: "stderr",
    Channel.TERMINAL: "pty",
    Channel.SYSTEM: "system",
}


async def page(entry: Entry, cursor: str | None, *, limit: int, text: bool) -> wire.ProcessLogPage:
    """Return recorded output from a cursor on, at most ``limit`` frames."""
    with entry.hold():
        framer = Framer(text=text)
        offset = output.read_cursor(entry.output, cursor)
        size, ended = entry.output.size, not entry.running
        frames: list[wire.ProcessLogFrame] = []
        stop = min(size, offset + PAGE_BYTES)
        async for chunk in entry.output.chunks(offset, stop):
            if chunk.offset > offset:
                frames += framer.flush()
                frames.append(_omission(offset, chunk))
            frames += framer.feed(chunk)
            offset = chunk.end
            if len(frames) >= limit:
                break
        if ended and offset >= size:
            frames += framer.flush()
        frames = frames[:limit]
        after = frames[-1].cursor if frames else str(offset - framer.waiting)
        return wire.ProcessLogPage(
            frames=frames,
            next_cursor=after,
            eof=ended and int(after) >= size,
            truncated_head=entry.output.dropped > 0,
            first_available_cursor=str(output.first_available(entry.output)),
        )


async def follow(entry: Entry, cursor: str | None, *, text: bool) -> Events:
    """Yield named events as they occur: ``state``, output, and at the end ``state`` and ``eof``."""
    with entry.hold():
        offset = output.read_cursor(entry.output, cursor)
        yield "state", _state(entry, offset)
        framer = Framer(text=text)
        chunks = entry.output.follow(offset, until=lambda: not entry.running)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                frames = framer.feed(chunk)
                if chunk.offset > offset:
                    lost = f"{chunk.offset - offset} bytes of output are not kept any more"
                    first = str(chunk.offset)
                    yield "warning", wire.WarningEvent(message=lost, cursor=str(offset), first_available_cursor=first)
                for frame in frames:
                    yield "log", frame
                offset = chunk.end
        for frame in framer.flush():
            yield "log", frame
        await entry.wait()
        if output.lost_until(entry.output, offset):
            raise Unavailable("daemon is shutting down, the output is gone")
        yield "state", _state(entry, offset)
        yield "eof", wire.EofEvent(cursor=str(offset))


class Framer:
    """Turn chunks into frames; as text, an incomplete code point is held back until its rest arrives."""

    def __init__(self, *, text: bool) -> None:
        self._text = text
        self._start: Chunk | None = None

    @property
    def waiting(self) -> int:
        """Return how many bytes are held back."""
        return 0 if self._start is None else len(self._start.data)

    def feed(self, chunk: Chunk) -> list[wire.ProcessLogFrame]:
        """Return the frames that are complete."""
        if not self._text:
            return [_frame(chunk, text=False)]
        frames = []
        before = self._start
        self._start = None
        if before is not None:
            if before.channel is chunk.channel and before.end == chunk.offset:
                chunk = msgspec.structs.replace(chunk, offset=before.offset, data=before.data + chunk.data)
            else:
                frames.append(_frame(before, text=True))
        cut = len(chunk.data) - _unfinished(chunk.data)
        if cut < len(chunk.data):
            self._start = msgspec.structs.replace(chunk, offset=chunk.offset + cut, data=chunk.data[cut:])
        if cut:
            frames.append(_frame(msgspec.structs.replace(chunk, data=chunk.data[:cut]), text=True))
        return frames

    def flush(self) -> list[wire.ProcessLogFrame]:
        """Return a frame of the bytes that are held back, whose rest will not arrive."""
        start, self._start = self._start, None
        return [] if start is None else [_frame(start, text=True)]


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end belong to an incomplete code point."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 2 if 0xC2 <= byte < 0xE0 else 3 if 0xE0 <= byte < 0xF0 else 4 if 0xF0 <= byte < 0xF5 else 1
        return back if back < length else 0
    return 0


def _frame(chunk: Chunk, *, text: bool) -> wire.ProcessLogFrame:
    data = None
    if text:
        with contextlib.suppress(UnicodeDecodeError):
            data = chunk.data.decode()
    return wire.ProcessLogFrame(
        channel=_CHANNELS[chunk.channel],
        cursor=str(chunk.end),
        seq=chunk.offset,
        timestamp=describe.moment(chunk.time),
        data=base64.b64encode(chunk.data).decode() if data is None else data,
        encoding="base64" if data is None else "text",
    )


def _omission(offset: int, chunk: Chunk) -> wire.ProcessLogFrame:
    return wire.ProcessLogFrame(
        channel="system",
        cursor=str(chunk.offset),
        seq=offset,
        timestamp=describe.moment(chunk.time),
        data=f"[{chunk.offset - offset} bytes omitted]",
        encoding="text",
    )


def _state(entry: Entry, offset: int) -> wire.StateEvent:
    return wire.StateEvent(**describe.fields(entry), cursor=str(offset))
