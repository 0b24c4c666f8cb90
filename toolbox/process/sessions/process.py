"""A command of a session as a run sees it: its exit status comes from the shell, which lives on."""

from __future__ import annotations

import signal

from toolbox.host import tree
from toolbox.host.child import ExitStatus
from toolbox.host.exit_report import ExitReporter
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.shell import SessionShell


class CommandProcess:
    """One command in the shell of a session."""

    def __init__(
        self, shell: SessionShell, command: SessionCommand, reporter: ExitReporter, workers: WorkerPool
    ) -> None:
        self._shell = shell
        self._command = command
        self._reporter = reporter
        self._workers = workers
        self._status: ExitStatus | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the shell: a command may have none of its own."""
        return self._shell.child.pid

    @property
    def running(self) -> bool:
        """Tell whether the command has not ended yet."""
        return self._status is None

    async def wait(self) -> ExitStatus:
        """Run the command, once, to its end."""
        if self._status is None:
            self._status = await self._shell.run(self._command)
        return self._status

    async def settle(self) -> ExitStatus:
        """Return the status: the shell waits for the rest of the output too."""
        return await self.wait()

    async def report(self) -> ExitReport:
        """Return what the command used and was denied."""
        code = 0 if self._status is None else self._status.code
        return await self._reporter.report_since(self._shell.child, self._shell.counters, code)

    async def survivors(self) -> list[Survivor]:
        """Describe what runs of a session whose shell has ended."""
        return await self._shell.child.survivors()

    async def terminate(self, grace: float = 0.0) -> None:
        """Kill what the command started; the shell reports its end."""
        del grace
        await self._workers.run(tree.signal_below, self.pid, signal.SIGKILL, self._command.since)

    def catch_up(self) -> None:
        """Read what it has written so far."""
        for pipe_reader in self._command.pipe_readers:
            pipe_reader.catch_up()

    def release(self) -> None:
        """Do nothing: what a command left in the background goes on writing to its log."""
