"""One shell command per request: start it, wait for it or for its deadline, keep its output until it is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from toolbox import wire
from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.host import env
from toolbox.host.child import Process
from toolbox.host.limits import Limits
from toolbox.host.output_log import Channel, OutputLog, Retention
from toolbox.host.shells import Shell
from toolbox.process.exec.wire import ExecuteRequest, ExitEvent, OutputEvent, StartEvent
from toolbox.process.processes import describe
from toolbox.runs import bounds
from toolbox.runs import start_failure as failure
from toolbox.runs import text as render
from toolbox.runs.context import ProcessContext
from toolbox.runs.job import Ending, Job
from toolbox.runs.registry import TIMED_OUT, Entry, Keep, Kind, Reason
from toolbox.runs.run_set import RunSet
from toolbox.runs.wire import Details

# The most that a request may ask for: it is disk space, not memory.
OUTPUT_CEILING = 1024 * 1024 * 1024
# What a timeout error carries of the output; an error body is built in memory.
TIMEOUT_OUTPUT = 1024 * 1024
# What is shown of a command, which may be megabytes long, to those who list processes.
SHOWN = 4096
_FOREVER = 1e8


class Command(msgspec.Struct, frozen=True):
    """A checked request."""

    text: bytes
    cwd: str
    envs: Mapping[str, str]
    timeout: float | None
    grace: float
    split: bool
    retention: Retention
    details: bool
    limits: Limits


class Outcome(msgspec.Struct, frozen=True):
    """How a command ended, with its output."""

    exit_code: int
    output: OutputLog
    split: bool
    details: Details | None = None


Event = StartEvent | OutputEvent | ExitEvent


class Run:
    """A command under way; ``release`` it when its output is not needed any more."""

    def __init__(self, command: Command, entry: Entry, job: Job | None, failure: int = 0) -> None:
        self.result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.entry = entry
        self._job = job
        self._command = command
        self._output = entry.output
        self._failure = failure
        self._details: Details | None = None
        self._released = asyncio.Event()

    def release(self, *, keep: bool = False) -> None:
        """Let go of the output; a command that still runs goes on without it.

        With ``keep`` it stays readable for a while by the id of the process.
        """
        if keep:
            self.entry.keep = Keep.ON_EXIT_TTL
        self._released.set()

    async def abort(self) -> None:
        """Kill the command because the daemon ends; whoever waits for the result learns that."""
        if self._job is not None:
            await self._job.abort()

    async def kill(self) -> None:
        """Kill the command and everything it started."""
        if self._job is not None:
            await self._job.kill()

    async def live(self) -> None:
        """See the command through; the task of this is its owner."""
        with self.entry.hold():
            try:
                await self._end()
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
                self._finish(Ending(1, None, Reason.FAILED))
                self._fail(error)
            await self._released.wait()

    async def _end(self) -> None:
        ending = Ending(self._failure, None, Reason.FAILED) if self._job is None else await self._job.end()
        # Whatever is printed until the end is noted belongs to the command.
        partial = await render.whole(self._output, limit=TIMEOUT_OUTPUT) if ending.reason is Reason.TIMED_OUT else ""
        self._finish(ending)
        if self._command.details:
            left = await self._job.survivors() if self._job is not None else None
            self._details = describe.details(self.entry, left)
        if ending.reason is Reason.TIMED_OUT:
            self._fail(ExecutionTimeout("command execution timeout", detail=self._timeout_detail(partial)))
        elif ending.reason is Reason.STOPPED:
            self._fail(Unavailable("daemon is shutting down, the command was killed"))
        else:
            self.result.set_result(Outcome(ending.code, self._output, self._command.split, self._details))

    def _timeout_detail(self, partial: str) -> dict[str, Any]:
        detail: dict[str, Any] = {"result": partial, "exitCode": TIMED_OUT}
        return detail if self._details is None else {**detail, "details": wire.to_plain(self._details)}

    def _fail(self, error: Exception) -> None:
        self.result.set_exception(error)
        self.result.exception()  # perhaps nobody does

    def _finish(self, ending: Ending) -> None:
        self._output.finish()
        if self._job is not None:
            self._job.process.release()
        ending.note(self.entry)

    async def events(self) -> AsyncGenerator[tuple[str, Event], None]:
        """Yield what happens, by name, the exit last; the command waits for a slow reader."""
        if self.entry.pid is not None:
            yield "start", StartEvent(id=self.entry.id, pid=self.entry.pid)
        async with contextlib.aclosing(self._output_events()) as output:
            async for event in output:
                yield event
        yield "exit", await self._exit_event()

    async def _output_events(self) -> AsyncGenerator[tuple[str, OutputEvent], None]:
        decoders = {Channel.STDOUT: render.Decoder(), Channel.STDERR: render.Decoder()}
        expected = 0
        async with contextlib.aclosing(self._output.follow(hold=True)) as chunks:
            async for chunk in chunks:
                data = decoders[chunk.channel].feed(chunk.data)
                skipped = chunk.offset - expected
                expected = chunk.end
                if data:
                    yield chunk.channel.name.lower(), OutputEvent(data=data, offset=chunk.offset, skipped=skipped)
        if expected < self._output.size:
            raise Unavailable("daemon is shutting down, the output is gone")
        for channel, decoder in decoders.items():
            rest = decoder.finish()
            if rest:
                yield channel.name.lower(), OutputEvent(data=rest, offset=expected)

    async def _exit_event(self) -> ExitEvent:
        await asyncio.wait([self.result])
        end = await self.entry.wait()
        error = self.result.exception()
        if error is not None and end.reason is Reason.FAILED:
            raise error
        return ExitEvent(exit_code=end.code, reason=end.reason.value, signal=end.signal, details=self._details)


class Exec:
    """Run shell commands."""

    def __init__(self, context: ProcessContext, *, max_output: int) -> None:
        self._context = context
        self._usual = Retention.capped(max_output)
        self._runs: RunSet[Run] = RunSet("command")

    def check(self, request: ExecuteRequest, *, split: bool = False) -> Command:
        """Refuse what cannot be run."""
        if not request.command:
            raise InvalidBody("invalid request body: command is required")
        if request.command.isspace():
            raise BadRequest("bad request: command cannot be empty or whitespace-only")
        cwd = request.cwd or ""
        if "\0" in request.command or "\0" in cwd:
            raise BadRequest(f"bad request: {'cwd' if chr(0) in cwd else 'command'} contains a nul character")
        envs = {**(request.env or {}), **(request.envs or {})}
        env.check_names(envs)
        env.check(envs)
        return Command(
            text=request.command.encode(),
            cwd=self._resolve(cwd),
            envs=envs,
            timeout=min(request.timeout, _FOREVER) if request.timeout else None,
            grace=(request.kill_grace_ms or 0) / 1000,
            split=split or bool(request.split_output),
            retention=self._retention(request.max_output_bytes),
            details=bool(request.details),
            limits=bounds.wanted(request.limits, self._context.limits),
        )

    async def start(self, command: Command, *, two_pipes: bool = False) -> Run:
        """Start a command; a directory or shell that does not work is an outcome like any other."""
        self._runs.check_open()
        started = asyncio.get_running_loop().time()
        process, code = None, 0
        try:
            process = await self._spawn(command, merge=not (command.split or two_pipes))
            output = process.output
        except OSError as error:
            code, text = failure.explain(error, command.cwd)
            output = self._context.spool.output_log(command.retention)
            output.append(text.encode(errors="replace"))
        deadline = None if command.timeout is None else started + command.timeout
        exit_reporter = self._context.procs.exit_reporter
        job = None if process is None else Job(process, exit_reporter, deadline=deadline, grace=command.grace)
        return await self._runs.begin(Run(command, self._register(command, output, process), job, code))

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it."""
        await self._runs.close()

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        await self._runs.release()

    def _register(self, command: Command, output: OutputLog, process: Process | None) -> Entry:
        text = command.text[:SHOWN].decode("utf-8", "replace")
        entry = Entry(kind=Kind.EXEC, output=output, keep=Keep.NONE, ephemeral=True, command=text, cwd=command.cwd)
        if process is not None:
            entry.id = process.id
            entry.began(process)
            entry.limits = bounds.report(command.limits, process)
        return self._context.registry.add(entry)

    async def _spawn(self, command: Command, *, merge: bool) -> Process:
        try:
            return await self._spawn_in(await self._context.shells.choose(), command, merge=merge)
        except OSError as error:
            if error.filename == command.cwd:
                raise
            # The shell may have been removed or replaced a moment ago.
            self._context.shells.forget()
            return await self._spawn_in(await self._context.shells.choose(), command, merge=merge)

    async def _spawn_in(self, shell: Shell, command: Command, *, merge: bool) -> Process:
        argv, script = shell.script(command.text)
        return await self._context.procs.spawn(
            argv,
            executable=shell.path,
            env=self._context.environment.merged(command.envs),
            cwd=command.cwd,
            stdin=script,
            merge=merge,
            output_log=self._context.spool.output_log(command.retention),
            limits=command.limits,
        )

    def _resolve(self, cwd: str) -> str:
        if cwd == "~" or cwd.startswith("~/"):
            cwd = self._context.environment.get("HOME", "~") + cwd[1:]
        return os.path.join(self._context.workdir, cwd) if cwd else self._context.workdir  # noqa: PTH118 - keeps what the user wrote

    def _retention(self, wanted: int | None) -> Retention:
        if wanted is None:
            return self._usual
        return Retention.capped(min(wanted, OUTPUT_CEILING) if wanted else OUTPUT_CEILING)
