"""One command of a session: its state, input and output."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import msgspec

from toolbox.errors import BadRequest, CommandCompleted, Conflict, InternalError, SessionEnded
from toolbox.host.output_log import Channel, OutputLog
from toolbox.host.pipes import PipeReader, PipeWriter
from toolbox.process.sessions import wire
from toolbox.process.sessions.log import Log
from toolbox.runs.registry import Entry

# How much input is accepted for a command that is still queued.
MAX_WAITING = 1024 * 1024
# How long a command may take to read input that does not fit into its pipe.
INPUT_SECONDS = 5.0


class Pipes(msgspec.Struct, frozen=True):
    """The daemon's ends of a command's pipes; without ``stdin`` the command has no input."""

    stdout: int
    stderr: int
    # Writing ends of both outputs, closed after the command: they keep a reader from seeing the end before the shell
    # opens a pipe, and let it see the end even if the shell never does.
    spare_out: int
    spare_err: int
    stdin: int | None = None


class SessionCommand:
    """A command: queued, running, or ended with an exit code."""

    def __init__(self, text: str, output: OutputLog, *, background: bool = False, echo: bool = True) -> None:
        self.id = str(uuid.uuid4())
        self.text = text
        self.background = background
        self.exit_code: int | None = None
        self.started = False
        # In clock ticks since boot: processes below the shell that started later belong to this command.
        self.since = 0
        self.output = output
        self.entry: Entry | None = None
        self.log: Log
        self.finished = asyncio.Event()
        self._echo = echo
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pipe_readers: list[PipeReader] = []
        self._pipe_writer: PipeWriter | None = None
        self._early = bytearray()
        self._end_early = False
        self._reads: Callable[[], Awaitable[None]] = _at_once
        # The session was deleted before the command ended.
        self.deleted = False
        self._flush: asyncio.Task[None] | None = None

    def describe(self) -> wire.Command:
        """Describe the command for the wire."""
        return wire.Command(id=self.id, command=self.text, exit_code=self.exit_code)

    @property
    def ended(self) -> bool:
        """Tell whether the command has an exit code."""
        return self.exit_code is not None

    def require_running(self) -> None:
        """Raise unless the command is queued or running."""
        if self.ended:
            raise CommandCompleted(f"command has already completed with exit code {self.exit_code}")

    def result(self) -> int:
        """Return the exit code of an ended command; raise if its session was deleted before."""
        if self.deleted:
            raise SessionEnded("session was deleted")
        assert self.exit_code is not None
        return self.exit_code

    def connect(self, pipes: Pipes, reads: Callable[[], Awaitable[None]]) -> None:
        """Attach the pipes of the started command; ``reads`` waits until its input may be closed."""
        self.started = True
        self._reads = reads
        self.pipe_readers = [
            PipeReader(fd, self.output, channel, self._closed)
            for fd, channel in ((pipes.stdout, Channel.STDOUT), (pipes.stderr, Channel.STDERR))
        ]
        if pipes.stdin is not None:
            self._pipe_writer = PipeWriter(pipes.stdin)
            if self._early or self._end_early:
                self._flush = asyncio.create_task(self._write_early(self._pipe_writer), name="session input")

    def end(self, code: int) -> None:
        """Record the exit code; processes it left in the background may still write to its log."""
        if self.ended:
            return
        self.exit_code = code
        if self._flush is not None:
            self._flush.cancel()
        if self._pipe_writer is not None:
            self._pipe_writer.close()
        self.ending.set_result(None)
        self.output.wake()
        self._closed(None)

    def cut(self) -> None:
        """Read what is in the pipes and close them; processes left in the background get SIGPIPE."""
        for pipe_reader in self.pipe_readers:
            pipe_reader.catch_up()
            pipe_reader.close()

    def abandon(self) -> None:
        """Discard further output; processes left in the background can still write."""
        for pipe_reader in self.pipe_readers:
            pipe_reader.discard()
        self.output.finish()
        self.finished.set()

    def drop_io(self) -> None:
        """Drop what only a running command needs: a session keeps thousands of ended ones."""
        self.pipe_readers = []
        self._pipe_writer = self._flush = self.entry = None
        self._reads = _at_once

    def _closed(self, _: PipeReader | None) -> None:
        if self.ended and all(pipe_reader.closed for pipe_reader in self.pipe_readers):
            self.output.finish()
            self.finished.set()

    async def write(self, data: bytes, *, eof: bool = False) -> None:
        """Write to standard input, and close it with ``eof``; raise if the command has no open input."""
        self.require_running()
        if not self.background:
            raise Conflict("command has no input: only one that was started with runAsync reads any")
        if self._pipe_writer is None or (self._flush is not None and not self._flush.done()):
            self._keep_early(data, eof=eof)
            return
        await self._write(self._pipe_writer, data, eof=eof)

    async def _write(self, pipe_writer: PipeWriter, data: bytes, *, eof: bool) -> None:
        try:
            async with asyncio.timeout(INPUT_SECONDS):
                await pipe_writer.write(data)
        except TimeoutError:
            raise InternalError(f"command did not read its input within {INPUT_SECONDS:.0f} s") from None
        except BrokenPipeError:
            raise Conflict("input of the command has ended already") from None
        self._show(data)
        if eof:
            await self._reads()
            pipe_writer.close()

    def _keep_early(self, data: bytes, *, eof: bool) -> None:
        if self._end_early:
            raise Conflict("input of the command has ended already")
        if len(self._early) + len(data) > MAX_WAITING:
            raise BadRequest(f"bad request: command does not run yet, and takes at most {MAX_WAITING} bytes until then")
        self._early += data
        self._end_early = eof

    async def _write_early(self, pipe_writer: PipeWriter) -> None:
        while self._early:
            data, self._early = bytes(self._early), bytearray()
            await pipe_writer.write(data)
            self._show(data)
        if self._end_early:
            await self._reads()
            pipe_writer.close()

    def _show(self, data: bytes) -> None:
        if self._echo:
            self.output.append(data, Channel.STDOUT)


async def _at_once() -> None:
    """Return at once."""
