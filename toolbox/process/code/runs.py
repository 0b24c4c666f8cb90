"""One program per request: start it in a forked worker or a fresh interpreter, and read the charts it drew."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

import msgspec

from toolbox.errors import BadRequest
from toolbox.host import env
from toolbox.host.child import Process
from toolbox.host.launch import file_of
from toolbox.host.output_log import OutputLog, Retention
from toolbox.process.code.charts import ChartFile
from toolbox.process.code.fork_server import ForkServerPool
from toolbox.process.code.languages import PYTHON, START, JavaScript, NoRuntimeError
from toolbox.process.code.programs import Programs
from toolbox.process.code.wire import CodeRunRequest
from toolbox.runs import start_failure
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Entry, Keep, Kind
from toolbox.runs.run import EarlyExit, Run, TimeLimit
from toolbox.runs.run_set import RunSet

# Seconds; the event loop accepts no longer timer.
_FOREVER = 1e8
_LANGUAGES = ("python", "javascript", "typescript")
# How many characters of a program the list of processes shows.
_SHOWN = 4096
# How long after a reported exit status the output may take to end. If it takes longer, another process has the pipe
# open, and the run waits for the exit of the worker as for any process.
EARLY_EXIT_PATIENCE = 0.05


class Program(msgspec.Struct, frozen=True):
    """A checked request."""

    text: str
    language: str
    argv: Sequence[str]
    envs: Mapping[str, str]
    timeout: float | None


class _Started(msgspec.Struct, frozen=True):
    """A started program, or the exit code of a failed start."""

    output: OutputLog
    process: Process | None = None
    failed: int = 0
    early_exit: EarlyExit | None = None


class CodeRuns:
    """Run programs."""

    def __init__(self, context: ProcessContext, warm: ForkServerPool, *, max_output: int) -> None:
        self._context = context
        self._warm = warm
        self._retention = Retention.capped(max_output)
        self._programs = Programs()
        self._javascript = JavaScript(context.procs, self._programs, context.environment.merged())
        self._runs = RunSet("code run")

    def check(self, request: CodeRunRequest) -> Program:
        """Validate a request."""
        if request.language not in _LANGUAGES:
            raise BadRequest(f"bad request: unsupported language: {request.language}")
        if any("\0" in argument for argument in request.argv or ()):
            raise BadRequest("bad request: argv contains a NUL byte")
        envs = {**(request.env or {}), **(request.envs or {})}
        env.check_names(envs)
        env.check(envs)
        timeout = min(request.timeout, _FOREVER) if request.timeout else None
        return Program(request.code, request.language, request.argv or (), envs, timeout)

    async def start(self, program: Program) -> tuple[Run, ChartFile]:
        """Start a program, and return where its charts are; without a runtime it is a run with exit code 127."""
        self._runs.check_open()
        started = asyncio.get_running_loop().time()
        charts = ChartFile()
        try:
            begun = await self._begin(program, charts)
        except BaseException:
            charts.close()
            raise
        run = Run(
            self._register(program, begun),
            begun.process,
            limit=TimeLimit(program.timeout),
            started=started,
            failed=begun.failed,
            early_exit=begun.early_exit,
            at_end=charts.collect,
        )
        run.ended.add_done_callback(lambda _: charts.close())
        return await self._runs.begin(run), charts

    async def close(self) -> None:
        """Kill running programs, which answers their requests."""
        await self._runs.close()
        await self._javascript.close()

    async def release(self) -> None:
        """Release all output, also that of answers in progress."""
        await self._runs.release()

    async def _begin(self, program: Program, charts: ChartFile) -> _Started:
        """Return the process, or the output and exit code of a failed start."""
        environ = self._context.environment.merged(program.envs)
        try:
            if program.language == "python":
                return await self._python(program, environ, charts)
            return await self._node(program, environ)
        except NoRuntimeError as error:
            return self._failed(str(error), 127)
        except OSError as error:
            status, text = start_failure.explain(error, self._context.workdir)
            return self._failed(f"{text}\n", status)

    async def _python(self, program: Program, environ: dict[str, str], charts: ChartFile) -> _Started:
        python = await self._programs.find(PYTHON, environ.get("PATH", ""))
        if not python:
            raise NoRuntimeError("sh: 1: python3: not found\n")
        worker = None
        # Limits must hold from the first instruction; a worker runs already.
        if not self._context.limits:
            base = self._context.environment.merged()
            worker = await self._warm.take(python, base, program.envs, len(program.text))
        if worker is not None:
            worker.run(program.text, program.argv, environ, self._context.workdir, charts.fd)
            process = worker.process

            async def early_exit() -> int | None:
                return await _output_ended(process, await worker.exit_status())

            return _Started(process.output, process, early_exit=early_exit)
        # A memory file: a large program is not written to a disk.
        source = file_of(program.text.encode())
        try:
            argv = [python, "-u", START, str(source), str(charts.fd), *program.argv]
            return await self._spawn(argv, environ, pass_fds=(source, charts.fd))
        finally:
            os.close(source)

    async def _node(self, program: Program, environ: dict[str, str]) -> _Started:
        plan = await self._javascript.plan(program.language, program.text, program.argv, environ.get("PATH", ""))
        return await self._spawn(plan.argv, {**plan.env, **environ}, stdin=plan.stdin)

    async def _spawn(
        self, argv: Sequence[str], environ: dict[str, str], *, stdin: bytes | None = None, pass_fds: Sequence[int] = ()
    ) -> _Started:
        output = self._context.spool.output_log(self._retention)
        process = await self._context.procs.spawn(
            argv,
            env=environ,
            cwd=self._context.workdir,
            stdin=stdin,
            output_log=output,
            pass_fds=pass_fds,
            limits=self._context.limits,
        )
        return _Started(output, process)

    def _failed(self, text: str, status: int) -> _Started:
        output = self._context.spool.output_log(self._retention)
        output.append(text.encode(errors="replace"))
        return _Started(output, failed=status)

    def _register(self, program: Program, begun: _Started) -> Entry:
        process = begun.process
        text = program.text[:_SHOWN]
        entry = Entry(kind=Kind.CODE, output=begun.output, keep=Keep.NONE, ephemeral=True, command=text)
        entry.argv, entry.timeout, entry.cwd = list(program.argv), program.timeout, self._context.workdir
        if process is not None:
            entry.id = process.id
            entry.began(process, self._context.limits)
        return self._context.registry.add(entry)


async def _output_ended(process: Process, code: int | None) -> int | None:
    """Return the exit status that a program reported, None if another process has its output open."""
    if code is not None:
        try:
            async with asyncio.timeout(EARLY_EXIT_PATIENCE):
                for pipe_reader in process.pipe_readers:
                    await pipe_reader.ended()
        except TimeoutError:
            return None
    return code
