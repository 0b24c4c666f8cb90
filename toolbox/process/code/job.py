"""A program under way: its end, its deadline, its output and its charts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

from toolbox.errors import ExecutionTimeout, ToolboxError, Unavailable
from toolbox.host.child import Process
from toolbox.host.ledger import Ledger
from toolbox.process import render
from toolbox.process.code.charts import ChartFile
from toolbox.process.code.wire import Chart
from toolbox.process.running.registry import Entry, Keep, Reason

# What a timeout error carries of the output; an error body is built in memory.
TIMEOUT_OUTPUT = 1024 * 1024
# How long an answer waits for a killed tree to be gone.
KILL_PATIENCE = 0.15


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """How a program ended, with its output and its charts."""

    exit_code: int
    output: Ledger
    charts: list[Chart]


class CodeRun:
    """A program under way; ``release`` it when its output is not needed any more."""

    def __init__(
        self, entry: Entry, charts: ChartFile, process: Process | None, *, deadline: float | None, failure: int = 0
    ) -> None:
        self.entry = entry
        self.ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._charts = charts
        self._process = process
        self._deadline = deadline
        self._failure = failure
        self._aborted = False
        self._released = asyncio.Event()

    async def wait(self, limit: float | None = None) -> bool:
        """Wait for the end, or for so many seconds; tell whether it has ended."""
        await asyncio.wait([self.ended], timeout=limit)
        return self.ended.done()

    def release(self, *, keep: bool = False) -> None:
        """Let go of the output and the charts; a program that still runs goes on without."""
        if keep:
            self.entry.keep = Keep.ON_EXIT_TTL
        self._released.set()

    async def abort(self) -> None:
        """Kill the program because the daemon ends; whoever waits for the result learns that."""
        if self._process is not None:
            self._aborted = self._process.running
            await self._process.terminate()

    async def live(self) -> None:
        """See the program through; the task of this is its owner."""
        with self.entry.hold():
            try:
                self.ended.set_result(await self._end())
            except ToolboxError as error:
                self.ended.set_exception(error)
                self.ended.exception()  # perhaps nobody looks
            finally:
                self._charts.close()
            await self._released.wait()

    async def _end(self) -> Result:
        if self._process is None:
            self._finish(self._failure, None, Reason.FAILED)
            return Result(self._failure, self.entry.output, [])
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._process.wait()
        except TimeoutError:
            raise await self._expired(self._process) from None
        status = await self._process.settle()
        if self._aborted:
            self._finish(status.code, status.signal_name, Reason.STOPPED)
            raise Unavailable("daemon is shutting down, the program was killed")
        self._finish(status.code, status.signal_name, Reason.EXITED if status.signal is None else Reason.SIGNALED)
        return Result(status.code, self.entry.output, await self._charts.read())

    async def _expired(self, process: Process) -> ExecutionTimeout:
        """Kill the tree and make the error, with what was printed so far."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_PATIENCE):
                await process.terminate()
        for pump in process.pumps:
            pump.catch_up()
        text = await render.whole(self.entry.output, limit=TIMEOUT_OUTPUT)
        self._finish(124, None, Reason.TIMED_OUT)
        return ExecutionTimeout("command execution timeout", detail={"result": text, "exitCode": 124})

    def _finish(self, code: int, signal: str | None, reason: Reason) -> None:
        self.entry.output.finish()
        if self._process is not None:
            self._process.release()
        self.entry.finish(code, signal, reason)
