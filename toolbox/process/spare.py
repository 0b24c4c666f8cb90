"""A shell that has started already, for a command that would start the very same one.

It has the arguments, variables, directory and pipes that the next command's shell would have; only its script comes
through a pipe instead of a file. Whatever would start anything else starts a shell of its own (ADR 32).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from toolbox.errors import Unavailable
from toolbox.host.child import Process
from toolbox.host.shells import Shell
from toolbox.host.syscalls import mount_known, stat_known

# A longer script might not fit into the pipe at once.
SCRIPT_BYTES = 32 * 1024
# How long a shell whose input has ended may take to notice.
END_SECONDS = 1.0
# The loop stands still while a shell starts. If two in a row have taken this long the processors are busy, and for a
# while the loop is not held up again.
SLOW_START = 0.005
PAUSE = 1.0
# With these a shell that started earlier is another one: it has read a file, or counts from a number.
_STARTING = ("BASH_ENV", "SECONDS")

Mark = tuple[int, ...]


class Place(msgspec.Struct, frozen=True):
    """What a shell starts with."""

    shell: Shell
    env: Mapping[str, str]
    cwd: str

    @property
    def predictable(self) -> bool:
        """Tell whether it makes no difference when the shell starts."""
        return self.shell.kind == "bash" and not any(name in self.env for name in _STARTING)

    def mark(self) -> Mark | None:
        """Return what tells the directory from another of the same name; None if to look would take time."""
        found = stat_known(self.cwd)
        if found is None:
            return None
        return (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid)


class _Waiting(NamedTuple):
    place: Place
    mark: Mark
    process: Process


class Spare:
    """Keep one shell ready while commands come to the same place, ``idle`` seconds after the last; 0 keeps none.

    ``start`` starts, at once, a shell that reads its script from a pipe and records its output as a usual command's.
    It only waits on the mount of ``base``: anything else somebody may want to unmount between two commands.
    """

    def __init__(self, start: Callable[[Place], Process], *, idle: float, base: str) -> None:
        self._start = start
        self._idle = idle
        self._base = base
        # The last directory that was found to be on the mount of the base.
        self._near: tuple[str, Mark] | None = None
        self._last: Place | None = None
        self._waiting: _Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._slow_starts = 0
        self._not_before = 0.0
        self._closed = False

    async def take(self, place: Place, script: bytes, *, another: bool) -> Process | None:
        """Run a script in the shell that waits, if it is the one that would be started now.

        With ``another`` the next one may be started, for which the loop stands still for about a millisecond.
        """
        if self._closed or not self._idle or not place.predictable:
            return None
        # One command alone is no reason to start a shell, nor are two that take turns in two directories.
        again, self._last = place == self._last, place
        mark = place.mark()
        process = await self._hand_over(place, mark, script)
        if again and another and mark is not None:
            # After the command itself has been started.
            asyncio.get_running_loop().call_soon(self._prepare, place, mark)
        return process

    async def close(self) -> None:
        """End the shell that waits."""
        self._closed = True
        self._retire()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _hand_over(self, place: Place, mark: Mark | None, script: bytes) -> Process | None:
        waiting = self._waiting
        if waiting is None or waiting.place != place or len(script) > SCRIPT_BYTES:
            return None
        if waiting.mark != mark:
            self._retire()
            return None
        self._waiting, process = None, waiting.process
        assert process.stdin is not None
        try:
            await process.stdin.write(script)
        except BaseException as error:
            self._end(process)
            if isinstance(error, BrokenPipeError):  # somebody killed it
                return None
            raise
        process.stdin.close()
        process.stdin = None
        process.started = time.time()
        return process

    def _prepare(self, place: Place, mark: Mark) -> None:
        """See to it that a shell waits for the next command."""
        if self._closed or not self._is_near(place, mark):
            return
        loop = asyncio.get_running_loop()
        if self._waiting is None or self._waiting.place != place:
            self._retire()
            began = loop.time()
            if began < self._not_before:
                return
            try:
                self._waiting = _Waiting(place, mark, self._start(place))
            except (OSError, Unavailable):  # the next command will meet the same, and tell
                return
            self._slow_starts = self._slow_starts + 1 if loop.time() - began > SLOW_START else 0
            if self._slow_starts > 1:
                self._not_before = loop.time() + PAUSE
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(self._idle, self._retire)

    def _is_near(self, place: Place, mark: Mark) -> bool:
        if (place.cwd, mark) != self._near:
            mount = mount_known(place.cwd)
            if mount is None or mount != mount_known(self._base):
                return False
            self._near = (place.cwd, mark)
        return True

    def _retire(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._end(waiting.process)

    def _end(self, process: Process) -> None:
        task = asyncio.create_task(_ended(process), name="spare shell")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _ended(process: Process) -> None:
    """End a shell that nobody took: its script is empty."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        await process.terminate()
    process.release()
    await process.output.close()
