"""The output of a session command: in an output log while it grows, in a file once it is complete.

A session may exist for weeks, and its logs stay readable after a restart of the daemon; memory and spool are only for
running commands. A reader that started on the output log finishes on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pathlib
from collections.abc import AsyncGenerator, Callable, Iterator

from toolbox.host.output_log import Chunk, OutputLog
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions.records import PAGE, RecordReader, RecordWriter
from toolbox.process.sessions.wire import LogsQuery

log = logging.getLogger(__name__)

MIB = 1024 * 1024
# Of each command's output the first and the last 32 MiB are kept.
HALF = 32 * MIB
# How long output beyond what is kept waits for a slow reader. After that the reader loses output.
PATIENCE = 1.0


class Log:
    """Read the output of a command, from the output log until ``ended()`` is true, or from the file."""

    def __init__(
        self, path: pathlib.Path, workers: WorkerPool, output: OutputLog | None = None, ended: Callable[[], bool] = bool
    ) -> None:
        self._path = path
        self._workers = workers
        self._output = output
        self._ended = ended
        self._readers = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._truncated = False

    @property
    def truncated(self) -> bool:
        """Tell whether the middle of the output was dropped."""
        return self._truncated if self._output is None else self._output.dropped > 0

    async def size(self) -> int:
        """Return the number of bytes written, including dropped ones."""
        if self._output is not None:
            return self._output.size
        return await self._workers.run(RecordReader(self._path).end)

    async def start(self, query: LogsQuery) -> int:
        """Return the offset that a query starts at; with ``wait``, wait first for output after it."""
        start = query.offset or 0
        if query.tail is not None:
            start = max(await self.size() - query.tail, 0)
        if query.wait:
            await self._more(start, query.wait)
        return start

    async def chunks(self, offset: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        """Yield recorded output from an offset up to ``stop``."""
        if self._output is not None:
            with self._reading():
                async for chunk in self._output.chunks(offset, stop):
                    yield chunk
            return
        reader = RecordReader(self._path)
        while page := await self._workers.run(reader.page, offset, stop):
            for chunk in page:
                yield chunk

    async def follow(self, offset: int) -> AsyncGenerator[Chunk, None]:
        """Yield recorded and new output from an offset on, until the command has ended and all is read."""
        if self._output is not None:
            with self._reading():
                source = self._output.follow(offset, hold=True, patience=PATIENCE, until=self._ended)
                async with contextlib.aclosing(source) as found:
                    async for chunk in found:
                        yield chunk
            return
        async with contextlib.aclosing(self.chunks(offset)) as found:
            async for chunk in found:
                yield chunk

    async def _more(self, offset: int, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), contextlib.aclosing(self.follow(offset)) as found:
                async for _ in found:
                    return

    async def unread(self, seconds: float) -> None:
        """Wait until the output log has no readers, at most ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        self._readers += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._idle.set()

    async def keep(self, finished: asyncio.Event) -> None:
        """Copy the output to the file, then close the output log, which this task owns.

        While the command runs only the head is copied: the output log may still drop what follows. The rest is copied
        once the output is complete.
        """
        output = self._output
        assert output is not None
        writer = RecordWriter(self._path)
        try:
            offset = await self._copy(output.follow(), writer, HALF)
            await finished.wait()
            await self._copy(output.chunks(offset), writer, None)
            self._truncated = output.dropped > 0
        except OSError as error:
            log.warning("session log cannot be written: %s: %s", self._path, error)
            return
        finally:
            await self._workers.run(writer.close)
        self._output = None
        await self._idle.wait()
        await output.close()

    async def _copy(self, source: AsyncGenerator[Chunk, None], writer: RecordWriter, limit: int | None) -> int:
        offset, waiting, size = 0, list[Chunk](), 0
        async with contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                waiting.append(chunk)
                size += len(chunk.data)
                offset = chunk.end
                if size >= PAGE or limit is not None:
                    await self._workers.run(writer.write, waiting)
                    waiting, size = [], 0
                if limit is not None and offset >= limit:
                    break
        if waiting:
            await self._workers.run(writer.write, waiting)
        return offset
