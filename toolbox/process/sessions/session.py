"""One session: a shell, a queue of commands, and the ended commands."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Coroutine
from typing import Any

from toolbox.errors import ProcessNotFound, SessionEnded, TooManyRequests
from toolbox.host import tree
from toolbox.host.output_log import OutputLog, Retention
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions import wire
from toolbox.process.sessions.archive import Folder
from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.log import HALF, Log
from toolbox.process.sessions.process import CommandProcess
from toolbox.process.sessions.shell import SessionShell
from toolbox.process.sessions.wire import Record
from toolbox.runs.context import ProcessContext
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.registry import Controls, Entry, Kind
from toolbox.runs.run import Run

log = logging.getLogger(__name__)

MAX_QUEUED = 1024
# The oldest ended commands are dropped beyond this number.
MAX_COMMANDS = 10_000
# Exit code of restored commands without a recorded one: they ended with the daemon.
KILLED = 137
FLUSH_SECONDS = 1.0


class Session:
    """Run commands in one shell, one after the other."""

    def __init__(
        self, session_id: str, folder: Folder, context: ProcessContext, workers: WorkerPool, shell: SessionShell | None
    ) -> None:
        self.id = session_id
        self.commands: dict[str, SessionCommand] = {}
        self.folder = folder
        self._context = context
        self._workers = workers
        self._shell = shell
        self._queue: asyncio.Queue[SessionCommand] = asyncio.Queue(MAX_QUEUED)
        self._tasks: set[asyncio.Task[None]] = set()
        if shell is not None:
            self._own(self._live(shell), "session")

    @property
    def restored(self) -> bool:
        """Tell whether the session is from an earlier daemon: it has no shell, only logs."""
        return self._shell is None

    def restore(self, records: list[Record]) -> None:
        """Restore the commands that an earlier daemon recorded; those without an exit code ended with it."""
        for record in records:
            if record.command is None:
                continue
            if record.text is not None:
                command = self.commands[record.command] = SessionCommand(record.text, self._output_log())
                command.id = record.command
                command.log = Log(self.folder.log_path(command.id), self._workers)
            elif record.command in self.commands:
                self.commands[record.command].end(KILLED if record.exit is None else record.exit)
        for command in self.commands.values():
            command.end(KILLED)

    def describe(self) -> wire.Session:
        """Describe the session for the wire."""
        return wire.Session(session_id=self.id, commands=[command.describe() for command in self.commands.values()])

    def command(self, command_id: str) -> SessionCommand:
        """Return one of its commands."""
        try:
            return self.commands[command_id]
        except KeyError:
            raise ProcessNotFound("command not found") from None

    def require_shell(self) -> SessionShell:
        """Return the running shell; raise if it has exited."""
        if self._shell is None or not self._shell.child.running:
            raise SessionEnded("session process has exited")
        return self._shell

    def _output_log(self) -> OutputLog:
        return self._context.spool.output_log(Retention(head=HALF, tail=HALF))

    def submit(self, text: str, *, background: bool, echo: bool) -> SessionCommand:
        """Queue a command."""
        shell = self.require_shell()
        if self._queue.full():
            raise TooManyRequests(f"session has {MAX_QUEUED} commands waiting")
        command = SessionCommand(text, self._output_log(), background=background, echo=echo)
        command.log = Log(self.folder.log_path(command.id), self._workers, command.output, lambda: command.ended)
        command.entry = self._context.registry.add(self._entry(shell, command))
        self.commands[command.id] = command
        self._queue.put_nowait(command)
        self._own(self._keep(command), "session log")
        self._drop_oldest()
        return command

    def _entry(self, shell: SessionShell, command: SessionCommand) -> Entry:
        async def signal(number: int) -> bool:
            return await self.signal(command, number)

        return Entry(
            kind=Kind.EXEC,
            output=command.output,
            owned=False,
            id=command.id,
            pid=shell.child.pid,
            session_id=self.id,
            command=command.text,
            controls=Controls(signal=signal, write=command.write if command.background else None),
        )

    async def signal(self, command: SessionCommand, number: int) -> bool:
        """Signal the processes of a command, not the shell; return False if there are none."""
        if command.ended or not command.started:
            return False
        shell = self.require_shell()
        return await self._workers.run(tree.signal_below, shell.child.pid, number, command.since) > 0

    async def end(self, grace: float, *, background: bool = True, deleted: bool = True) -> None:
        """End the shell and, with ``background``, its process tree; ``deleted`` fails pending requests."""
        for command in self.commands.values():
            command.deleted = deleted and not command.ended
        if self._shell is not None:
            if background:
                await self._shell.child.terminate(grace)
            else:
                self._shell.child.signal(9)
                await self._shell.child.wait()
        for command in self.commands.values():
            (command.cut if background else command.abandon)()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for command in self.commands.values():
            # Followers get the rest of the output first.
            await command.log.unread(FLUSH_SECONDS)
            await command.output.close()

    async def _live(self, shell: SessionShell) -> None:
        """Run the queue until the shell has exited."""
        await self._workers.run(self.folder.record, Record(session=self.id))
        exited = asyncio.ensure_future(shell.child.wait())
        try:
            while not exited.done():
                following = asyncio.ensure_future(self._queue.get())
                await asyncio.wait([following, exited], return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    await self._run(shell, following.result())
                else:
                    following.cancel()
        finally:
            exited.cancel()
            shell.close()
        end = ExitInfo.of(await shell.child.wait(), await shell.child.report())
        while not self._queue.empty():
            never_ran = self._queue.get_nowait()
            never_ran.end(end.code)
            if never_ran.entry is not None:
                never_ran.entry.finish(end._replace(usage=None))
        seconds = round(time.time() - shell.child.started, 3)
        log.info("session ended", extra={"session": self.id, "exit_code": end.code, "seconds": seconds})

    async def _run(self, shell: SessionShell, command: SessionCommand) -> None:
        assert command.entry is not None
        record = functools.partial(self.folder.record, Record(command=command.id, text=command.text))
        process = CommandProcess(shell, command, record, self._context.procs.exit_reporter, self._workers)
        run = Run(command.entry, process)
        run.release()  # the session owns the log
        self._own(run.live(), "session command")
        # The next command starts while the registry still records the end of this one.
        ends: list[asyncio.Future[Any]] = [command.ending, run.ended]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        error = run.ended.exception() if run.ended.done() else None
        if error is not None:
            log.warning("session command failed to run: %s: %s", self.id, error)
            command.output.append(f"command was not run: {error}\n".encode())
            command.end(1)

    async def _keep(self, command: SessionCommand) -> None:
        """Write the log of a command to disk; then release its memory."""
        await command.log.keep(command.finished)
        if command.entry is not None:
            self._context.registry.discard(command.entry)
        command.drop_io()
        await self._workers.run(self.folder.record, Record(command=command.id, exit=command.exit_code))

    def _drop_oldest(self) -> None:
        while len(self.commands) > MAX_COMMANDS:
            oldest = next(iter(self.commands.values()))
            if not oldest.finished.is_set():
                return
            del self.commands[oldest.id]

    def _own(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
