"""The shell of a session: run commands in it, one after the other, and read their exit statuses."""

from __future__ import annotations

import asyncio
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from toolbox.host.child import Child, ExitStatus
from toolbox.host.exit_report import Counters, shell_counters
from toolbox.host.launch import Launch
from toolbox.host.pipes import drained
from toolbox.host.shells import Shell
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions import driver
from toolbox.process.sessions.command import Pipes, SessionCommand
from toolbox.runs.context import ProcessContext

_OPENED_TRIES, _OPENED_SECONDS = 500, 0.01
_TICKS = os.sysconf("SC_CLK_TCK")


class _ControlPipes(NamedTuple):
    """Control pipes: ``run`` starts the next command, ``exit_status`` returns how it ended."""

    run: int
    exit_status: int


class SessionShell:
    """A shell that reads commands from a folder of its own."""

    def __init__(
        self, shell: Shell, child: Child, folder: pathlib.Path, pipes: _ControlPipes, workers: WorkerPool
    ) -> None:
        self.child = child
        self._shell = shell
        self._folder = folder
        self._control = pipes
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._ready = False
        # Resource counters before the current or last command.
        self.counters = Counters(0.0)

    @classmethod
    async def start(
        cls, context: ProcessContext, shell: Shell, folder: pathlib.Path, workers: WorkerPool, cwd: str
    ) -> SessionShell:
        """Start a shell; ``folder`` exists and is used by nothing else. The limits hold for all commands together."""
        pipes = await workers.run(_open_control_pipes, folder)
        try:
            launch = Launch(
                driver.arguments(shell, folder),
                env=context.environment.merged(),
                cwd=cwd,
                executable=shell.path,
                limits=context.limits,
            )
            child = await context.procs.spawn_raw(launch)
        except BaseException:
            _close_all(pipes)
            raise
        return cls(shell, child, folder, pipes, workers)

    async def run(self, command: SessionCommand, record: Callable[[], None]) -> ExitStatus:
        """Run a command to its end; return its exit status, or that of the shell if the command ended it."""
        text = driver.script(self._shell, command.text.encode("utf-8", "surrogateescape"))
        pipes = await self._workers.run(self._prepare, text, command.background, record)
        command.since = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)
        command.connect(pipes, functools.partial(self._reads, command))
        try:
            # The loop first reports a status when the shell has started, before any command.
            self._ready = self._ready or await self._report() is not None
            os.write(self._control.run, b"\n")
            code = await self._report()
        finally:
            _close_all((pipes.spare_out, pipes.spare_err))
        await drained(command.pipe_readers, self._loop.time())
        return await self.child.wait() if code is None else ExitStatus(code)

    def _prepare(self, script: bytes, interactive: bool, record: Callable[[], None]) -> Pipes:
        """Write the script, create the pipes and read the counters before a command; blocks."""
        record()
        pipes = _create_pipes(self._folder, script, interactive)
        self.counters = shell_counters(self.child)
        return pipes

    async def _report(self) -> int | None:
        """Wait for the shell to report a status; None if it exits instead."""
        exited: asyncio.Future[ExitStatus] = asyncio.ensure_future(self.child.wait())
        done: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._control.exit_status, _take, self._control.exit_status, done)
        try:
            await asyncio.wait((exited, done), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._loop.remove_reader(self._control.exit_status)
            exited.cancel()
        return done.result() if done.done() else None

    async def _reads(self, command: SessionCommand) -> None:
        """Return once the shell has opened the command's input: if the pipe were closed before, the open would block.

        The kernel has no event for the opening of a named pipe, so this polls ``/proc``. It is called only to end an
        input, and true within a millisecond.
        """
        for _ in range(_OPENED_TRIES):
            # A short command may open and close its input between two polls.
            if command.ended or await self._workers.run(_has_open, self.child.pid, self._folder / driver.STDIN):
                return
            await asyncio.sleep(_OPENED_SECONDS)

    def close(self) -> None:
        """Close the control pipes, after the shell has exited."""
        _close_all(self._control)


def _open_control_pipes(folder: pathlib.Path) -> _ControlPipes:
    descriptors = []
    for name in (driver.RUN, driver.EXIT_STATUS):
        os.mkfifo(folder / name, 0o600)
        # Read-write: the open never blocks, and the shell sees no end of file while the daemon runs.
        descriptors.append(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    return _ControlPipes(*descriptors)


def _create_pipes(folder: pathlib.Path, script: bytes, interactive: bool) -> Pipes:
    """Write the script and create the pipes of a command, replacing the previous ones; blocks."""
    _fresh(folder, driver.SCRIPT).write_bytes(script)
    fds: list[int] = []
    try:
        streams = (driver.STDOUT, driver.STDERR)
        fds.extend(_pipe(folder, name, os.O_RDONLY) for name in streams)
        fds.extend(os.open(folder / name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC) for name in streams)
        if interactive:
            # Read-write: input can be written before the shell opens the pipe.
            fds.append(_pipe(folder, driver.STDIN, os.O_RDWR))
        else:
            _fresh(folder, driver.STDIN).symlink_to(os.devnull)
    except BaseException:
        _close_all(fds)
        raise
    return Pipes(*fds)


def _close_all(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _pipe(folder: pathlib.Path, name: str, mode: int) -> int:
    path = _fresh(folder, name)
    os.mkfifo(path, 0o600)
    return os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC)


def _fresh(folder: pathlib.Path, name: str) -> pathlib.Path:
    path = folder / name
    path.unlink(missing_ok=True)
    return path


def _has_open(pid: int, path: pathlib.Path) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/fd/0").readlink() == path
    except OSError:
        return False


def _take(fd: int, done: asyncio.Future[int]) -> None:
    """Read a status; text that is not a status was written by a program of the user and counts as failure."""
    text = os.read(fd, 4096).strip()
    if not done.done():
        done.set_result(int(text) if text.isdigit() and len(text) <= 3 else 1)
