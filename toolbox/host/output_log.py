"""An append-only log of a process's output, addressed by byte offset.

The producer appends; each reader has its own offset and does not delay the others. The newest bytes are in memory, the
rest is in a spool file that keeps a head and a tail. The dropped range between them is the *gap*: after it a reader
gets a chunk whose offset is higher than the end of the previous one.
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
from typing import TYPE_CHECKING

import msgspec

from toolbox.host.worker_pool import WorkerPool

if TYPE_CHECKING:
    from toolbox.host.spool import SpoolFile

log = logging.getLogger(__name__)

MIB = 1024 * 1024
# Bytes of a stream that stay in memory; the rest is written to the spool file.
IN_MEMORY = MIB
# The same for a stream that has ended.
RESTING = 64 * 1024
# Bytes waiting for the disk above which the producer has to pause.
BACKLOG = 4 * MIB
PAGE = 256 * 1024
# Appends of one channel share an index record up to this size and age.
RECORD_BYTES = 32 * 1024
RECORD_SECONDS = 0.005
# A stream that switches channel on each byte would need an index larger than the data: above this many records a
# quarter of them, with their output, is dropped.
MAX_RECORDS = 128 * 1024


class Channel(enum.IntEnum):
    """The stream that bytes were written to; SYSTEM is text of the daemon."""

    STDOUT = 1
    STDERR = 2
    TERMINAL = 3
    SYSTEM = 4


class Retention(msgspec.Struct, frozen=True):
    """Bytes of a stream to keep: the first ``head`` and the last ``tail``."""

    head: int = sys.maxsize
    tail: int = MIB

    @classmethod
    def capped(cls, total: int) -> Retention:
        """Keep about ``total`` bytes, half from each end."""
        return cls(head=total // 2, tail=max(total - total // 2, 1))


class Chunk(msgspec.Struct, frozen=True):
    """Bytes of one channel; ``time`` is the arrival of the first one in seconds since 1970."""

    offset: int
    data: bytes
    channel: Channel
    time: float

    @property
    def end(self) -> int:
        """Return the offset after the last byte."""
        return self.offset + len(self.data)


class _Index:
    """Offset, channel and time of each record, as arrays: 17 bytes per record instead of an object."""

    def __init__(self, max_records: int) -> None:
        self._max_records = max_records
        self.starts = array.array("q")
        self.channels = array.array("b")
        self.times = array.array("d")

    def add(self, offset: int, channel: int) -> None:
        """Begin a record at ``offset``, unless the bytes extend the last record."""
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
        """Split consecutive bytes into one chunk per record."""
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
        """Drop the records inside a gap."""
        low = bisect.bisect_left(self.starts, start)
        high = bisect.bisect_right(self.starts, end) - 1
        if high > low:
            for column in (self.starts, self.channels, self.times):
                del column[low:high]

    def crowded(self) -> tuple[int, int] | None:
        """Return the byte range of the records to drop once there are too many."""
        count = len(self.starts)
        if count < self._max_records:
            return None
        return self.starts[count // 2], self.starts[count // 2 + count // 4]


class OutputLog:
    """Record output in bounded memory and disk space; ``close`` frees both."""

    def __init__(
        self,
        retention: Retention,
        make_store: Callable[[], SpoolFile],
        workers: WorkerPool,
        *,
        in_memory: int = IN_MEMORY,
        max_records: int = MAX_RECORDS,
    ) -> None:
        self.size = 0
        self.ended = False
        self._tail = retention.tail
        # The gap as [start, end); an end before the start means that there is none.
        self._gap_start, self._gap_end = retention.head, 0
        self._make_store = make_store
        self._workers = workers
        self._store: SpoolFile | None = None
        self._index = _Index(max_records)
        # By offset: [0, _stored) is in the store, _batch is being written to it, _buffer is in memory only.
        self._max_in_memory = self._in_memory = in_memory
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
        """Return the number of bytes dropped between head and tail."""
        return max(min(self._gap_end, self.size) - self._gap_start, 0)

    @property
    def gap(self) -> tuple[int, int] | None:
        """Return the dropped range, None if there is none."""
        start, end = self._gap_start, min(self._gap_end, self.size)
        return (start, end) if start < end else None

    @property
    def congested(self) -> bool:
        """Tell whether the producer should pause until ``on_room`` calls it."""
        if len(self._buffer) >= BACKLOG:
            return True
        # The producer may append this much before it sees the pause.
        margin = min(BACKLOG, self._tail) // 2
        return bool(self._held) and self.size - min(self._held.values()) > self._tail - margin

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once when the log is no longer congested."""
        self._paused.append(resume)

    def append(self, data: bytes, channel: Channel = Channel.STDOUT) -> None:
        """Append bytes without blocking; ignored after ``finish``."""
        if self.ended or not data:
            return
        self._index.add(self.size, channel)
        self._buffer += data
        self.size += len(data)
        self._widen_gap(self._gap_start, self.size - self._tail)
        crowd = self._index.crowded()
        if crowd is not None:
            self._widen_gap(*crowd)
        if len(self._buffer) > self._in_memory:
            self._shrink()
        self.wake()

    def finish(self) -> None:
        """Mark the end of the stream, where followers stop."""
        self.ended = True
        if self._readers:
            self.wake()

    def wake(self) -> None:
        """Wake followers, which then check for data and for their end condition."""
        for waiter in self._readers:
            if not waiter.done():
                waiter.set_result(None)

    def rest(self) -> None:
        """Move most of an ended stream from memory to disk."""
        self._in_memory = RESTING
        if len(self._buffer) > RESTING:
            self._shrink()

    async def read(self, offset: int = 0, limit: int = PAGE) -> list[Chunk]:
        """Return chunks from ``offset`` on, at most ``limit`` bytes; empty if nothing was appended since."""
        while True:
            start = self._past_gap(offset)
            end = min(start + limit, self.size)
            if start < self._gap_start:
                end = min(end, self._gap_start)
            if start >= end:
                return []
            data = await self._bytes(start, end)
            # The tail in the store is a ring: the range may have been overwritten while the thread read it.
            if start >= self._gap_end or end <= self._gap_start:
                return self._index.cut(start, data)

    async def chunks(self, offset: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        """Yield what is recorded now, from ``offset`` to ``stop``."""
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
        """Yield chunks as they arrive, until all is read and the stream has ended or ``until`` returns true.

        A change of ``until`` is seen on the next ``wake``. ``hold`` applies back-pressure: the producer pauses instead
        of dropping bytes that this reader has not read, except while a page takes the reader more than ``patience``
        seconds. Close a holding iterator (``contextlib.aclosing``), or the producer stays paused for ever.
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
            self._release_hold(key)

    async def close(self) -> None:
        """End the stream and free memory and disk space; readers see an empty rest."""
        self.finish()
        if self._writer is not None:
            await asyncio.wait([self._writer])
        store, self._store = self._store, None
        self._forget()
        if store is not None:
            await self._workers.run(store.close)
        self.wake()

    def close_at_once(self) -> bool:
        """Close a log that has nothing on disk, without awaiting a thread; False if it has."""
        if self._writer is not None or self._store is not None:
            return False
        self._forget()
        if not self.ended:
            self.finish()
        return True

    def _forget(self) -> None:
        self._gap_start, self._gap_end = 0, self.size
        self._stored = self.size
        self._batch, self._buffer = bytearray(), bytearray()

    async def _more(self, offset: int, until: Callable[[], bool]) -> bool:
        """Wait for bytes after ``offset``; False if the stream has ended."""
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
        """End the back-pressure of one reader."""
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
        # Copy the part in memory before the await: during it the writer may move bytes to the store.
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
        """Drop all but the newest bytes of the buffer, when the disk is full."""
        surplus = len(self._buffer) - self._max_in_memory
        if surplus > 0:
            self._widen_gap(self._stored, self._stored + surplus)
            self._stored += surplus
            del self._buffer[:surplus]
            self._index.forget(self._gap_start, self._gap_end)

    async def _write(self) -> None:
        """Move the buffer to the store, until it is within its limit."""
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
            log.warning("output cannot be spooled, only the newest part is kept: %s", error)
            self._broken = True
            self._buffer[:0], self._batch = self._batch, bytearray()
            self._keep_in_memory()
        finally:
            self._writer = None
            self._resume_producers()
