"""One run: a process of a user from its start to the release of its output, whatever kind it is.

Deadline, kill, the wait for the rest of the output, the exit report and the record in the registry are here and nowhere
else. A kind adds at most two callables: ``early_exit`` for a program that reports its exit status before it has exited,
and ``at_end`` for what has to happen once the output is complete and before the end is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from toolbox import wire
from toolbox.errors import ExecutionTimeout, Unavailable
from toolbox.host.child import ExitStatus
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport
from toolbox.runs import output
from toolbox.runs.exit_info import TIMED_OUT, ExitInfo, Reason
from toolbox.runs.registry import Entry, Keep
from toolbox.runs.wire import Details

# How long an answer waits for a killed tree to be gone, beyond the grace it was given.
KILL_PATIENCE = 0.15
# What a timeout error carries of the output; an error body is built in memory.
TIMEOUT_OUTPUT = 1024 * 1024

EarlyExit = Callable[[], Awaitable[int | None]]
AtEnd = Callable[[ExitInfo], Awaitable[None]]


class TimeLimit(NamedTuple):
    """How long a run may take, and the seconds between SIGTERM and SIGKILL after that; None for no limit."""

    seconds: float | None = None
    grace: float = 0.0


class RunProcess(Protocol):
    """What a run needs of its process; ``host.child.Process`` has all of it."""

    @property
    def running(self) -> bool:
        """Tell whether the process has not ended yet."""
        ...

    async def settle(self) -> ExitStatus:
        """Wait for the exit and for the rest of the output."""
        ...

    async def report(self) -> ExitReport:
        """Return what the process, which has ended, used and was denied."""
        ...

    async def survivors(self) -> list[Survivor]:
        """Describe what it left running in the background."""
        ...

    async def terminate(self, grace: float = 0.0) -> None:
        """End the whole tree."""

    def catch_up(self) -> None:
        """Record what it has written so far."""

    def release(self) -> None:
        """Stop recording output."""


class Run:
    """Own one process to its end; ``release`` it when its output is not needed any more.

    Without a process it stands for a program that could not be started, which ended with the code ``failed``.
    The time limit counts from ``started``, in the loop's time, else from now.
    """

    def __init__(
        self,
        entry: Entry,
        process: RunProcess | None,
        *,
        limit: TimeLimit = TimeLimit(),  # noqa: B008 - immutable
        started: float | None = None,
        failed: int = 0,
        early_exit: EarlyExit | None = None,
        at_end: AtEnd | None = None,
    ) -> None:
        self.entry = entry
        self.output = entry.output
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[ExitInfo] = loop.create_future()
        self._process = process
        self._deadline = None if limit.seconds is None else (started or loop.time()) + limit.seconds
        self._grace = limit.grace
        self._failed = failed
        self._early_exit = early_exit
        self._at_end = at_end
        self._partial = ""
        self._aborted = False
        self._released = asyncio.Event()

    async def live(self) -> None:
        """See the run through to its end and the release of its output; the task of this is its owner."""
        with contextlib.nullcontext() if self._released.is_set() else self.entry.hold():
            try:
                await self._complete()
            except Exception as error:  # noqa: BLE001 - handed to the caller that awaits the end
                self._record(ExitInfo.failed(1))
                if not self.ended.done():
                    self.ended.set_exception(error)
                    self.ended.exception()  # a run may have no such caller
            await self._released.wait()

    def outcome(self, what: str, details: Details | None = None) -> ExitInfo:
        """Return how ``what`` (a command, a program) ended; raise if its time was up or the daemon stopped it."""
        end = self.ended.result()
        if end.reason is Reason.TIMED_OUT:
            detail: dict[str, Any] = {"result": self._partial, "exitCode": TIMED_OUT}
            if details is not None:
                detail["details"] = wire.to_plain(details)
            raise ExecutionTimeout("command execution timeout", detail=detail)
        if end.reason is Reason.STOPPED:
            raise Unavailable(f"daemon is shutting down, the {what} was killed")
        return end

    async def details(self) -> Details | None:
        """Describe the end, with what the process left in the background."""
        return self.entry.details(None if self._process is None else await self._process.survivors())

    async def kill(self) -> None:
        """Kill the process and everything below it."""
        if self._process is not None:
            await self._process.terminate()

    async def abort(self, grace: float = 0.0) -> None:
        """End the process because the daemon ends."""
        if self._process is not None:
            self._aborted = self._process.running
            await self._process.terminate(grace)

    def release(self, *, keep: bool = False) -> None:
        """Stop retaining the output; a process that still runs is not affected.

        With ``keep`` the output stays readable for a while by the id of the process.
        """
        if keep:
            self.entry.keep = Keep.ON_EXIT_TTL
        self._released.set()

    async def _complete(self) -> None:
        """See the process through to the end of its output, and record how it ended."""
        if self._process is None:
            await self._end(ExitInfo.failed(self._failed))
            return
        process, early, status = self._process, None, None
        try:
            async with asyncio.timeout_at(self._deadline):
                if self._early_exit is not None:
                    early = await self._early_exit()
                if early is None:
                    status = await process.settle()
        except TimeoutError:
            if process.running:
                await self._end(await self._expire(process))
                return
            # It ended in time; the rest of its output comes from what it left in the background.
            status = await process.settle()
        if status is not None:
            reason = Reason.STOPPED if self._aborted else None
            await self._end(ExitInfo.of(status, await process.report(), reason=reason))
            return
        assert early is not None
        # The answer need not wait for the interpreter's shutdown; the record does, for what the process used.
        end = ExitInfo.of(ExitStatus(early))
        if self._at_end is not None:
            await self._at_end(end)
        self.ended.set_result(end)
        await process.settle()
        self._record(end._replace(usage=(await process.report()).usage))

    async def _end(self, end: ExitInfo) -> None:
        if self._at_end is not None:
            await self._at_end(end)
        self._record(end)
        self.ended.set_result(end)

    async def _expire(self, process: RunProcess) -> ExitInfo:
        """Kill the tree at the deadline; what was printed until then goes into the error."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace + KILL_PATIENCE):
                await process.terminate(self._grace)
        process.catch_up()
        report = await process.report()
        self._partial = await output.whole(self.output, limit=TIMEOUT_OUTPUT)
        return ExitInfo.expired(report)

    def _record(self, end: ExitInfo) -> None:
        # A log that is not the registry's stays open: what is left in the background goes on writing to it.
        if self.entry.owned:
            if self._process is not None:
                self._process.release()
            self.output.finish()
        self.entry.finish(end)
