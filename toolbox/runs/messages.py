"""Framed messages over a socket pair, pipes or asyncio streams.

A framing turns a stream of bytes into messages and back: ``LengthPrefix``, ``JsonLines`` or ``ContentLength`` (the
Language Server Protocol). ``MessageStream`` sends and receives them. ``PacketSocket`` needs no framing, because the
kernel keeps the boundaries of its messages, and can pass file descriptors.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence

# Default bound of one message.
MAX_MESSAGE = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_MAX_HEADER = 8 * 1024
_END_OF_HEADER = b"\r\n\r\n"


class MessageError(Exception):
    """A stream that breaks its framing: too large, malformed or cut off; it cannot be read any further."""


class Framing(abc.ABC):
    """Incremental encoder and decoder of one stream; ``limit`` is the largest message in bytes."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def incomplete(self) -> bool:
        """Tell whether a part of a message has been fed."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append bytes as they come from the stream."""
        self._buffer += data

    @abc.abstractmethod
    def next(self) -> bytes | None:
        """Return the next complete message, None if more bytes are needed; raise ``MessageError``."""

    @abc.abstractmethod
    def encode(self, message: bytes) -> bytes:
        """Return the bytes to send for a message."""

    def _take(self, start: int, size: int, tail: int = 0) -> bytes | None:
        """Return ``size`` bytes between a header and ``tail`` bytes, once all of them are there, and drop all three."""
        self._check(size)
        end = start + size
        if len(self._buffer) < end + tail:
            return None
        with memoryview(self._buffer) as view:
            message = bytes(view[start:end])
        del self._buffer[: end + tail]
        return message

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise MessageError(f"message is too large: more than {self._limit} bytes")


class LengthPrefix(Framing):
    """Each message behind its length: four bytes, big-endian."""

    def next(self) -> bytes | None:
        """Return the next complete message, None if more bytes are needed; raise ``MessageError``."""
        if len(self._buffer) < 4:
            return None
        return self._take(4, int.from_bytes(self._buffer[:4], "big"))

    def encode(self, message: bytes) -> bytes:
        """Return the bytes to send for a message."""
        return len(message).to_bytes(4, "big") + message


class JsonLines(Framing):
    """One line per message, without its line feed; empty lines are skipped."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        super().__init__(limit)
        # Searching a long line from its start for each chunk would take quadratic time.
        self._searched = 0

    def next(self) -> bytes | None:
        """Return the next complete message, None if more bytes are needed; raise ``MessageError``."""
        while (end := self._buffer.find(b"\n", self._searched, self._limit + 1)) >= 0:
            self._searched = 0
            line = (self._take(0, end, 1) or b"").rstrip(b"\r")
            if line:
                return line
        self._searched = min(len(self._buffer), self._limit + 1)
        self._check(self._searched)
        return None

    def encode(self, message: bytes) -> bytes:
        """Return the bytes to send for a message, which is one line of JSON."""
        if b"\n" in message:
            raise ValueError("message contains a line feed")
        return message + b"\n"


class ContentLength(Framing):
    """HTTP-like header lines with a ``Content-Length``, an empty line, the message."""

    def next(self) -> bytes | None:
        """Return the next complete message, None if more bytes are needed; raise ``MessageError``."""
        end = self._buffer.find(_END_OF_HEADER, 0, _MAX_HEADER)
        if end < 0:
            if len(self._buffer) >= _MAX_HEADER:
                raise MessageError(f"message header is too large: more than {_MAX_HEADER} bytes")
            return None
        header = bytes(self._buffer[:end])
        found = re.search(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r?$", header)
        if found is None:
            raise MessageError(f"message header has no valid Content-Length: {header[:80]!r}")
        return self._take(end + len(_END_OF_HEADER), int(found[1]))

    def encode(self, message: bytes) -> bytes:
        """Return the bytes to send for a message."""
        return b"Content-Length: %d\r\n\r\n" % len(message) + message


class MessageStream:
    """Messages in both directions over one stream, which it owns.

    One task receives at a time; any number may send. A ``receive`` that is cancelled loses nothing. A ``send`` that is
    cancelled has sent either the whole message or nothing of it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        framing: Framing,
        source: asyncio.BaseTransport | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._framing = framing
        self._sending = asyncio.Lock()
        # The reading side, if that is a descriptor of its own.
        self._source = source

    @classmethod
    async def over_socket(cls, sock: socket.socket, framing: Framing) -> MessageStream:
        """Use a connected stream socket, which becomes ours."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, framing)

    @classmethod
    async def over_pipes(cls, read_fd: int, write_fd: int, framing: Framing) -> MessageStream:
        """Use the ends of two pipes, which become ours."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading = asyncio.StreamReaderProtocol(reader)
        source, _ = await loop.connect_read_pipe(lambda: reading, os.fdopen(read_fd, "rb", 0))
        writing = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        target, _ = await loop.connect_write_pipe(lambda: writing, os.fdopen(write_fd, "wb", 0))
        return cls(reader, asyncio.StreamWriter(target, writing, None, loop), framing, source)

    async def send(self, message: bytes) -> None:
        """Send a message, and wait while the peer does not read; raise ``ConnectionError`` if it has closed."""
        frame = self._framing.encode(message)
        # The lock bounds what is queued to one message, however many tasks send.
        async with self._sending:
            self._writer.write(frame)
            await self._writer.drain()
            if self._writer.is_closing():
                raise ConnectionResetError("stream was closed while sending")

    async def receive(self) -> bytes:
        """Return the next message; raise ``EOFError`` at the end of the stream and ``MessageError`` for a bad one."""
        while (message := self._framing.next()) is None:
            data = await self._reader.read(_CHUNK)
            if not data:
                if self._framing.incomplete:
                    raise MessageError("stream ended in the middle of a message")
                raise EOFError("stream has ended")
            self._framing.feed(data)
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield messages up to the end of the stream."""
        while True:
            try:
                yield await self.receive()
            except EOFError:
                return

    async def close(self) -> None:
        """Close both directions; what the peer has not read yet is dropped."""
        if not self._writer.transport.is_closing():
            self._writer.transport.abort()
        if self._source is not None:
            self._source.close()
        with contextlib.suppress(OSError):  # the peer had closed first
            await self._writer.wait_closed()


class PacketSocket:
    """Small messages with descriptors over one end of a ``SOCK_SEQPACKET`` pair, which it owns."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Send a message and copies of descriptors; raise ``BlockingIOError`` if the peer does not read."""
        socket.send_fds(self._sock, [message], fds)

    async def receive(self) -> bytes:
        """Return the next message, empty once the peer has closed; a larger message is cut off at 512 bytes."""
        while True:
            try:
                return self._sock.recv(512)
            except BlockingIOError:
                await self._readable()

    def close(self) -> None:
        """Close our end."""
        self._sock.close()

    async def _readable(self) -> None:
        # ``loop.sock_recv`` would take the message off the socket, and lose it if its caller is cancelled in that turn.
        loop, fd, ready = asyncio.get_running_loop(), self._sock.fileno(), asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(fd)
