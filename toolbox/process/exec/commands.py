"""One shell command per request: start it, wait for it or for its deadline, keep its output until it is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping

import msgspec

from toolbox import wire
from toolbox.errors import BadRequest, InvalidBody, Unavailable
from toolbox.host import env
from toolbox.host.child import Process
from toolbox.host.launch import PIPE, Launch
from toolbox.host.limits import Limits
from toolbox.host.output_log import Channel, OutputLog, Retention
from toolbox.host.shells import Shell
from toolbox.process.exec.wire import ExecuteRequest, ExitEvent, OutputEvent, StartEvent
from toolbox.runs import bounds, start_failure
from toolbox.runs.context import ProcessContext
from toolbox.runs.output import Decoder, text
from toolbox.runs.registry import Entry, Keep, Kind
from toolbox.runs.run import Run, TimeLimit
from toolbox.runs.run_set import RunSet
from toolbox.runs.wire import Details

# The most that a request may ask for: it is disk space, not memory.
OUTPUT_CEILING = 1024 * 1024 * 1024
# What is shown of a command, which may be megabytes long, to those who list processes.
SHOWN = 4096
# A timer of the event loop takes no longer.
_FOREVER = 1e8
# The fields that show output; the first has both streams.
_CHANNELS = ((b"result", None), (b"stdout", Channel.STDOUT), (b"stderr", Channel.STDERR))


class Command(msgspec.Struct, frozen=True):
    """A checked request."""

    text: bytes
    cwd: str
    envs: Mapping[str, str]
    limit: TimeLimit
    split: bool
    retention: Retention
    details: bool
    limits: Limits


Event = StartEvent | OutputEvent | ExitEvent


class Outcome(msgspec.Struct, frozen=True):
    """How a command ended, with its output."""

    exit_code: int
    output: OutputLog
    split: bool
    details: Details | None = None

    async def json(self) -> AsyncGenerator[bytes, None]:
        """Yield the body of an answer."""
        yield b'{"exitCode":%d' % self.exit_code
        for name, channel in _CHANNELS if self.split else _CHANNELS[:1]:
            yield b',"%s":"' % name
            async for part in text(self.output, channel):
                yield wire.encode(part)[1:-1]
            yield b'"'
        if self.details is not None:
            yield b',"details":' + wire.encode(self.details)
        yield b"}"


class Commands:
    """Run shell commands."""

    def __init__(self, context: ProcessContext, *, max_output: int) -> None:
        self._context = context
        self._usual = Retention.capped(max_output)
        self._runs: RunSet = RunSet("command")

    def check(self, request: ExecuteRequest, *, split: bool = False) -> Command:
        """Refuse what cannot be run."""
        if not request.command:
            raise InvalidBody("invalid request body: command is required")
        if request.command.isspace():
            raise BadRequest("bad request: command cannot be empty or whitespace-only")
        cwd = request.cwd or ""
        if "\0" in request.command or "\0" in cwd:
            raise BadRequest(f"bad request: {'cwd' if chr(0) in cwd else 'command'} contains a NUL byte")
        envs = {**(request.env or {}), **(request.envs or {})}
        if envs:
            env.check_names(envs)
            env.check(envs)
        return Command(
            text=request.command.encode(),
            cwd=self._context.resolve(cwd),
            envs=envs,
            limit=TimeLimit(
                min(request.timeout, _FOREVER) if request.timeout else None, (request.kill_grace_ms or 0) / 1000
            ),
            split=split or bool(request.split_output),
            retention=self._usual
            if request.max_output_bytes is None
            else Retention.capped(min(request.max_output_bytes or OUTPUT_CEILING, OUTPUT_CEILING)),
            details=bool(request.details),
            limits=bounds.wanted(request.limits, self._context.limits) if request.limits else self._context.limits,
        )

    async def start(self, command: Command, *, two_pipes: bool = False) -> Run:
        """Start a command; a directory or shell that does not work is an outcome like any other."""
        self._runs.check_open()
        started = asyncio.get_running_loop().time()
        merge = not (command.split or two_pipes)
        output = self._context.spool.output_log(command.retention)
        process, code = None, 0
        try:
            shell = await self._context.shells.choose()
            try:
                process = await self._context.procs.launch(self._launch(shell, command, merge=merge), output)
            except OSError as error:
                if error.filename == command.cwd:
                    raise
                # The shell may have been removed or replaced since it was found.
                self._context.shells.forget()
                shell = await self._context.shells.choose()
                process = await self._context.procs.launch(self._launch(shell, command, merge=merge), output)
        except OSError as error:
            code, text = start_failure.explain(error, command.cwd)
            output.append(text.encode(errors="replace"))
        entry = self._register(command, output, process)
        return await self._runs.begin(Run(entry, process, limit=command.limit, started=started, failed=code))

    async def outcome(self, run: Run, command: Command) -> Outcome:
        """Return how a run that has ended did, with its details if they were asked for; raise if it was cut short."""
        details = await run.details() if command.details else None
        return Outcome(run.outcome("command", details).code, run.output, command.split, details)

    async def events(self, run: Run, command: Command) -> AsyncGenerator[tuple[str, Event], None]:
        """Yield what happens, by name, the exit last; the command waits for a slow reader."""
        if run.entry.pid is not None:
            yield "start", StartEvent(id=run.entry.id, pid=run.entry.pid)
        async with contextlib.aclosing(_output_events(run.output)) as output:
            async for event in output:
                yield event
        await asyncio.wait([run.ended])
        end = run.ended.result()
        details = await run.details() if command.details else None
        yield "exit", ExitEvent(exit_code=end.code, reason=end.reason.value, signal=end.signal, details=details)

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it."""
        await self._runs.close()

    async def release(self) -> None:
        """Release all output, also of what is being sent."""
        await self._runs.release()

    def _register(self, command: Command, output: OutputLog, process: Process | None) -> Entry:
        text = command.text[:SHOWN].decode("utf-8", "replace")
        entry = Entry(
            id=secrets.token_hex(16) if process is None else process.id,
            kind=Kind.EXEC,
            output=output,
            keep=Keep.NONE,
            ephemeral=True,
            command=text,
            cwd=command.cwd,
        )
        if process is not None:
            entry.began(process, command.limits)
        return self._context.registry.add(entry)

    def _launch(self, shell: Shell, command: Command, *, merge: bool) -> Launch:
        argv, script = shell.script(command.text)
        environ = self._context.environment.merged(command.envs)
        return Launch(
            argv,
            environ,
            command.cwd,
            shell.path,
            script,
            stdout=PIPE,
            stderr=PIPE,
            merge=merge,
            limits=command.limits,
        )


async def _output_events(output: OutputLog) -> AsyncGenerator[tuple[str, OutputEvent], None]:
    decoders = {Channel.STDOUT: Decoder(), Channel.STDERR: Decoder()}
    expected = 0
    async with contextlib.aclosing(output.follow(hold=True)) as chunks:
        async for chunk in chunks:
            data = decoders[chunk.channel].feed(chunk.data)
            skipped = chunk.offset - expected
            expected = chunk.end
            if data:
                yield chunk.channel.name.lower(), OutputEvent(data=data, offset=chunk.offset, skipped=skipped)
    if expected < output.size:
        raise Unavailable("daemon is shutting down, the output is gone")
    for channel, decoder in decoders.items():
        rest = decoder.finish()
        if rest:
            yield channel.name.lower(), OutputEvent(data=rest, offset=expected)
