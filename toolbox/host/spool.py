"""Disk space for output: files without a name, written and read off the loop.

A spool file is unlinked from the start, so that nothing is left behind however the daemon ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from toolbox.host.output_log import OutputLog, Retention
from toolbox.host.worker_pool import WorkerPool

WORKERS = 2


class SpoolFile:
    """Keep ``head`` bytes from the start of a stream and the newest ``tail`` bytes after them, in one file.

    Every method blocks; the output log calls them in threads, hence the lock: a closed descriptor number is reused.
    """

    def __init__(self, directory: Path, retention: Retention) -> None:
        self._head, self._tail = retention.head, retention.tail
        self._fd = _unnamed(directory)
        self._open = True
        self._lock = threading.Lock()

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Store data that starts at ``offset`` of the stream; the oldest bytes of the tail make room."""
        lost = len(data) - max(self._head - offset, 0) - self._tail
        view = memoryview(data)
        with self._lock:
            for start, length, place in self._places(offset, len(data)):
                # A piece that a later one overwrites need not touch the disk.
                if lost <= 0 or place < self._head or start + length > offset + len(data) - self._tail:
                    _write_all(self._fd, view[start - offset : start - offset + length], place)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the stream that are known to be kept; nothing once closed."""
        with self._lock:
            if not self._open:
                return b""
            return b"".join(os.pread(self._fd, length, place) for _, length, place in self._places(offset, size))

    def close(self) -> None:
        """Give the space back."""
        with self._lock:
            self._open = False
            os.close(self._fd)

    def _places(self, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Map a range of the stream to (offset, length, place in the file): the tail is a ring behind the head."""
        end = offset + size
        while offset < end:
            if offset < self._head:
                place, room = offset, self._head - offset
            else:
                turn = (offset - self._head) % self._tail
                place, room = self._head + turn, self._tail - turn
            length = min(room, end - offset)
            yield offset, length, place
            offset += length


def _unnamed(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        # Not every file system has files without a name (overlayfs before Linux 6.3, NFS).
        fd, path = tempfile.mkstemp(dir=directory)
        os.unlink(path)
        return fd


def _write_all(fd: int, data: memoryview, place: int) -> None:
    while data:
        written = os.pwrite(fd, data, place)
        data, place = data[written:], place + written


class Spool:
    """Make output logs that share one folder and one bounded set of threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workers = WorkerPool("spool", WORKERS)

    def output_log(self, retention: Retention | None = None) -> OutputLog:
        """Return an empty output log; its user closes it."""
        kept = retention or Retention()
        return OutputLog(kept, lambda: SpoolFile(self._directory, kept), self._workers)

    async def close(self) -> None:
        """Wait for the threads to end."""
        await self._workers.close()
