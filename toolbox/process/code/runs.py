"""One program per request: start it warm or cold, own it to its end, keep what it printed until that is delivered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

import msgspec

from toolbox.errors import BadRequest
from toolbox.host import env
from toolbox.host.launch import file_of
from toolbox.host.output_log import Retention
from toolbox.process.code.charts import ChartFile
from toolbox.process.code.fork_server import ForkServerPool, Worker
from toolbox.process.code.job import Begun, CodeRun
from toolbox.process.code.languages import PYTHON, START, JavaScript, NoRuntimeError
from toolbox.process.code.programs import Programs
from toolbox.process.code.wire import CodeRunRequest
from toolbox.runs import bounds
from toolbox.runs import start_failure as failure
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Entry, Keep, Kind
from toolbox.runs.run_set import RunSet

_FOREVER = 1e8
_LANGUAGES = ("python", "javascript", "typescript")
# What the list of processes shows of a program.
_SHOWN = 4096


class Code(msgspec.Struct, frozen=True):
    """A checked request."""

    text: str
    language: str
    argv: Sequence[str]
    envs: Mapping[str, str]
    timeout: float | None


class CodeRuns:
    """Run programs."""

    def __init__(self, context: ProcessContext, warm: ForkServerPool, *, max_output: int) -> None:
        self._context = context
        self._warm = warm
        self._retention = Retention.capped(max_output)
        self._programs = Programs()
        self._javascript = JavaScript(context.procs, self._programs, context.environment.merged())
        self._runs: RunSet[CodeRun] = RunSet("code run")

    def check(self, request: CodeRunRequest) -> Code:
        """Refuse what cannot be run."""
        if request.language not in _LANGUAGES:
            raise BadRequest(f"bad request: unsupported language: {request.language}")
        if any("\0" in argument for argument in request.argv or ()):
            raise BadRequest("bad request: argv contains a nul character")
        envs = {**(request.env or {}), **(request.envs or {})}
        env.check_names(envs)
        env.check(envs)
        timeout = min(request.timeout, _FOREVER) if request.timeout else None
        return Code(request.code, request.language, request.argv or (), envs, timeout)

    async def start(self, code: Code) -> CodeRun:
        """Start a program; a runtime that is missing is an outcome like any other."""
        self._runs.check_open()
        started = asyncio.get_running_loop().time()
        charts = ChartFile()
        try:
            begun = await self._begin(code, charts)
        except BaseException:
            charts.close()
            raise
        deadline = None if code.timeout is None else started + code.timeout
        return await self._runs.begin(CodeRun(self._register(code, begun), charts, begun, deadline=deadline))

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it."""
        await self._runs.close()
        await self._javascript.close()

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        await self._runs.release()

    async def _begin(self, code: Code, charts: ChartFile) -> Begun:
        """Return the process, or the exit code for having none."""
        environ = self._context.environment.merged(code.envs)
        try:
            if code.language == "python":
                return await self._python(code, environ, charts)
            return await self._node(code, environ)
        except NoRuntimeError as error:
            return self._failed(str(error), 127)
        except OSError as error:
            status, text = failure.explain(error, self._context.workdir)
            return self._failed(f"{text}\n", status)

    async def _python(self, code: Code, environ: dict[str, str], charts: ChartFile) -> Begun:
        python = await self._programs.find(PYTHON, environ.get("PATH", ""))
        if not python:
            raise NoRuntimeError("sh: 1: python3: not found\n")
        worker = await self._worker(python, code)
        if worker is not None:
            worker.go(code.text, list(code.argv), environ, self._context.workdir, charts.fd)
            return Begun(worker.process.output, worker.process, told=worker.told)
        source = file_of(code.text.encode())
        try:
            argv = [python, "-u", START, str(source), str(charts.fd), *code.argv]
            return await self._spawn(argv, environ, pass_fds=(source, charts.fd))
        finally:
            # A large program is in memory, not on a disk.
            os.close(source)

    async def _worker(self, python: str, code: Code) -> Worker | None:
        """Return an interpreter that is warm; with limits none is, as they hold from the first instruction on."""
        if self._context.limits:
            return None
        return await self._warm.take(python, self._context.environment.merged(), code.envs, len(code.text))

    async def _node(self, code: Code, environ: dict[str, str]) -> Begun:
        choose = self._javascript.javascript if code.language == "javascript" else self._javascript.typescript
        plan = await choose(code.text, code.argv, environ.get("PATH", ""))
        return await self._spawn(plan.argv, {**plan.env, **environ}, stdin=plan.stdin)

    async def _spawn(
        self, argv: Sequence[str], environ: dict[str, str], *, stdin: bytes | None = None, pass_fds: Sequence[int] = ()
    ) -> Begun:
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
        return Begun(output, process)

    def _failed(self, text: str, status: int) -> Begun:
        output = self._context.spool.output_log(self._retention)
        output.append(text.encode(errors="replace"))
        return Begun(output, failure=status)

    def _register(self, code: Code, begun: Begun) -> Entry:
        process = begun.process
        entry = Entry(kind=Kind.CODE, output=begun.output, keep=Keep.NONE, ephemeral=True, command=code.text[:_SHOWN])
        entry.argv, entry.timeout, entry.cwd = list(code.argv), code.timeout, self._context.workdir
        if process is not None:
            entry.id = process.id
            entry.began(process)
            entry.limits = bounds.report(self._context.limits, process)
        return self._context.registry.add(entry)
