"""One child that the daemon keeps: ready handshake, restart with back-off, cool-down, idle end, close.

For fork servers, kernels, language servers, X servers and the like::

    async def ready(started: Started) -> MessageStream:
        stream = await MessageStream.over_socket(started.control, ContentLength())
        started.on_end(stream.close)
        await handshake(stream)
        return stream  # what start() and use() give to callers

    server = SupervisedChild(
        "language server", procs, lambda fd: Launch(argv, env, cwd, stdin=fd, stdout=fd), ready,
        control=socket.SOCK_STREAM, policy=Policy(idle_seconds=600),
    )
    async with server.use() as stream:  # starts it if needed; not idle while in use
        await stream.send(request)
    await server.close()

A child on request (the default) is started again by the next ``start``; one with ``Policy(restart=True)`` by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import msgspec

from toolbox.errors import Unavailable
from toolbox.host.child import ExitStatus
from toolbox.host.launch import Launch
from toolbox.host.procs import Procs
from toolbox.runs.lifetime import FAILED, FAULTS, Lifetime, Ready, Started

__all__ = ["ChildEnd", "ChildState", "ChildUnavailable", "Policy", "Started", "SupervisedChild"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a child is started, ended and started again; all times in seconds.

    The first exit after ``stable_seconds`` of uptime is followed by a start at once; each further one delays the next
    start by ``backoff_seconds``, doubled every time, at most by ``cool_down_seconds``. The whole cool-down follows a
    start that failed and the end of a child for lack of memory.
    """

    start_seconds: float = 30.0
    grace_seconds: float = 0.0
    idle_seconds: float | None = None
    restart: bool = False
    backoff_seconds: float = 0.5
    cool_down_seconds: float = 60.0
    stable_seconds: float = 30.0


class ChildUnavailable(Unavailable):
    """A child that could not be started, or may not be yet; ``stderr`` is the end of what it wrote there."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class ChildEnd(msgspec.Struct, frozen=True):
    """How a child ended: the reason, its exit status if it ever ran, seconds since its start, the end of its stderr."""

    reason: str
    status: ExitStatus | None
    uptime: float
    stderr: str


class ChildState(msgspec.Struct, frozen=True):
    """A supervised child for a status report: ``state`` is stopped, starting, ready, ending or waiting."""

    state: str
    pid: int | None
    starts: int
    failures: int
    last_error: str
    retry_seconds: float


class SupervisedChild(Generic[T]):
    """Start, watch, restart and end one child.

    ``launch`` is called for each start with the descriptor of the child's end of the control channel, which is a
    socket pair of the type ``control``; without one it gets -1. Output to ``PIPE``, to which stderr goes unless
    ``launch`` says otherwise, is recorded, and its end is kept. ``ready`` returns once the child can be used.
    ``on_end`` is called after each end, also of a start that failed.
    """

    def __init__(
        self,
        name: str,
        procs: Procs,
        launch: Callable[[int], Launch],
        ready: Ready[T],
        *,
        control: socket.SocketKind | None = None,
        policy: Policy | None = None,
        on_end: Callable[[ChildEnd], None] | None = None,
    ) -> None:
        self.name = name
        self._procs = procs
        self._launch = launch
        self._ready = ready
        self._control = control
        self._policy = policy or Policy()
        self._on_end = on_end
        self._life: Lifetime[T] | None = None
        self._starts = 0
        self._failures = 0
        self._last_error = ""
        self._not_before = 0.0
        # Ends an idle child, or starts one again: there is never a reason for both.
        self._timer: asyncio.TimerHandle | None = None
        self._users = 0
        self._closed = False

    @property
    def session(self) -> T | None:
        """Return what ``ready`` returned, None unless the child can be used now."""
        return self._life.ready.result() if self._life is not None and self._life.state == "ready" else None

    @property
    def state(self) -> ChildState:
        """Describe the child for a status report."""
        wait = max(0.0, self._not_before - asyncio.get_running_loop().time())
        state, pid = "waiting" if wait else "stopped", None
        if self._life is not None:
            state, pid = self._life.state, self._life.pid
        return ChildState(state, pid, self._starts, self._failures, self._last_error, wait)

    async def start(self) -> T:
        """Return what ``ready`` returned, after starting the child if it does not run; raise ``ChildUnavailable``.

        Concurrent callers wait for the same start, which continues if they are cancelled.
        """
        while self._life is not None and self._life.ending:
            await self.wait()
        life = self._life or self._begin()
        return await asyncio.shield(life.ready)

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[T]:
        """Start the child if it does not run, and do not take it for idle meanwhile."""
        self._users += 1
        try:
            yield await self.start()
        finally:
            self._users -= 1
            self._watch_idle()

    def end(self, reason: str = "stopped", *, cool_down: bool = False) -> None:
        """Have the child end and not be started again by itself.

        With ``cool_down``, for example because memory is short, it may be, but not before the cool-down is over.
        """
        self._cancel_timer()
        if self._life is not None and not self._life.stop.done():
            self._life.stop.set_result((reason, cool_down))

    async def wait(self) -> None:
        """Wait until the child has ended; return at once if it does not run."""
        if self._life is not None:
            await asyncio.wait([self._life.task])

    async def stop(self) -> None:
        """End the child and wait for that."""
        self.end()
        await self.wait()

    async def close(self) -> None:
        """End the child for good."""
        self._closed = True
        self.end("closed")
        await self.wait()

    def _begin(self) -> Lifetime[T]:
        wait = self._not_before - asyncio.get_running_loop().time()
        if self._closed:
            raise ChildUnavailable(f"{self.name} is closed")
        if wait > 0:
            raise ChildUnavailable(f"{self.name} is not started again before {wait:.1f} s: {self._last_error}")
        self._cancel_timer()
        self._starts += 1
        life = self._life = Lifetime()
        life.task = asyncio.create_task(self._run(life), name=f"supervise {self.name}")
        return life

    async def _run(self, life: Lifetime[T]) -> None:
        """Own one child from its start to its end."""
        error = None
        try:
            await life.spawn(self._procs, self._launch, self._control)
            async with asyncio.timeout(self._policy.start_seconds):
                await life.handshake(self._ready)
            if life.state == "ready":
                log.info("%s is ready", self.name, extra={"pid": life.pid, "seconds": round(life.age, 3)})
                self._watch_idle()
            await life.over()
        except Exception as caught:  # noqa: BLE001 - whatever a handshake raises, the start has failed
            error = caught
        finally:
            self._cancel_timer()
            status = life.status
            try:
                await life.close(self._policy.grace_seconds)
            finally:
                self._ended(life, status, error)

    def _ended(self, life: Lifetime[T], status: ExitStatus | None, error: Exception | None) -> None:
        reason, cool_down = life.reason
        end = ChildEnd(reason, status or life.status, life.age, life.stderr)
        delay = self._delay(end, cool_down)
        self._not_before = asyncio.get_running_loop().time() + delay if delay else 0.0
        if reason in FAULTS:
            self._last_error = _describe(end, status, error, self._policy.start_seconds)
        elif cool_down:
            self._last_error = reason
        if reason == FAILED:
            log.warning("%s failed to start: %s", self.name, self._last_error)
        else:
            log.info("%s ended", self.name, extra={"reason": reason, "uptime": round(end.uptime, 3), "pid": life.pid})
        failure = f"failed to start: {self._last_error}" if reason == FAILED else f"was ended while starting: {reason}"
        if not life.ready.done():
            life.ready.set_exception(ChildUnavailable(f"{self.name} {failure}", end.stderr))
            life.ready.exception()  # no caller may wait for it
        self._life = None
        if self._on_end is not None:
            self._on_end(end)
        if self._policy.restart and not self._closed and (reason in FAULTS or cool_down):
            self._timer = asyncio.get_running_loop().call_later(delay, self._start_again)

    def _start_again(self) -> None:
        self._not_before = 0.0  # a timer may fire a clock tick early
        self._begin()

    def _delay(self, end: ChildEnd, cool_down: bool) -> float:
        """Count a failure; return for how long the child is not started again."""
        policy = self._policy
        row = 0 if end.uptime >= policy.stable_seconds else self._failures
        self._failures = row + 1 if end.reason in FAULTS else 0
        if cool_down:
            return policy.cool_down_seconds
        if self._failures <= 1:
            return 0.0
        # The exponent is bounded because a float overflows at 2 ** 1024.
        return min(policy.backoff_seconds * 2.0 ** min(self._failures - 2, 64), policy.cool_down_seconds)

    def _watch_idle(self) -> None:
        """Begin to count the idle time."""
        if self._policy.idle_seconds is not None and self.session is not None:
            self._cancel_timer()
            self._timer = asyncio.get_running_loop().call_later(self._policy.idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        # The end of its use begins to count again.
        if not self._users:
            self.end("idle")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _describe(end: ChildEnd, own: ExitStatus | None, error: Exception | None, limit: float) -> str:
    """Say what went wrong, with the last line of stderr; ``own`` is the exit status if it exited by itself."""
    if own is not None:
        what = f"exited with status {own.code}" if own.signal is None else f"killed by {own.signal_name}"
    elif isinstance(error, TimeoutError):
        what = f"not ready after {limit:g} s"
    else:
        what = str(error) or type(error).__name__
    last = next((line for line in reversed(end.stderr.splitlines()) if line.strip()), "")
    return f"{what}: {last.strip()}" if last else what
