"""One process from its start to the end of its output, or to its deadline."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from toolbox.host.child import ExitStatus, Process
from toolbox.host.exit_report import ExitReporter
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport, Usage
from toolbox.runs.registry import TIMED_OUT, Cause, Entry, Reason

# How long an answer waits for a killed tree to be gone, beyond the grace it was given.
KILL_PATIENCE = 0.15


class Ending(NamedTuple):
    """How a process ended."""

    code: int
    signal: str | None
    reason: Reason
    cause: Cause | None = None
    usage: Usage | None = None

    def note(self, entry: Entry) -> None:
        """Finish an entry with it."""
        entry.finish(self.code, self.signal, self.reason, cause=self.cause, usage=self.usage)


class Job:
    """Wait for a process, kill it at its deadline, and collect the rest of what it wrote."""

    def __init__(
        self, process: Process, exit_reporter: ExitReporter, *, deadline: float | None = None, grace: float = 0.0
    ) -> None:
        self.process = process
        self._exit_reporter = exit_reporter
        self._deadline = deadline
        self._grace = grace
        self._aborted = False

    async def end(self) -> Ending:
        """Wait until it has ended, and return with its output complete."""
        try:
            async with asyncio.timeout_at(self._deadline):
                await self.process.wait()
        except TimeoutError:
            await self._expire()
            report = await self._exit_reporter.report(self.process)
            return Ending(TIMED_OUT, None, Reason.TIMED_OUT, usage=report.usage)
        status = await self.process.settle()
        report = await self._exit_reporter.report(self.process)
        reason = Reason.EXITED if status.signal is None else Reason.SIGNALED
        if self._aborted:
            reason = Reason.STOPPED
        return Ending(status.code, status.signal_name, reason, _cause(status, report), report.usage)

    async def survivors(self) -> list[Survivor]:
        """Describe what it left running in the background."""
        return await self._exit_reporter.survivors(self.process.pid)

    async def abort(self, grace: float = 0.0) -> None:
        """End it because the daemon ends."""
        self._aborted = self.process.running
        await self.process.terminate(grace)

    async def kill(self) -> None:
        """Kill it and everything below it."""
        await self.process.terminate()

    async def _expire(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace + KILL_PATIENCE):
                await self.process.terminate(self._grace)
        for pipe_reader in self.process.pipe_readers:
            pipe_reader.catch_up()


def _cause(status: ExitStatus, report: ExitReport) -> Cause | None:
    if status.code and report.out_of_memory:
        return Cause.OUT_OF_MEMORY
    if status.code and report.out_of_pids:
        return Cause.PID_LIMIT
    return None
