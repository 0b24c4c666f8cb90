"""A child process: exit status, signals, termination of its whole tree, output."""

from __future__ import annotations

import asyncio
import operator
import os
import secrets
import signal
import time
from typing import TYPE_CHECKING

import msgspec

from toolbox.host.cgroups import Cgroup
from toolbox.host.output_log import OutputLog
from toolbox.host.pipes import PipeReader, PipeWriter, drained
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport, Usage

if TYPE_CHECKING:
    from toolbox.host.procs import Procs

# The exit code of a process killed by SIGKILL, and of a shell whose child was.
KILLED_CODE = 128 + signal.SIGKILL


class ExitStatus(msgspec.Struct, frozen=True):
    """Exit code as a shell reports it (128 + n for signal n), and the signal if one ended the process."""

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
    """Exit status and capped output of a program that was run to its end."""

    status: ExitStatus
    stdout: bytes
    stderr: bytes
    truncated: bool


class Child:
    """A spawned process that leads a session; ``Procs`` collects its exit status and calls ``reaped``."""

    def __init__(self, pid: int, pidfd: int | None, procs: Procs, stdin: int | None = None) -> None:
        self.pid = pid
        self.id = secrets.token_hex(16)
        self.started = time.time()
        self.ended = 0.0
        self.status: ExitStatus | None = None
        self.usage: Usage | None = None
        self.group: Cgroup | None = None
        self.stdin = None if stdin is None else PipeWriter(stdin)
        self._pidfd = pidfd
        self._procs = procs
        self._exit = asyncio.Event()

    @property
    def running(self) -> bool:
        """Tell whether the process has not been reaped yet."""
        return self.status is None

    async def wait(self) -> ExitStatus:
        """Wait for the exit of the process itself; background processes it left do not count."""
        await self._exit.wait()
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> bool:
        """Send a signal to the process alone; False if it has ended."""
        return self._send(number, group=False)

    def signal_group(self, number: int) -> bool:
        """Send a signal to the process group; False if the process has ended."""
        return self._send(number, group=True)

    async def terminate(self, grace: float = 0.0) -> None:
        """End the whole tree: SIGTERM, up to ``grace`` seconds, SIGKILL; return once all of it has ended."""
        await self._procs.end(self, grace)

    async def report(self) -> ExitReport:
        """Return what the process used and was denied; it has ended, and its cgroup may be removed after this."""
        # The report of an ordinary exit is the usage that was collected with it.
        if self.group is None and self.status is not None and self.status.code != KILLED_CODE:
            return ExitReport(self.usage)
        return await self._procs.exit_reporter.report(self)

    async def survivors(self) -> list[Survivor]:
        """Describe the background processes that the ended process left running."""
        return await self._procs.exit_reporter.survivors(self.pid)

    def reaped(self, status: ExitStatus, usage: Usage | None) -> None:
        """Set the exit status and wake waiters; called by ``Procs`` only."""
        self.status = status
        self.usage = usage
        self.ended = time.time()
        self._pidfd = None
        if self.stdin is not None:
            self.stdin.close()
        self._exit.set()

    def _send(self, number: int, *, group: bool) -> bool:
        # A pid is reusable only once it is reaped. That happens on the loop, where this runs too, so there is no race.
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


_closed = operator.attrgetter("closed")


class Process(Child):
    """A child whose output is recorded."""

    def __init__(self, pid: int, pidfd: int | None, procs: Procs, output: OutputLog, stdin: int | None = None) -> None:
        super().__init__(pid, pidfd, procs, stdin)
        self.output = output
        self.pipe_readers: list[PipeReader] = []

    @property
    def writers_left(self) -> bool:
        """Tell whether any process still holds a write end of an output pipe."""
        return not all(map(_closed, self.pipe_readers))

    async def settle(self, quiet: float = 0.25, cap: float = 1.0) -> ExitStatus:
        """Wait for the exit, then for the rest of the output.

        A background child may keep the pipe open for ever, so reading ends ``quiet`` seconds after the last byte and at
        most ``cap`` seconds after the exit.
        """
        await self._exit.wait()
        if self.writers_left:
            await drained(self.pipe_readers, asyncio.get_running_loop().time(), quiet, cap)
        assert self.status is not None
        return self.status

    def catch_up(self) -> None:
        """Read what the output pipes contain now."""
        for pipe_reader in self.pipe_readers:
            pipe_reader.catch_up()

    def release(self) -> None:
        """Stop recording output. Background processes are not affected: what they write is read and discarded."""
        for pipe_reader in self.pipe_readers:
            if not pipe_reader.closed:
                pipe_reader.discard()
