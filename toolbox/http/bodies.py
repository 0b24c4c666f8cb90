"""Streamed uploads and downloads of files in constant memory.

A body is passed to its receiver in a thread; a file is sent with ``sendfile``. aiohttp's FileResponse is not used: it
sends ``name.gz`` instead of ``name`` if both exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from aiohttp import web

from toolbox import wire
from toolbox.errors import FileReadFailed, RangeNotSatisfiable, RequestTimeout, ToolboxError
from toolbox.host.files import BLOCK, Source
from toolbox.host.paths import decode, show
from toolbox.host.sockets import BulkSocket
from toolbox.host.worker_pool import WorkerPool
from toolbox.http.body_reader import BodyReader, feed
from toolbox.http.connection import JSON, envelope
from toolbox.http.errors import error_response
from toolbox.http.multipart import (
    Delimiters,
    FileField,
    FormReader,
    PartReceiver,
    Receiver,
    boundary_of,
    disposition,
    is_form,
)
from toolbox.http.ranges import answer, content_range, version

T = TypeVar("T")

OCTETS = "application/octet-stream"
# Minimum size for sendfile, which needs a flush of the transport first; shorter spans are read and written.
_SENDFILE_BYTES = 256 * 1024
# The headers that the reference server sends with a file.
_LEGACY = {
    "Content-Description": "File Transfer",
    "Content-Transfer-Encoding": "binary",
    "Expires": "0",
    "Cache-Control": "must-revalidate",
    "Pragma": "public",
}


class Bodies:
    """Receive and send bodies, with file I/O in a worker pool."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers

    async def receive(self, request: web.BaseRequest, receiver: Receiver[T]) -> T:
        """Pass the raw body to a receiver; on an error abort the receiver and drain the body."""
        body = BodyReader(request, self._workers)
        try:
            last = await body.pipe_to(receiver.feed)
            return await self._workers.run(_complete, receiver, last)
        except BaseException as error:
            raised = await self._workers.run(receiver.abort, error)
            if not isinstance(error, (asyncio.CancelledError, ConnectionError, RequestTimeout)):
                await body.drain()
            if raised is error:
                raise
            raise raised from error
        finally:
            body.close()

    async def receive_form(self, request: web.BaseRequest, receiver: PartReceiver[T]) -> T:
        """Pass the parts of a form to a receiver."""
        boundary = boundary_of(request.headers.get("Content-Type", ""))
        return await self.receive(request, FormReader(boundary, receiver))

    async def receive_file(self, request: web.BaseRequest, receiver: Receiver[T]) -> T:
        """Pass a file to a receiver: the ``file`` field of a form, or the body itself."""
        if is_form(request.headers.get("Content-Type", "")):
            return await self.receive_form(request, FileField(receiver))
        return await self.receive(request, receiver)

    async def send_file(self, request: web.BaseRequest, source: Source) -> web.StreamResponse:
        """Respond with a file: 200, 206 with ranges, or 304 if the client's copy is current."""
        try:
            if source.size is None or source.size != source.status.st_size:
                # In /proc and /sys neither size nor time change with the content, so ranges and ETags are wrong there.
                return await _streamed(request, _about(source), self._blocks(source))
            return await self._send_sized(request, source, source.size)
        finally:
            await self._workers.run(source.close)

    async def _send_sized(self, request: web.BaseRequest, source: Source, size: int) -> web.StreamResponse:
        current = version(source.status)
        try:
            chosen = answer(request, current, size)
        except RangeNotSatisfiable as error:
            refusal = error_response(request, error)
            refusal.headers["Content-Range"] = f"bytes */{size}"
            return refusal
        response = web.StreamResponse(status=chosen.status, headers={**current.headers, **_about(source)})
        if chosen.status == 304:
            await response.prepare(request)
            return response
        heads, end = [b""], b""
        if len(chosen.spans) > 1:
            parts = Delimiters()
            ranges = [content_range(span, size) for span in chosen.spans]
            heads = [parts.part({"Content-Type": OCTETS, "Content-Range": each}) for each in ranges]
            end = parts.closing()
            response.headers["Content-Type"] = f"multipart/byteranges; boundary={parts.boundary}"
        elif chosen.status == 206:
            response.headers["Content-Range"] = content_range(chosen.spans[0], size)
        response.content_length = sum(map(len, heads)) + sum(length for _, length in chosen.spans) + len(end)
        await response.prepare(request)
        if request.method != "HEAD":
            for head, span in zip(heads, chosen.spans, strict=True):
                if head:  # an empty write would send the headers in a packet of their own
                    await response.write(head)
                await self._send_span(request, response, source, *span)
            await response.write(end)
        await response.write_eof()
        return response

    async def send_form(
        self, request: web.BaseRequest, parts: AsyncIterator[tuple[str, Source | ToolboxError]]
    ) -> web.StreamResponse:
        """Respond with one part per file or error; each file is opened just before it is sent.

        The closing boundary is sent only after all announced bytes: without it clients detect the truncation.
        """
        delimiters = Delimiters()
        headers = {"Content-Type": f"multipart/form-data; boundary={delimiters.boundary}"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        async for name, item in parts:
            if isinstance(item, ToolboxError):
                await response.write(_error_part(request, delimiters, name, item))
                continue
            try:
                await self._send_part(request, response, delimiters.part(_file_headers(name, item)), item)
            finally:
                await self._workers.run(item.close)
        await response.write(delimiters.closing())
        await response.write_eof()
        return response

    async def _send_part(
        self, request: web.BaseRequest, response: web.StreamResponse, head: bytes, source: Source
    ) -> None:
        if len(source.head) == source.size:
            await response.write(head + source.head)
            return
        await response.write(head)
        if source.size is not None:
            await self._send_span(request, response, source, 0, source.size)
            return
        async for block in self._blocks(source):
            await response.write(block)

    async def _send_span(
        self, request: web.BaseRequest, response: web.StreamResponse, source: Source, offset: int, count: int
    ) -> None:
        """Send exactly ``count`` bytes or raise, which aborts the connection: a truncated file must not look whole."""
        if len(source.head) == source.size:
            await response.write(source.head[offset : offset + count])
        elif count >= _SENDFILE_BYTES:
            await self._by_kernel(request, response, source, offset, count)
        elif count:
            block = await self._workers.run(source.read, count, offset)
            if len(block) < count:
                raise _shrunk(source)
            await response.write(block)

    async def _by_kernel(
        self, request: web.BaseRequest, response: web.StreamResponse, source: Source, offset: int, count: int
    ) -> None:
        # A multipart response has no Content-Length: the span is sent as one chunk of the chunked encoding.
        framed = response.headers.get("Transfer-Encoding") == "chunked"
        transport = await _flushed(request, b"%x\r\n" % count if framed else b"")
        bulk = BulkSocket(transport, self._workers)
        try:
            await bulk.send_file(source.fd, offset, count)
        except EOFError as error:
            raise _shrunk(source) from error
        finally:
            bulk.close()
            transport.set_write_buffer_limits()
        if framed:
            transport.write(b"\r\n")

    async def _blocks(self, source: Source) -> AsyncGenerator[bytes]:
        offset = 0
        while block := await self._workers.run(source.read, BLOCK, offset):
            yield block
            offset += len(block)


async def send_stream(
    request: web.BaseRequest, name: str, blocks: AsyncGenerator[bytes], *, size: int | None = None
) -> web.StreamResponse:
    """Respond with generated bytes; an error after the headers aborts the connection."""
    headers = {"Content-Type": OCTETS, "Content-Disposition": disposition("attachment", name)}
    return await _streamed(request, headers, blocks, size)


async def _streamed(
    request: web.BaseRequest, headers: dict[str, str], blocks: AsyncGenerator[bytes], size: int | None = None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    async with contextlib.aclosing(blocks) as stream:
        await response.prepare(request)
        if request.method != "HEAD":
            async for block in stream:
                await response.write(block)
    await response.write_eof()
    return response


def _complete(receiver: Receiver[T], last: list[bytes]) -> T:
    feed(receiver.feed, last)
    return receiver.finish()


def _about(source: Source) -> dict[str, str]:
    name = decode(source.path.rpartition(b"/")[2])
    return {"Content-Type": OCTETS, "Content-Disposition": disposition("attachment", name), **_LEGACY}


def _shrunk(source: Source) -> FileReadFailed:
    return FileReadFailed(f"file became shorter while it was sent: {show(source.path)}")


def _file_headers(name: str, source: Source) -> dict[str, str]:
    headers = {
        "Content-Type": mimetypes.guess_type(show(source.path))[0] or OCTETS,
        "Content-Disposition": disposition("form-data", name, name="file"),
    }
    return headers if source.size is None else {**headers, "Content-Length": str(source.size)}


def _error_part(request: web.BaseRequest, delimiters: Delimiters, name: str, error: ToolboxError) -> bytes:
    headers = {"Content-Type": JSON, "Content-Disposition": disposition("form-data", name, name="error")}
    body = envelope(error.status, error.code, error.message, path=name, method=request.method, **error.detail)
    return delimiters.part(headers) + wire.encode(body)


async def _flushed(request: web.BaseRequest, before: bytes) -> asyncio.Transport:
    """Write ``before`` and empty the transport's buffer: bytes sent on the socket itself would overtake it."""
    request.writer.send_headers()
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("client disconnected")
    if before:
        transport.write(before)
    transport.set_write_buffer_limits(high=0)
    await request.writer.drain()
    return transport
