"""The daemon's ends of a child's pipes, driven by fd readiness on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence

from toolbox.host.output_log import Channel, OutputLog

# CHUNK is the default capacity of a pipe. A writer that fills it gets a pipe of WIDE bytes.
CHUNK = 64 * 1024
WIDE = 256 * 1024
# Minimum interval between reads of a pipe whose output is discarded: a background process that writes without pause
# must not keep the loop busy.
DISCARD_INTERVAL = 0.01


class PipeReader:
    """Read a child's output pipe into an output log, or discard what is read; own the descriptor."""

    def __init__(
        self, fd: int, output_log: OutputLog, channel: Channel, on_close: Callable[[PipeReader], None]
    ) -> None:
        self.last = 0.0
        self.paused = False
        self.discarding = False
        # The last writer closed the pipe, or ``close`` was called.
        self.closed = False
        self._fd = fd
        self._output_log = output_log
        self._channel = channel
        self._on_close = on_close
        self._size = CHUNK
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._loop.add_reader(fd, self._take)

    async def ended(self) -> None:
        """Wait until the pipe is closed on either side."""
        await self._ended.wait()

    def catch_up(self) -> None:
        """Read what the pipe contains now, up to its capacity."""
        for _ in range(WIDE // CHUNK):
            if self.closed or self.paused or not self._take():
                return

    def discard(self) -> None:
        """Read and discard from now on, so that the writer neither blocks nor gets SIGPIPE."""
        self.discarding = True
        if self.paused:
            self._resume()

    def close(self) -> None:
        """Close the read end; a remaining writer gets SIGPIPE."""
        if self.closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        self.closed = True
        self.paused = False
        self._ended.set()
        # The callback refers back to this reader, and the cycle would outlive both.
        on_close, self._on_close = self._on_close, lambda _: None
        on_close(self)

    def _take(self) -> bool:
        """Read once; tell whether there was data."""
        try:
            data = os.read(self._fd, self._size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a terminal reports the end as EIO
        if not data:
            self.close()
            return False
        if self.discarding:
            if len(data) >= CHUNK:
                self._loop.remove_reader(self._fd)
                self._timer = self._loop.call_later(DISCARD_INTERVAL, self._loop.add_reader, self._fd, self._take)
            return True
        self.last = self._loop.time()
        self._output_log.append(data, self._channel)
        if len(data) == self._size == CHUNK:
            self._widen()
        if self._output_log.congested:
            self._pause()
        return True

    def _widen(self) -> None:
        """Enlarge the pipe of a writer that fills it: fewer context switches between writer and daemon."""
        self._size = WIDE
        with contextlib.suppress(OSError):  # not a pipe, or the user is over pipe-user-pages-soft
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, WIDE)

    def _pause(self) -> None:
        self.paused = True
        self._loop.remove_reader(self._fd)
        self._output_log.on_room(self._resume)

    def _resume(self) -> None:
        if self.paused and not self.closed:
            self.paused = False
            self.last = self._loop.time()
            self._loop.add_reader(self._fd, self._take)


async def drained(pipe_readers: Sequence[PipeReader], since: float, quiet: float = 0.25, cap: float = 1.0) -> None:
    """Wait for the rest of the output of a process that ended at ``since`` (loop time).

    A background process may keep a pipe open for ever, so waiting ends after ``quiet`` seconds without data and after
    ``cap`` seconds in all. Time during which a reader is paused (back-pressure of the disk or of a client) does not
    count: its pipe still contains output of the ended process.
    """
    loop = asyncio.get_running_loop()
    while not all(pipe_reader.closed for pipe_reader in pipe_readers):
        if any(pipe_reader.paused for pipe_reader in pipe_readers):
            since = loop.time()
        limit = min(max(since, *(pipe_reader.last for pipe_reader in pipe_readers)) + quiet, since + cap)
        if loop.time() >= limit:
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(limit):
                for pipe_reader in pipe_readers:
                    await pipe_reader.ended()
    for pipe_reader in pipe_readers:
        pipe_reader.catch_up()


class PipeWriter:
    """Write to a child's stdin without blocking the loop; own the descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Tell whether the write end is closed."""
        return self._fd < 0

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; raise ``BrokenPipeError`` if the read end or this one is closed."""
        async with self._lock:
            view = memoryview(data)
            while view:
                if self.closed:
                    raise BrokenPipeError("standard input is closed")
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:
                    await self._writable()

    def close(self) -> None:
        """Close the write end, so that the child reads end of file."""
        if self.closed:
            return
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._ready.set()

    async def _writable(self) -> None:
        self._ready.clear()
        self._loop.add_writer(self._fd, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if not self.closed:
                self._loop.remove_writer(self._fd)
