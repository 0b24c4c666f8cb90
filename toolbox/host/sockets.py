"""Bulk transfer between a connected socket and files, in threads, bypassing asyncio's transport.

A thread transfers until the socket would block, then the loop waits for readiness on a duplicate of the descriptor (the
loop refuses a second watcher on a transport's own). Bytes are not copied on the loop; figures are in ADR 11.
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
# A peer on the same machine refills the socket within this time; a return to the loop would take longer.
_PATIENCE_MS = 5
# Seconds after which a transfer returns its thread, so that others waiting for the pool get a turn.
_SLICE = 0.25

Sink = Callable[[bytes], None]


class BulkSocket:
    """A duplicate of a transport's socket, for one transfer."""

    def __init__(self, transport: asyncio.BaseTransport, workers: WorkerPool) -> None:
        self._workers = workers
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        self.received = 0

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Send part of a file; raise ``EOFError`` if the file was truncated meanwhile."""
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
        """Send without sendfile, which some file systems do not support."""
        data = os.pread(fd, min(BLOCK, end - offset), offset)
        return self._socket.send(data) if data else 0

    async def receive(self, count: int, sink: Sink, *, patience: float | None = None) -> None:
        """Pass exactly ``count`` bytes to ``sink``, in a thread; raise ``EOFError`` if the peer closes before.

        Raise ``TimeoutError`` once nothing has arrived for ``patience`` seconds.
        ``received`` counts the bytes read from the socket, also when ``sink`` raised.
        """
        end = self.received + count
        while self.received < end:
            if await self._workers.run(self._receive, end, sink):
                async with asyncio.timeout(patience):
                    await self._ready(write=False)

    def _receive(self, end: int, sink: Sink) -> bool:
        """Receive what there is; tell whether the socket would block."""
        until = time.monotonic() + _SLICE
        while self.received < end and time.monotonic() < until:
            try:
                # Pass on what one call returns, without filling a block: the data is still in the CPU cache.
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
        ready = asyncio.Event()
        add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        add(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._socket)

    def close(self) -> None:
        """Close the duplicate; the connection itself belongs to its transport."""
        self._socket.close()
