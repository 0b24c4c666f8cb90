"""A program under way: its end, its deadline, its output and its charts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from toolbox.errors import ExecutionTimeout, Unavailable
from toolbox.host.child import Process
from toolbox.host.output_log import OutputLog
from toolbox.process.code.charts import ChartFile
from toolbox.process.code.wire import Chart
from toolbox.runs import text as render
from toolbox.runs.registry import Entry, Keep, Reason

# What a timeout error carries of the output; an error body is built in memory.
TIMEOUT_OUTPUT = 1024 * 1024
# How long an answer waits for a killed tree to be gone.
KILL_PATIENCE = 0.15
# How long the output of a program that told its end may take to end too, before it is taken for held by something else.
TOLD_PATIENCE = 0.05


class Result(msgspec.Struct, frozen=True):
    """How a program ended, with its output and its charts."""

    exit_code: int
    output: OutputLog
    charts: list[Chart]


class Begun(msgspec.Struct, frozen=True):
    """A program that was started, or the exit code for not starting; ``told`` tells its exit status a little early."""

    output: OutputLog
    process: Process | None = None
    failure: int = 0
    told: Callable[[], Awaitable[int | None]] | None = None


class CodeRun:
    """A program under way; ``release`` it when its output is not needed any more."""

    def __init__(self, entry: Entry, charts: ChartFile, begun: Begun, *, deadline: float | None) -> None:
        self.entry = entry
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._charts = charts
        self._process = begun.process
        self._failure = begun.failure
        self._told = begun.told
        self._deadline = deadline
        self._aborted = False
        self._released = asyncio.Event()

    async def wait(self, limit: float | None = None) -> bool:
        """Wait for the end, or for so many seconds; tell whether it has ended."""
        await asyncio.wait([self.result], timeout=limit)
        return self.result.done()

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
                self.result.set_result(await self._end())
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
                self._finish(1, None, Reason.FAILED)
                self.result.set_exception(error)
                self.result.exception()  # perhaps nobody looks
            finally:
                self._charts.close()
            await self._released.wait()

    async def _end(self) -> Result:
        if self._process is None:
            self._finish(self._failure, None, Reason.FAILED)
            return Result(self._failure, self.entry.output, [])
        try:
            async with asyncio.timeout_at(self._deadline):
                told = await self._wait(self._process)
        except TimeoutError:
            raise await self._expired(self._process) from None
        if told is not None:
            self._finish(told, None, Reason.EXITED)
            return Result(told, self.entry.output, await self._charts.read())
        status = await self._process.settle()
        if self._aborted:
            self._finish(status.code, status.signal_name, Reason.STOPPED)
            raise Unavailable("daemon is shutting down, the program was killed")
        self._finish(status.code, status.signal_name, Reason.EXITED if status.signal is None else Reason.SIGNALED)
        return Result(status.code, self.entry.output, await self._charts.read())

    async def _wait(self, process: Process) -> int | None:
        """Wait for the end; return the exit status if it was told, and nothing else holds the output."""
        told = None if self._told is None else await self._told()
        if told is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOLD_PATIENCE):
                    for pipe_reader in process.pipe_readers:
                        await pipe_reader.ended()
                return told
        await process.wait()
        return None

    async def _expired(self, process: Process) -> ExecutionTimeout:
        """Kill the tree and make the error, with what was printed so far."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_PATIENCE):
                await process.terminate()
        for pipe_reader in process.pipe_readers:
            pipe_reader.catch_up()
        text = await render.whole(self.entry.output, limit=TIMEOUT_OUTPUT)
        self._finish(124, None, Reason.TIMED_OUT)
        return ExecutionTimeout("command execution timeout", detail={"result": text, "exitCode": 124})

    def _finish(self, code: int, signal: str | None, reason: Reason) -> None:
        self.entry.output.finish()
        if self._process is not None:
            self._process.release()
        self.entry.finish(code, signal, reason)
