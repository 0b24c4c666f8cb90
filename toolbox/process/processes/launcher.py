"""Start processes for ``POST /processes`` and own their runs."""

from __future__ import annotations

import asyncio
import itertools
import os
import pathlib
from collections.abc import Sequence

from toolbox import wire
from toolbox.errors import BadRequest, InvalidBody, StartFailed, UnsupportedOperation
from toolbox.host import env, shells, users
from toolbox.host.launch import PIPE, Stdin
from toolbox.host.output_log import Retention
from toolbox.host.shells import Shell
from toolbox.process.processes.wire import CreateProcessRequest, Terminal
from toolbox.process.terminals.terminals import Terminals
from toolbox.runs import bounds
from toolbox.runs.context import ProcessContext
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.registry import Entry, Keep, Kind
from toolbox.runs.run import Run, TimeLimit
from toolbox.runs.run_set import RunSet

# How much of the end of the output is kept by default.
LOG_BYTES = 64 * 1024 * 1024
# How much of a command, which may be megabytes long, the list of processes shows.
SHOWN = 64 * 1024


class Launcher:
    """Start the process that a request describes."""

    def __init__(self, context: ProcessContext, terminals: Terminals | None = None) -> None:
        self._context = context
        self._runs = RunSet("process")
        self._terminals = terminals

    async def start(self, request: CreateProcessRequest) -> Entry:
        """Start a process and return its entry."""
        self._check(request)
        self._runs.check_open()
        if request.kind == "pty":
            return await self._start_terminal(request)
        return await self._start_process(request)

    async def close(self) -> None:
        """Kill running processes and wait for their exit."""
        await self._runs.close()
        await self._runs.release()

    def _check(self, request: CreateProcessRequest) -> None:
        if (request.argv is None) == (request.shell_command is None) and request.kind != "pty":
            raise InvalidBody("invalid request body: give either argv or shellCommand")
        if request.argv is not None and not (request.argv and request.argv[0]):
            raise InvalidBody("invalid request body: argv is empty")
        if request.shell_command is not None and not request.shell_command.strip():
            raise InvalidBody("invalid request body: shellCommand is empty")
        for name, value in (("argv", request.argv), ("shellCommand", request.shell_command), ("cwd", request.cwd)):
            if value and any("\0" in item for item in ([value] if isinstance(value, str) else value)):
                raise BadRequest(f"bad request: {name} contains a NUL byte")
        env.check(request.env or {})
        if request.terminal is not None and request.kind != "pty":
            raise UnsupportedOperation("terminal needs kind pty")

    async def _start_process(self, request: CreateProcessRequest) -> Entry:
        started = asyncio.get_running_loop().time()
        user = await asyncio.to_thread(users.find, request.user) if request.user else None
        argv, executable, stdin = await self._command(request)
        limits = bounds.wanted(request.limits, self._context.limits)
        entry = self._context.registry.add(self._entry(request, executable))
        try:
            process = await self._context.procs.spawn(
                argv,
                executable=executable,
                env=self._context.environment.merged({**(user.variables if user else {}), **(request.env or {})}),
                cwd=entry.cwd,
                stdin=stdin,
                merge=False,
                output_log=entry.output,
                user=user,
                limits=limits,
            )
        except BaseException as error:
            entry.finish(ExitInfo.failed(127))
            self._context.registry.discard(entry)
            if isinstance(error, OSError):
                raise _failed(error) from error
            raise
        entry.began(process, limits)
        run = Run(entry, process, limit=_time_limit(request), started=started)
        run.release()  # the registry owns the output
        await self._runs.begin(run)
        return entry

    def _entry(self, request: CreateProcessRequest, executable: str | None) -> Entry:
        return Entry(
            kind=Kind(request.kind or "exec"),
            output=self._context.spool.output_log(Retention(head=0, tail=request.max_log_bytes or LOG_BYTES)),
            keep=Keep(request.keep_logs or "on_exit_ttl"),
            name=request.name or "",
            session_id=request.session_id or "",
            command=(request.shell_command or "")[:SHOWN],
            argv=_shown(request.argv or ()),
            cwd=self._context.resolve(request.cwd or ""),
            shell=executable or "",
            user=request.user or "",
            login=bool(request.login),
            timeout=request.timeout_ms / 1000 if request.timeout_ms else None,
        )

    async def _command(self, request: CreateProcessRequest) -> tuple[Sequence[str | bytes], str | None, Stdin]:
        """Return the arguments, the executable if it is not the first of them, and standard input."""
        pipe = PIPE if request.stdin == "pipe" else None
        if request.shell_command is None:
            return request.argv or (), None, pipe
        shell = await self._shell(request.shell)
        login = ["-l"] if request.login else []
        text = request.shell_command.encode()
        if pipe is not None:
            return [shell.name, *login, "-c", text], shell.path, pipe
        argv, script = shell.script(text)
        return [argv[0], *login, *argv[1:]], shell.path, script

    async def _shell(self, name: str | None) -> Shell:
        if name in (None, "auto"):
            return await self._context.shells.choose()
        path = self._context.environment.get("PATH") or shells.DEFAULT_PATH
        found = Shell(await asyncio.to_thread(shells.find, path, "", name))
        if pathlib.PurePath(found.path).name != name:
            raise StartFailed(f"{name}: no such shell here")
        return found

    async def _start_terminal(self, request: CreateProcessRequest) -> Entry:
        if self._terminals is None:
            raise UnsupportedOperation("terminals are not available")
        if request.limits is not None or request.user is not None:
            raise UnsupportedOperation("a terminal takes neither limits nor user")
        size = request.terminal or Terminal()
        argv = request.argv
        if request.shell_command is not None:
            shell = await self._shell(request.shell)
            argv = [shell.path, *(["-l"] if request.login else []), "-c", request.shell_command]
        entry = await self._terminals.launch(
            argv=argv,
            cwd=self._context.resolve(request.cwd or ""),
            env={**(request.env or {}), **({"TERM": size.term} if size.term else {})},
            cols=size.cols,
            rows=size.rows,
            name=request.name or "",
            session_id=request.session_id or "",
            time_limit=_time_limit(request),
        )
        entry.keep = Keep(request.keep_logs or "on_exit_ttl")
        return entry


def _time_limit(request: CreateProcessRequest) -> TimeLimit:
    return TimeLimit(request.timeout_ms / 1000 if request.timeout_ms else None, (request.kill_grace_ms or 0) / 1000)


def _shown(argv: Sequence[str]) -> list[str]:
    """Return the arguments that fit into ``SHOWN`` bytes."""
    ends = itertools.accumulate(len(item) + 1 for item in argv)
    return [item for item, end in zip(argv, ends, strict=True) if end <= SHOWN]


def _failed(error: OSError) -> StartFailed:
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "process"
    return StartFailed(wire.text(f"{name}: {(error.strerror or str(error)).lower()}"))
