"""A process of ours: its exit, its signals, its end together with everything below it, and its output."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable

import msgspec

from toolbox.host.cgroups import Group
from toolbox.host.output_log import OutputLog
from toolbox.host.pipes import PipeReader, PipeWriter, drained
from toolbox.host.usage import Usage


class ExitStatus(msgspec.Struct, frozen=True):
    """How a process ended: ``code`` as a shell reports it (128 + n for signal n), and the signal if there was one."""

    code: int
    signal: int | None = None

    @classmethod
    def of(cls, wait_status: int) -> ExitStatus:
        """Read a status as ``waitpid`` returns it."""
        code = os.waitstatus_to_exitcode(wait_status)
        return cls(128 - code, -code) if code < 0 else cls(code)

    @property
    def signal_name(self) -> str | None:
        """Return for example SIGKILL."""
        if self.signal is None:
            return None
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


class Completed(msgspec.Struct, frozen=True):
    """What a short-lived program left: its exit and its output, capped."""

    status: ExitStatus
    stdout: bytes
    stderr: bytes
    truncated: bool


EndTree = Callable[["Child", float], Awaitable[None]]


class Child:
    """A spawned process that leads a session; the host reports its exit to it."""

    def __init__(self, pid: int, pidfd: int | None, end_tree: EndTree, pipe_writer: PipeWriter | None = None) -> None:
        self.pid = pid
        self.id = secrets.token_hex(16)
        self.started = time.time()
        self.ended = 0.0
        self.status: ExitStatus | None = None
        self.usage: Usage | None = None
        self.group: Group | None = None
        self.stdin = pipe_writer
        self._pidfd = pidfd
        self._end_tree = end_tree
        self._exit = asyncio.Event()

    @property
    def running(self) -> bool:
        """Tell whether the process has not ended yet."""
        return self.status is None

    async def wait(self) -> ExitStatus:
        """Wait for the process itself; what it left in the background does not count."""
        await self._exit.wait()
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> bool:
        """Send a signal to the process alone; False if it has ended."""
        return self._send(number, group=False)

    def signal_group(self, number: int) -> bool:
        """Send a signal to the process and whatever is in its process group; False if it has ended."""
        return self._send(number, group=True)

    async def terminate(self, grace: float = 0.0) -> None:
        """End the whole tree: SIGTERM, up to ``grace`` seconds, SIGKILL; return once nothing of it runs."""
        await self._end_tree(self, grace)

    def reaped(self, status: ExitStatus, usage: Usage | None) -> None:
        """Take note of the exit; for the host only."""
        self.status = status
        self.usage = usage
        self.ended = time.time()
        self._pidfd = None
        if self.stdin is not None:
            self.stdin.close()
        self._exit.set()

    def _send(self, number: int, *, group: bool) -> bool:
        # The status is collected on the loop, so while we are here the number cannot be somebody else's.
        if not self.running:
            return False
        try:
            if group:
                os.killpg(self.pid, number)
            elif self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class Process(Child):
    """A child whose output is recorded."""

    def __init__(
        self, pid: int, pidfd: int | None, end_tree: EndTree, output: OutputLog, pipe_writer: PipeWriter | None = None
    ) -> None:
        super().__init__(pid, pidfd, end_tree, pipe_writer)
        self.output = output
        self.pipe_readers: list[PipeReader] = []

    @property
    def writers_left(self) -> bool:
        """Tell whether anything still holds an output pipe."""
        return any(not pipe_reader.closed for pipe_reader in self.pipe_readers)

    async def settle(self, quiet: float = 0.25, cap: float = 1.0) -> ExitStatus:
        """Wait for the exit and for the rest of the output.

        A background child may hold the pipe for ever, so with the process gone ``quiet`` seconds of silence, or
        ``cap`` seconds in all, are enough.
        """
        status = await self.wait()
        await drained(self.pipe_readers, asyncio.get_running_loop().time(), quiet, cap)
        return status

    def release(self) -> None:
        """Give up the output: what is left in the background may go on writing, it goes nowhere."""
        for pipe_reader in self.pipe_readers:
            pipe_reader.discard()
