"""A log file: records of stream, offset, length and data, ordered by offset. The offsets preserve gaps."""

from __future__ import annotations

import contextlib
import os
import pathlib
import struct
from typing import BinaryIO

from toolbox.host.output_log import Channel, Chunk

_HEAD = struct.Struct(">BQI")
PAGE = 256 * 1024


class RecordWriter:
    """Append chunks to a file; everything here blocks."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._fd = -1

    def write(self, chunks: list[Chunk]) -> None:
        """Append chunks."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        data = memoryview(
            b"".join(_HEAD.pack(chunk.channel, chunk.offset, len(chunk.data)) + chunk.data for chunk in chunks)
        )
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RecordReader:
    """Read a log file page by page, up to its last complete record. Blocks."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._position = 0

    def page(self, offset: int, stop: int | None = None) -> list[Chunk]:
        """Return about a page of the next chunks from ``offset`` up to ``stop``; none at the end."""
        chunks: list[Chunk] = []
        size = 0
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            while size < PAGE and (chunk := _read(file, offset, stop)) is not None:
                self._position = file.tell()
                if chunk.data:
                    chunks.append(chunk)
                    size += len(chunk.data)
        return chunks

    def end(self) -> int:
        """Return the offset after the last byte."""
        last = 0
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while (head := _head(file, size)) is not None:
                last = head[1] + head[2]
                file.seek(head[2], os.SEEK_CUR)
        return last


def _head(file: BinaryIO, size: int) -> tuple[int, int, int] | None:
    raw = file.read(_HEAD.size)
    if len(raw) < _HEAD.size:
        return None
    found: tuple[int, int, int] = _HEAD.unpack(raw)
    return found if file.tell() + found[2] <= size else None


def _read(file: BinaryIO, offset: int, stop: int | None) -> Chunk | None:
    """Read one record, without its data before ``offset`` and from ``stop`` on; None if it starts there."""
    head = _head(file, os.fstat(file.fileno()).st_size)
    if head is None or (stop is not None and head[1] >= stop):
        return None
    channel, start, length = head
    data = file.read(length)[: None if stop is None else stop - start]
    skipped = min(max(offset - start, 0), len(data))
    return Chunk(start + skipped, data[skipped:], Channel(channel), 0.0)
