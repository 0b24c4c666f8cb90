"""Move bulk bytes between a connected socket and files in threads, below asyncio's transport.

The loop neither copies the bytes nor waits for the disk: a thread works until the socket would block, then the
loop waits for readiness on a duplicate of the descriptor. This is what keeps transfers near the speed of the
kernel; the figures are in docs/adr.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import time
from collections.abc import Callable

from toolbox.host.worker_pool import WorkerPool

BLOCK = 1024 * 1024
# A peer on the same machine refills the socket within this time; going back to the loop would cost more.
_PATIENCE_MS = 5
_SLICE = 0.25

Sink = Callable[[bytes], None]


class BulkSocket:
    """A duplicate of a transport's socket, for as long as one transfer takes."""

    def __init__(self, transport: asyncio.BaseTransport, workers: WorkerPool) -> None:
        self._workers = workers
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        self.received = 0

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send a part of a file; raise ``EOFError`` if the file has become shorter."""
        end = offset + count
        while offset < end:
            offset, blocked = await self._workers.run(self._send, fd, offset, end)
            if blocked:
                await self._ready(write=True)

    def _send(self, fd: int, offset: int, end: int) -> tuple[int, bool]:
        until = time.monotonic() + _SLICE
        while offset < end and time.monotonic() < until:
            try:
                sent = os.sendfile(self._socket.fileno(), fd, offset, end - offset)
            except BlockingIOError:
                if self._poll(select.POLLOUT):
                    continue
                return offset, True
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                sent = self._copy(fd, offset, end)
            if not sent:
                raise EOFError
            offset += sent
        return offset, False

    def _copy(self, fd: int, offset: int, end: int) -> int:
        """Send from file systems without sendfile."""
        data = os.pread(fd, min(BLOCK, end - offset), offset)
        return self._socket.send(data) if data else 0

    async def receive(self, count: int, sink: Sink) -> None:
        """Hand exactly ``count`` bytes to ``sink``, in a thread; raise ``EOFError`` if the peer stops before.

        ``received`` counts what was taken off the socket, also when ``sink`` raised.
        """
        end = self.received + count
        while self.received < end:
            blocked = await self._workers.run(self._receive, end, sink)
            if blocked:
                await self._ready(write=False)

    def _receive(self, end: int, sink: Sink) -> bool:
        until = time.monotonic() + _SLICE
        while self.received < end and time.monotonic() < until:
            try:
                # What one call yields is handed on at once: it is still in the cache, a block filled up is not.
                data = self._socket.recv(min(end - self.received, BLOCK))
            except BlockingIOError:
                if self._poll(select.POLLIN):
                    continue
                return True
            if not data:
                raise EOFError
            self.received += len(data)
            sink(data)
        return False

    def _poll(self, event: int) -> bool:
        poller = select.poll()
        poller.register(self._socket, event)
        return bool(poller.poll(_PATIENCE_MS))

    async def _ready(self, *, write: bool) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        add(self._socket, _set, ready)
        try:
            await ready
        finally:
            remove(self._socket)

    def close(self) -> None:
        """Close the duplicate; the connection itself belongs to its transport."""
        self._socket.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
