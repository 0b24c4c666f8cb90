"""A session command as the process of a run: its exit status comes from the shell, which keeps running."""

from __future__ import annotations

import signal
from collections.abc import Callable

from toolbox.host import tree
from toolbox.host.child import ExitStatus
from toolbox.host.exit_report import ExitReporter
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.shell import SessionShell


class CommandProcess:
    """One command in the shell of a session; ``record``, which blocks, writes it down before it runs."""

    def __init__(
        self,
        shell: SessionShell,
        command: SessionCommand,
        record: Callable[[], None],
        reporter: ExitReporter,
        workers: WorkerPool,
    ) -> None:
        self._shell = shell
        self._command = command
        self._record = record
        self._reporter = reporter
        self._workers = workers
        self._status: ExitStatus | None = None
        self._before = shell.counters

    @property
    def running(self) -> bool:
        """Tell whether the command has not ended."""
        return self._status is None

    async def settle(self) -> ExitStatus:
        """Run the command to the end of its output.

        Its requests are answered then; the registry records the end a moment later, with what the command used.
        """
        self._status = status = await self._shell.run(self._command, self._record)
        self._before = self._shell.counters
        self._command.end(status.code)
        return status

    async def report(self) -> ExitReport:
        """Return the resource usage of the command and the limits it hit."""
        code = 0 if self._status is None else self._status.code
        return await self._reporter.report_since(self._shell.child, self._before, code)

    async def survivors(self) -> list[Survivor]:
        """Describe processes of a session that outlive its shell."""
        return await self._shell.child.survivors()

    async def terminate(self, grace: float = 0.0) -> None:
        """Kill the processes of the command; the shell then reports the exit status."""
        del grace
        await self._workers.run(tree.signal_below, self._shell.child.pid, signal.SIGKILL, self._command.since)

    def catch_up(self) -> None:
        """Read the output that is in the pipes."""
        for pipe_reader in self._command.pipe_readers:
            pipe_reader.catch_up()

    def release(self) -> None:
        """Do nothing: processes left in the background may still write to the log."""
