"""One child from its start to its end, with everything that belongs to it; ``supervised`` decides when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import msgspec

from toolbox.host.child import Child, ExitStatus
from toolbox.host.launch import Launch
from toolbox.host.procs import Procs

log = logging.getLogger(__name__)

T = TypeVar("T")

# How much of the end of the child's stderr is kept.
STDERR_TAIL = 64 * 1024
# A child that closes its channel instead of answering is about to exit; its own status says more than our SIGKILL.
_EXIT_SECONDS = 1.0

# Why a child ended, beside the reasons that callers of ``end`` give.
FAILED, CRASHED, EXITED = "start failed", "crashed", "exited"
IDLE, MEMORY, STOPPED, CLOSED = "idle", "memory is short", "stopped", "closed"
FAULTS = (FAILED, CRASHED, EXITED)


class Started:
    """A child that was just spawned, as its ready handshake sees it."""

    def __init__(self, child: Child, control: socket.socket | None, resources: contextlib.AsyncExitStack) -> None:
        self.child = child
        self._control = control
        self._resources = resources

    @property
    def control(self) -> socket.socket:
        """Return our end of the control channel, non-blocking; it is closed with the child."""
        assert self._control is not None, "the child was made without a control channel"
        return self._control

    def on_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call ``close`` before the child is terminated, or after it has exited; it must return in bounded time."""
        self._resources.push_async_callback(close)


Ready = Callable[[Started], Awaitable[T]]


class Lifetime(Generic[T]):
    """One child from its start to its end, with everything that belongs to it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[T] = loop.create_future()
        # Why the child shall end, and whether a cool-down follows.
        self.stop: asyncio.Future[tuple[str, bool]] = loop.create_future()
        self.ended = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._loop = loop
        self._begun = loop.time()
        self._child: Child | None = None
        self._control: socket.socket | None = None
        self._tail: StderrTail | None = None
        self._exited: asyncio.Task[ExitStatus] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._resources = contextlib.AsyncExitStack()

    @property
    def age(self) -> float:
        """Return the seconds since the start."""
        return self._loop.time() - self._begun

    @property
    def pid(self) -> int | None:
        """Return the process id, None before there is a process."""
        return None if self._child is None else self._child.pid

    @property
    def status(self) -> ExitStatus | None:
        """Return the exit status, None while the child runs or was never spawned."""
        return None if self._child is None else self._child.status

    @property
    def stderr(self) -> str:
        """Return the end of what the child wrote to stderr."""
        return "" if self._tail is None else self._tail.text

    @property
    def ending(self) -> bool:
        """Tell whether the child has exited or is to end."""
        return self.stop.done() or self.status is not None

    @property
    def usable(self) -> bool:
        """Tell whether the handshake is done and the child is not ending."""
        return self.ready.done() and not self.ending

    @property
    def state(self) -> str:
        """Return starting, ready or ending."""
        return "ending" if self.ending else "ready" if self.usable else "starting"

    @property
    def reason(self) -> tuple[str, bool]:
        """Return why the child ended, and whether a cool-down follows."""
        if self.stop.done():
            return self.stop.result()
        if not self.ready.done():
            return FAILED, True
        return (EXITED if self.status is not None and self.status.code == 0 else CRASHED), False

    async def spawn(self, procs: Procs, make: Callable[[int], Launch], control: socket.SocketKind | None) -> None:
        """Start the process.

        Not cancelled by a deadline: the spawning thread could still use descriptors that are closed here.
        """
        with contextlib.ExitStack() as theirs:
            fd = -1
            if control is not None:
                self._control, other = socket.socketpair(socket.AF_UNIX, control)
                self._control.setblocking(False)
                fd = theirs.enter_context(other).fileno()
            launch = make(fd)
            if launch.stderr is None and not launch.merge:
                self._tail, fd = StderrTail.open()
                theirs.callback(os.close, fd)
                launch = msgspec.structs.replace(launch, stderr=fd)
            self._child = await procs.spawn_raw(launch)
        self._exited = asyncio.create_task(self._child.wait(), name="wait for a supervised child")

    async def handshake(self, ready: Ready[T]) -> None:
        """Wait for the handshake, at most until the child exits or is to end; raise what the handshake raises."""
        assert self._child is not None
        assert self._exited is not None
        shaking = asyncio.ensure_future(ready(Started(self._child, self._control, self._resources)))
        try:
            await self._first(shaking)
            if shaking.done():
                self.ready.set_result(shaking.result())
        except (EOFError, ConnectionError):
            await asyncio.wait([self._exited], timeout=_EXIT_SECONDS)
            raise
        finally:
            shaking.cancel()
            await asyncio.gather(shaking, return_exceptions=True)

    async def over(self) -> None:
        """Wait until the child has exited or is to end."""
        await self._first()

    async def _first(self, *others: asyncio.Future[Any]) -> None:
        assert self._exited is not None
        ends: list[asyncio.Future[Any]] = [self._exited, self.stop, *others]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run a task until the end of the child."""
        self._tasks.append(asyncio.create_task(work, name=name))

    def fail(self, error: Exception) -> None:
        """Tell those who wait for the start that it failed."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # there may be no one who waits

    async def close(self, grace: float) -> None:
        """End the child and release what belongs to it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._resources.aclose()
        except Exception:
            log.exception("supervised child was not closed properly: pid %s", self.pid)
        if self._child is not None:
            await self._child.terminate(grace)
        if self._exited is not None:
            self._exited.cancel()
        if self._control is not None:
            self._control.close()
        if self._tail is not None:
            self._tail.close()


class StderrTail:
    """Read the stderr of a child, so that it never blocks on it, and keep the end; own the descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._kept = bytearray()
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    @classmethod
    def open(cls) -> tuple[StderrTail, int]:
        """Return a reader, and the descriptor for the child."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        return cls(ours), theirs

    @property
    def text(self) -> str:
        """Return what is kept."""
        return self._kept[-STDERR_TAIL:].decode(errors="replace")

    def close(self) -> None:
        """Read what is in the pipe and close it; a descendant of the child may still hold the other end."""
        if self._fd >= 0:
            self._read()
        self._close()

    def _read(self) -> int:
        try:
            data = os.read(self._fd, STDERR_TAIL)
        except BlockingIOError:
            return 0
        self._kept += data
        if len(self._kept) > 2 * STDERR_TAIL:
            del self._kept[:-STDERR_TAIL]
        if not data:
            self._close()
        return len(data)

    def _close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
