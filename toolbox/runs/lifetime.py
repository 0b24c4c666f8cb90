"""One child from its start to its end, with everything that belongs to it; ``supervised`` decides when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from toolbox.host.child import ExitStatus, Process
from toolbox.host.launch import PIPE, Launch
from toolbox.host.output_log import Retention
from toolbox.host.procs import Procs

log = logging.getLogger(__name__)

T = TypeVar("T")

# How much of the end of the child's output is kept.
STDERR_TAIL = 64 * 1024
# A child that closes its channel instead of answering is about to exit; its own status says more than our SIGKILL.
_EXIT_SECONDS = 1.0

# Why a child ended, beside the reasons that callers of ``end`` give.
FAILED, CRASHED, EXITED = "start failed", "crashed", "exited"
FAULTS = (FAILED, CRASHED, EXITED)


class Started:
    """A child that was just spawned, as its ready handshake sees it."""

    def __init__(self, child: Process, control: socket.socket | None, resources: contextlib.AsyncExitStack) -> None:
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
        self.task: asyncio.Task[None]
        # The end of what the child wrote to stderr, once it has ended.
        self.stderr = ""
        self._loop = loop
        self._begun = loop.time()
        self._child: Process | None = None
        self._control: socket.socket | None = None
        self._exited: asyncio.Future[ExitStatus] = loop.create_future()
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
    def ending(self) -> bool:
        """Tell whether the child has exited or is to end."""
        return self.stop.done() or self.status is not None

    @property
    def state(self) -> str:
        """Return starting, ready or ending."""
        return "ending" if self.ending else "ready" if self.ready.done() else "starting"

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
                self._resources.callback(self._control.close)
                self._control.setblocking(False)
                fd = theirs.enter_context(other).fileno()
            launch = make(fd)
            if launch.stderr is None and not launch.merge:
                launch = msgspec.structs.replace(launch, stderr=PIPE)
            self._child = await procs.launch(launch, retention=Retention(head=0, tail=STDERR_TAIL))
        self._exited = asyncio.create_task(self._child.wait(), name="wait for a supervised child")
        self._resources.callback(self._exited.cancel)

    async def handshake(self, ready: Ready[T]) -> None:
        """Wait for the handshake, at most until the child exits or is to end; raise what the handshake raises."""
        assert self._child is not None
        shaking = asyncio.ensure_future(ready(Started(self._child, self._control, self._resources)))
        try:
            await self.over(shaking)
            if shaking.done():
                self.ready.set_result(shaking.result())
        except (EOFError, ConnectionError):
            await asyncio.wait([self._exited], timeout=_EXIT_SECONDS)
            raise
        finally:
            shaking.cancel()
            await asyncio.gather(shaking, return_exceptions=True)

    async def over(self, *others: asyncio.Future[Any]) -> None:
        """Wait until the child has exited or is to end, or one of ``others`` is done."""
        ends: list[asyncio.Future[Any]] = [self._exited, self.stop, *others]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    async def close(self, grace: float) -> None:
        """End the child and release what belongs to it."""
        try:
            await self._resources.aclose()
        except Exception:
            log.exception("supervised child was not closed properly: pid %s", self.pid)
        if self._child is not None:
            await self._child.terminate(grace)
            self._child.catch_up()
            self._child.release()
            self.stderr = b"".join([each.data async for each in self._child.output.chunks()]).decode(errors="replace")
            await self._child.output.close()
