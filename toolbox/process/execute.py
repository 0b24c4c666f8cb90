"""One shell command per request: start it, wait for it or for its deadline, keep its output until it is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
from collections.abc import AsyncGenerator, Mapping

from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.host import env
from toolbox.host.child import Process
from toolbox.host.ledger import Channel, Ledger, Retention
from toolbox.host.procs import Procs
from toolbox.host.shells import Shell, Shells
from toolbox.host.spool import Spool
from toolbox.process import render
from toolbox.process.running.registry import Controls, Entry, Keep, Kind, Reason, Registry
from toolbox.process.wire import ExecuteRequest, ExitEvent, OutputEvent, StartEvent

# The most that a request may ask for: it is disk space, not memory.
OUTPUT_CEILING = 1024 * 1024 * 1024
# What a timeout error carries of the output; an error body is built in memory.
TIMEOUT_OUTPUT = 1024 * 1024
# How long an answer waits for a killed tree to be gone, beyond the grace it was given.
KILL_PATIENCE = 0.15
_FOREVER = 1e8
_NOT_EXECUTABLE = {errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG, errno.ELOOP, errno.ETXTBSY}


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A checked request."""

    text: bytes
    cwd: str
    envs: Mapping[str, str]
    timeout: float | None
    grace: float
    split: bool
    retention: Retention


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, with its output."""

    exit_code: int
    output: Ledger
    split: bool
    reason: Reason
    signal: str | None = None


Event = StartEvent | OutputEvent | ExitEvent


class Run:
    """A command under way; ``release`` it when its output is not needed any more."""

    def __init__(
        self, command: Command, started: float, entry: Entry, process: Process | None, failure: int = 0
    ) -> None:
        self.result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.process = process
        self.entry = entry
        self._command = command
        self._output = entry.output
        self._failure = failure
        self._started = started
        self._aborted = False
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
        self._aborted = self.process is not None and self.process.running
        await self.kill()

    async def kill(self) -> None:
        """Kill the command and everything it started."""
        if self.process is not None:
            await self.process.terminate()

    async def live(self) -> None:
        """See the command through; the task of this is its owner."""
        with self.entry.hold():
            try:
                self.result.set_result(await self._outcome())
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
                self.result.set_exception(error)
            self._output.finish()
            if self.process is not None:
                self.process.release()
            self.entry.finish(*self._ending())
            await self._released.wait()

    def _ending(self) -> tuple[int, str | None, Reason]:
        error = self.result.exception()
        if isinstance(error, ExecutionTimeout):
            return 124, None, Reason.TIMED_OUT
        if isinstance(error, Unavailable):
            return 137, "SIGKILL", Reason.STOPPED
        if error is not None:
            return 1, None, Reason.FAILED
        outcome = self.result.result()
        return outcome.exit_code, outcome.signal, outcome.reason

    async def events(self) -> AsyncGenerator[tuple[str, Event], None]:
        """Yield what happens, by name, the exit last; the command waits for a slow reader."""
        if self.process is not None:
            yield "start", StartEvent(id=self.process.id, pid=self.process.pid)
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
        end = await self.entry.wait()
        error = self.result.exception()
        if error is not None and end.reason is Reason.FAILED:
            raise error
        return ExitEvent(exit_code=end.code, reason=end.reason.value, signal=end.signal)

    async def _outcome(self) -> Outcome:
        if self.process is None:
            return Outcome(self._failure, self._output, self._command.split, Reason.FAILED)
        limit = self._command.timeout
        try:
            async with asyncio.timeout_at(None if limit is None else self._started + limit):
                await self.process.wait()
        except TimeoutError:
            raise await self._expired(self.process) from None
        status = await self.process.settle()
        if self._aborted:
            raise Unavailable("daemon is shutting down, the command was killed")
        reason = Reason.EXITED if status.signal is None else Reason.SIGNALED
        return Outcome(status.code, self._output, self._command.split, reason, status.signal_name)

    async def _expired(self, process: Process) -> ExecutionTimeout:
        """Kill the tree and make the error, with what was printed so far."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._command.grace + KILL_PATIENCE):
                await process.terminate(self._command.grace)
        for pump in process.pumps:
            pump.catch_up()
        text = await render.whole(self._output, limit=TIMEOUT_OUTPUT)
        return ExecutionTimeout("command execution timeout", detail={"result": text, "exitCode": 124})


class Exec:
    """Run shell commands."""

    def __init__(
        self,
        procs: Procs,
        environment: env.Environment,
        shells: Shells,
        spool: Spool,
        registry: Registry,
        *,
        workdir: str,
        max_output: int,
    ) -> None:
        self._procs = procs
        self._environment = environment
        self._shells = shells
        self._spool = spool
        self._registry = registry
        self._workdir = workdir
        self._max_output = max_output
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._closing = asyncio.Event()

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
        )

    async def start(self, command: Command, *, two_pipes: bool = False) -> Run:
        """Start a command; a directory or shell that does not work is an outcome like any other."""
        if self._closing.is_set():
            raise Unavailable("daemon is shutting down")
        started = asyncio.get_running_loop().time()
        output = self._spool.ledger(command.retention)
        process, failure = None, 0
        try:
            process = await self._spawn(command, output, merge=not (command.split or two_pipes))
        except OSError as error:
            failure, text = _explain(error, command.cwd)
            output.append(text.encode(errors="replace"))
        run = Run(command, started, self._register(command, output, process), process, failure)
        task = asyncio.create_task(run.live(), name="command")
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if self._closing.is_set():
            await run.abort()
        return run

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it; then let go of all output."""
        self._closing.set()
        await asyncio.gather(*(run.abort() for run in self._runs.values()))
        waiting = [run.result for run in self._runs.values()]
        if waiting:
            await asyncio.wait(waiting)

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        for run in self._runs.values():
            run.release()
        if self._runs:
            await asyncio.wait(list(self._runs))

    def _register(self, command: Command, output: Ledger, process: Process | None) -> Entry:
        text = command.text.decode("utf-8", "replace")
        entry = Entry(kind=Kind.EXEC, output=output, keep=Keep.NONE, command=text, cwd=command.cwd)
        if process is not None:
            entry.id, entry.pid, entry.started = process.id, process.pid, process.started
            entry.controls = Controls.of(process)
        return self._registry.add(entry)

    async def _spawn(self, command: Command, output: Ledger, *, merge: bool) -> Process:
        shell = await self._shells.choose()
        try:
            return await self._spawn_with(shell, command, output, merge=merge)
        except OSError as error:
            if error.filename == command.cwd:
                raise
            # The shell may have been removed or replaced a moment ago.
            self._shells.forget()
            return await self._spawn_with(await self._shells.choose(), command, output, merge=merge)

    async def _spawn_with(self, shell: Shell, command: Command, output: Ledger, *, merge: bool) -> Process:
        argv, script = shell.script(command.text)
        return await self._procs.spawn(
            argv,
            executable=shell.path,
            env=self._environment.merged(command.envs),
            cwd=command.cwd,
            stdin=script,
            merge=merge,
            ledger=output,
        )

    def _resolve(self, cwd: str) -> str:
        if cwd == "~" or cwd.startswith("~/"):
            cwd = self._environment.get("HOME", "~") + cwd[1:]
        return os.path.join(self._workdir, cwd) if cwd else self._workdir  # noqa: PTH118 - keeps what the user wrote

    def _retention(self, wanted: int | None) -> Retention:
        if wanted is None:
            return Retention.capped(self._max_output)
        return Retention.capped(min(wanted, OUTPUT_CEILING) if wanted else OUTPUT_CEILING)


def _explain(error: OSError, cwd: str) -> tuple[int, str]:
    """Turn a failure to start into the exit code and text that a shell would give; let lack of resources rise."""
    reason = (error.strerror or str(error)).lower()
    if error.filename == cwd:
        return 1, f"chdir {cwd}: {reason}"
    if error.errno == errno.ENOENT:
        return 127, f"{error.filename}: {reason}"
    if error.errno in _NOT_EXECUTABLE:
        return 126, f"{error.filename}: {reason}"
    raise error
