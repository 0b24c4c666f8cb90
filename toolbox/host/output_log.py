"""An output record: what came out of a process, in order, addressed by byte offset.

Whoever produces output only appends; readers are cursors and never hold up each other. The newest bytes are in
memory, the rest in a spool file that keeps a head and a tail. What fell out between them is the *gap*: a reader
sees it as a chunk that starts later than the one before ended.
"""

from __future__ import annotations

import array
import asyncio
import bisect
import enum
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import msgspec

from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

MIB = 1024 * 1024
IN_MEMORY = MIB
# What stays in memory of a stream that has ended and is only kept.
RESTING = 64 * 1024
# Bytes that may wait for the disk before the producer is asked to pause.
BACKLOG = 4 * MIB
PAGE = 256 * 1024
# One record holds what one channel wrote in one go: bounded in size and in time.
RECORD_BYTES = 32 * 1024
RECORD_SECONDS = 0.005
MAX_RECORDS = 128 * 1024


class Channel(enum.IntEnum):
    """Say where bytes came from."""

    STDOUT = 1
    STDERR = 2
    TERMINAL = 3
    SYSTEM = 4


class Retention(msgspec.Struct, frozen=True):
    """How much of a stream is kept: ``head`` bytes from its start, ``tail`` bytes up to its end."""

    head: int = sys.maxsize
    tail: int = MIB

    @classmethod
    def capped(cls, total: int) -> Retention:
        """Keep about ``total`` bytes, half from each end."""
        return cls(head=total // 2, tail=max(total - total // 2, 1))


class Chunk(msgspec.Struct, frozen=True):
    """Bytes of one channel; ``time`` is when the first of them came, in seconds since 1970."""

    offset: int
    data: bytes
    channel: Channel
    time: float

    @property
    def end(self) -> int:
        """Return the offset after the last byte."""
        return self.offset + len(self.data)


class Store(Protocol):
    """Where an output log puts what does not stay in memory; every method blocks."""

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Store data of the stream."""

    def read(self, offset: int, size: int) -> bytes:
        """Return stored data."""
        ...

    def close(self) -> None:
        """Give the space back."""


class _Index:
    """Where each record starts, its channel and its time, in three columns."""

    def __init__(self) -> None:
        self.starts = array.array("q")
        self.channels = array.array("b")
        self.times = array.array("d")

    def add(self, offset: int, channel: int) -> None:
        """Note that bytes of ``channel`` begin at ``offset``; bytes close to the last record extend it."""
        now = time.time()
        if (
            self.starts
            and self.channels[-1] == channel
            and offset - self.starts[-1] < RECORD_BYTES
            and now - self.times[-1] < RECORD_SECONDS
        ):
            return
        self.starts.append(offset)
        self.channels.append(channel)
        self.times.append(now)

    def cut(self, offset: int, data: bytes) -> list[Chunk]:
        """Split a run of bytes at the borders of its records."""
        chunks = []
        first = offset
        number = bisect.bisect_right(self.starts, offset) - 1
        while offset < first + len(data):
            last = number + 1 == len(self.starts)
            end = first + len(data) if last else min(self.starts[number + 1], first + len(data))
            part = data[offset - first : end - first]
            chunks.append(Chunk(offset, part, Channel(self.channels[number]), self.times[number]))
            offset, number = end, number + 1
        return chunks

    def forget(self, start: int, end: int) -> None:
        """Drop the records that lie inside a gap."""
        low = bisect.bisect_left(self.starts, start)
        high = bisect.bisect_right(self.starts, end) - 1
        if high > low:
            for column in (self.starts, self.channels, self.times):
                del column[low:high]

    def crowded(self) -> tuple[int, int] | None:
        """Return the range of the middle quarter of the records once there are too many."""
        count = len(self.starts)
        if count < MAX_RECORDS:
            return None
        return self.starts[count // 2], self.starts[count // 2 + count // 4]


class OutputLog:
    """Record output with bounded memory; ``close`` gives back what it holds."""

    def __init__(self, retention: Retention, make_store: Callable[[], Store], workers: WorkerPool) -> None:
        self.size = 0
        self.ended = False
        self._tail = retention.tail
        # What is kept: before the start of the gap, and from its end on. An end before the start means no gap.
        self._gap_start, self._gap_end = retention.head, 0
        self._make_store = make_store
        self._workers = workers
        self._store: Store | None = None
        self._index = _Index()
        # In order of offset: what the store has, what is being written to it, what only memory has.
        self._in_memory = IN_MEMORY
        self._stored = 0
        self._batch = bytearray()
        self._buffer = bytearray()
        self._writer: asyncio.Task[None] | None = None
        self._broken = False
        self._readers: set[asyncio.Future[None]] = set()
        self._held: dict[object, int] = {}
        self._paused: list[Callable[[], None]] = []

    @property
    def dropped(self) -> int:
        """Return how many bytes fell out between head and tail."""
        return max(min(self._gap_end, self.size) - self._gap_start, 0)

    @property
    def gap(self) -> tuple[int, int] | None:
        """Return the range that is not kept any more, if there is one."""
        start, end = self._gap_start, min(self._gap_end, self.size)
        return (start, end) if start < end else None

    @property
    def congested(self) -> bool:
        """Tell whether the producer should pause until ``on_room`` calls it."""
        if len(self._buffer) >= BACKLOG:
            return True
        margin = min(BACKLOG, self._tail) // 2
        return bool(self._held) and self.size - min(self._held.values()) > self._tail - margin

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, as soon as the output log is not congested."""
        self._paused.append(resume)

    def append(self, data: bytes, channel: Channel = Channel.STDOUT) -> None:
        """Record bytes; never blocks. What comes after the end is ignored."""
        if self.ended or not data:
            return
        self._index.add(self.size, channel)
        self._buffer += data
        self.size += len(data)
        self._widen_gap(self._gap_start, self.size - self._tail)
        crowd = self._index.crowded()
        if crowd is not None:
            self._widen_gap(min(self._gap_start, crowd[0]), crowd[1])
        if len(self._buffer) > self._in_memory:
            self._shrink()
        self.wake()

    def finish(self) -> None:
        """Mark the end of the stream: readers that follow it stop there."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Have readers that follow look again."""
        for waiter in self._readers:
            if not waiter.done():
                waiter.set_result(None)

    def rest(self) -> None:
        """Give back most of the memory: nothing more comes, and perhaps nobody reads it."""
        self._in_memory = RESTING
        if len(self._buffer) > RESTING:
            self._shrink()

    async def read(self, offset: int = 0, limit: int = PAGE) -> list[Chunk]:
        """Return chunks from ``offset`` on, at most ``limit`` bytes; nothing if there is nothing yet."""
        while True:
            start = self._past_gap(offset)
            end = min(start + limit, self.size)
            if start < self._gap_start:
                end = min(end, self._gap_start)
            if start >= end:
                return []
            data = await self._bytes(start, end)
            # The producer may have overwritten the range while a thread read it.
            if start >= self._gap_end or end <= self._gap_start:
                return self._index.cut(start, data)

    async def chunks(self, offset: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        """Yield what is recorded so far, from ``offset`` up to ``stop``."""
        stop = self.size if stop is None else stop
        while offset < stop:
            page = await self.read(offset, min(PAGE, stop - offset))
            if not page:
                return
            for chunk in page:
                yield chunk
            offset = page[-1].end

    async def follow(
        self, offset: int = 0, *, hold: bool = False, patience: float | None = None, until: Callable[[], bool] = bool
    ) -> AsyncGenerator[Chunk, None]:
        """Yield chunks as they come, until the stream has ended, or ``until`` says so, and all is read.

        Whoever makes ``until`` true calls ``wake``. With ``hold`` the producer waits for this reader, so that nothing
        is lost to it; close the iterator (``contextlib.aclosing``) as soon as it is not needed, or the producer waits
        for ever; if a page takes it more than ``patience`` seconds the producer goes on.
        """
        key = object()
        timer: asyncio.TimerHandle | None = None
        try:
            while True:
                if hold:
                    self._held[key] = offset
                    self._resume_producers()
                page = await self.read(offset)
                if page and patience is not None:
                    timer = asyncio.get_running_loop().call_later(patience, self._release_hold, key)
                for chunk in page:
                    yield chunk
                    offset = chunk.end
                if timer is not None:
                    timer.cancel()
                if not page and not await self._more(offset, until):
                    return
        finally:
            if timer is not None:
                timer.cancel()
            self._held.pop(key, None)
            self._resume_producers()

    async def close(self) -> None:
        """End the stream and give back memory and disk; readers get nothing any more."""
        self.finish()
        if self._writer is not None:
            await asyncio.wait([self._writer])
        store, self._store = self._store, None
        self._forget()
        if store is not None:
            await self._workers.run(store.close)
        self.wake()

    def close_at_once(self) -> bool:
        """Close it if nothing is on disk; tell whether that was so."""
        if self._writer is not None or self._store is not None:
            return False
        self._forget()
        self.finish()
        return True

    def _forget(self) -> None:
        self._gap_start, self._gap_end = 0, self.size
        self._stored = self.size
        self._batch, self._buffer = bytearray(), bytearray()

    async def _more(self, offset: int, until: Callable[[], bool]) -> bool:
        """Wait until there may be bytes after ``offset``; False if there never will be."""
        if self._past_gap(offset) < self.size:
            return True
        if self.ended or until():
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.add(waiter)
        try:
            await waiter
        finally:
            self._readers.discard(waiter)
        return True

    def _release_hold(self, key: object) -> None:
        """Wait for a reader no longer."""
        self._held.pop(key, None)
        self._resume_producers()

    def _past_gap(self, offset: int) -> int:
        return self._gap_end if self._gap_start <= offset < self._gap_end else offset

    def _resume_producers(self) -> None:
        if self._paused and not self.congested:
            paused, self._paused = self._paused, []
            for resume in paused:
                resume()

    def _widen_gap(self, start: int, end: int) -> None:
        self._gap_start = min(self._gap_start, start)
        self._gap_end = max(self._gap_end, end)

    async def _bytes(self, start: int, end: int) -> bytes:
        # What memory has is copied before the await: afterwards it may have moved to the store.
        middle = self._stored + len(self._batch)
        parts = [
            bytes(self._batch[max(start - self._stored, 0) : max(end - self._stored, 0)]),
            bytes(self._buffer[max(start - middle, 0) : max(end - middle, 0)]),
        ]
        if start < self._stored and self._store is not None:
            parts.insert(0, await self._workers.run(self._store.read, start, min(end, self._stored) - start))
        return b"".join(parts)

    def _shrink(self) -> None:
        if self._broken:
            self._keep_in_memory()
        elif self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="output_log writer")

    def _keep_in_memory(self) -> None:
        """Without a disk only the newest bytes are kept."""
        surplus = len(self._buffer) - IN_MEMORY
        if surplus > 0:
            self._widen_gap(min(self._gap_start, self._stored), self._stored + surplus)
            self._stored += surplus
            del self._buffer[:surplus]
            self._index.forget(self._gap_start, self._gap_end)

    async def _write(self) -> None:
        """Move what is in memory to the store until little is left."""
        try:
            while len(self._buffer) > self._in_memory:
                self._batch, self._buffer = self._buffer, bytearray()
                if self._store is None:
                    self._store = await self._workers.run(self._make_store)
                await self._workers.run(self._store.write, self._stored, self._batch)
                self._stored += len(self._batch)
                self._batch = bytearray()
                self._index.forget(self._gap_start, self._gap_end)
                self._resume_producers()
        except OSError as error:
            log.warning("output cannot be spooled, only its end is kept: %s", error)
            self._broken = True
            self._buffer[:0], self._batch = self._batch, bytearray()
            self._keep_in_memory()
        finally:
            self._writer = None
            self._resume_producers()
