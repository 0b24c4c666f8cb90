"""The shell of a session: give it one command after the other, and learn how each ended."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pathlib
import time
from collections.abc import Mapping

from toolbox.host.child import Child
from toolbox.host.lanes import Lane
from toolbox.host.launch import Launch
from toolbox.host.pipes import drained
from toolbox.host.procs import Procs
from toolbox.host.shells import Shell
from toolbox.process.session import driver
from toolbox.process.session.command import Pipes, SessionCommand

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True)
class _Wires:
    """The descriptors on which we give the word and learn the status."""

    go: int
    done: int


class SessionShell:
    """A shell that waits for commands in a folder of its own."""

    def __init__(self, shell: Shell, child: Child, folder: pathlib.Path, wires: _Wires, lane: Lane) -> None:
        self.child = child
        self._shell = shell
        self._folder = folder
        self._wires = wires
        self._lane = lane
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def start(
        cls, procs: Procs, shell: Shell, folder: pathlib.Path, lane: Lane, *, env: Mapping[str, str], cwd: str
    ) -> SessionShell:
        """Start a shell; ``folder`` exists and is ours alone."""
        wires = await lane.run(_open_wires, folder)
        try:
            launch = Launch(driver.arguments(shell, folder), env=env, cwd=cwd, executable=shell.path)
            child = await procs.spawn_raw(launch)
        except BaseException:
            _close(wires)
            raise
        return cls(shell, child, folder, wires, lane)

    async def run(self, command: SessionCommand) -> int:
        """Run a command to its end; return its exit code, which is the shell's if that ended with it."""
        script = driver.script(self._shell, command.text.encode("utf-8", "surrogateescape"))
        pipes = await self._lane.run(_prepare, self._folder, script, command.background)
        command.since = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)
        command.connect(pipes)
        exited = asyncio.ensure_future(self.child.wait())
        done = self._loop.create_future()
        self._loop.add_reader(self._wires.done, _take, self._wires.done, done)
        try:
            os.write(self._wires.go, b"\n")
            await asyncio.wait([exited, done], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._loop.remove_reader(self._wires.done)
            exited.cancel()
        await drained(command.pumps, self._loop.time())
        if done.done():
            code: int = done.result()
            return code
        return (await self.child.wait()).code

    def close(self) -> None:
        """Close our descriptors; the shell has ended."""
        _close(self._wires)


def _open_wires(folder: pathlib.Path) -> _Wires:
    descriptors = []
    for name in (driver.GO, driver.DONE):
        os.mkfifo(folder / name, 0o600)
        # Open both ways: neither side ever waits for the other, nor sees an end while we are here.
        descriptors.append(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    return _Wires(*descriptors)


def _close(wires: _Wires) -> None:
    os.close(wires.go)
    os.close(wires.done)


def _prepare(folder: pathlib.Path, script: bytes, interactive: bool) -> Pipes:
    """Write the script and make the pipes of a command, in place of the last one's; blocks."""
    _fresh(folder, driver.SCRIPT).write_bytes(script)
    opened = []
    try:
        for name in (driver.STDOUT, driver.STDERR):
            path = _fresh(folder, name)
            os.mkfifo(path, 0o600)
            opened.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        path = _fresh(folder, driver.STDIN)
        if interactive:
            os.mkfifo(path, 0o600)
            opened.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        else:
            path.symlink_to(os.devnull)
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    return Pipes(opened[2] if interactive else None, opened[0], opened[1])


def _fresh(folder: pathlib.Path, name: str) -> pathlib.Path:
    path = folder / name
    path.unlink(missing_ok=True)
    return path


def _take(fd: int, done: asyncio.Future[int]) -> None:
    """Read a status; one that is not a number was written by somebody else and counts as a failure."""
    text = os.read(fd, 4096).strip()
    if not done.done():
        done.set_result(int(text) if text.isdigit() and len(text) <= 3 else 1)
