"""Disk space for output logs: unnamed files, written and read in threads.

The kernel frees an unnamed file even after SIGKILL.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from toolbox.host.files import scratch, write_at
from toolbox.host.output_log import IN_MEMORY, MAX_RECORDS, OutputLog, Retention
from toolbox.host.worker_pool import WorkerPool

WORKERS = 2


class SpoolFile:
    """Keep ``head`` bytes from the start of a stream and the newest ``tail`` bytes after them, in one file.

    Every method blocks and is called in threads. The lock keeps a read from using a descriptor number that was
    closed and that the kernel has given to another file.
    """

    def __init__(self, directory: Path, retention: Retention) -> None:
        self._head, self._tail = retention.head, retention.tail
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = scratch(directory)
        self._lock = threading.Lock()

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Store data that starts at ``offset`` of the stream, over the oldest bytes of the tail."""
        lost = len(data) - max(self._head - offset, 0) - self._tail
        view = memoryview(data)
        with self._lock:
            for start, length, position in self._positions(offset, len(data)):
                # Skip a piece that a later one of the same data overwrites.
                if lost <= 0 or position < self._head or start + length > offset + len(data) - self._tail:
                    write_at(self._fd, view[start - offset : start - offset + length], position)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the stream, which the caller knows to be kept; empty once closed."""
        with self._lock:
            if self._fd < 0:
                return b""
            return b"".join(
                os.pread(self._fd, length, position) for _, length, position in self._positions(offset, size)
            )

    def close(self) -> None:
        """Free the space."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def _positions(self, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Map a range of the stream to (offset, length, file position); the tail is a ring buffer after the head."""
        end = offset + size
        while offset < end:
            if offset < self._head:
                position, room = offset, self._head - offset
            else:
                turn = (offset - self._head) % self._tail
                position, room = self._head + turn, self._tail - turn
            length = min(room, end - offset)
            yield offset, length, position
            offset += length


class Spool:
    """Create output logs that share a directory and a worker pool."""

    def __init__(self, directory: Path, *, in_memory: int = IN_MEMORY, max_records: int = MAX_RECORDS) -> None:
        self._directory = directory
        self._in_memory = in_memory
        self._max_records = max_records
        self._workers = WorkerPool("spool", WORKERS)

    def output_log(self, retention: Retention | None = None) -> OutputLog:
        """Return an empty output log, which the caller closes."""
        kept = retention or Retention()
        return OutputLog(
            kept,
            lambda: SpoolFile(self._directory, kept),
            self._workers,
            in_memory=self._in_memory,
            max_records=self._max_records,
        )

    async def close(self) -> None:
        """Stop the threads."""
        await self._workers.close()
