"""One terminal: a shell, its pseudo-terminal and its output."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

import msgspec

from toolbox.errors import BadRequest, Gone, InternalError, ToolboxError, TooManyRequests
from toolbox.host.child import Child, ExitStatus
from toolbox.host.launch import Launch
from toolbox.host.limits import Limits
from toolbox.host.output_log import Retention
from toolbox.host.pty import Pty, open_pair
from toolbox.process.terminals.pace import Pace
from toolbox.process.terminals.process import TerminalProcess
from toolbox.process.terminals.viewer import Viewer
from toolbox.process.terminals.wire import SessionInfo
from toolbox.runs import bounds
from toolbox.runs.context import ProcessContext
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.output import first_available
from toolbox.runs.registry import Controls, Entry, Keep, Kind
from toolbox.runs.run import Run, TimeLimit
from toolbox.wire import text, timestamp

log = logging.getLogger(__name__)

MAX_VIEWERS = 64
# How many changes of the size are kept for drawing the screen.
MAX_RESIZES = 256
END_OF_INPUT = b"\x04"
SCROLLBACK = 1024 * 1024
# Their inherited values would be the size of another terminal.
_SIZE_VARIABLES = ("COLUMNS", "LINES")


class TerminalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start; ``envs`` are the variables of the request, with TERM."""

    id: str
    cwd: str
    envs: Mapping[str, str]
    cols: int
    rows: int
    lazy: bool
    argv: Sequence[str] | None = None
    name: str = ""
    session_id: str = ""
    limits: Limits | None = None
    time_limit: TimeLimit = TimeLimit()


class Resize(msgspec.Struct, frozen=True):
    """A size, and the offset of the output from which it applies."""

    offset: int
    cols: int
    rows: int


class Terminal:
    """Own a shell from its start, which may be lazy, to the end of its output."""

    def __init__(self, plan: TerminalPlan, context: ProcessContext) -> None:
        self.plan = plan
        self.output = context.spool.output_log(Retention(head=0, tail=SCROLLBACK))
        self.exit: ExitStatus | None = None
        self.created = dt.datetime.now(dt.UTC)
        self.sizes: collections.deque[Resize] = collections.deque([Resize(0, plan.cols, plan.rows)], MAX_RESIZES)
        self.entry: Entry | None = None
        self._context = context
        self._pace = Pace(self.output)
        self._starting = asyncio.Lock()
        self._process: TerminalProcess | None = None
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def id(self) -> str:
        """Return the id that the client chose."""
        return self.plan.id

    @property
    def active(self) -> bool:
        """Tell whether the shell runs."""
        return self._process is not None and self._process.running

    @property
    def size(self) -> Resize:
        """Return the size."""
        return self.sizes[-1]

    def info(self) -> SessionInfo:
        """Describe it."""
        return SessionInfo(
            id=self.id,
            cwd=text(self.plan.cwd),
            envs=dict(self.plan.envs),
            cols=self.size.cols,
            rows=self.size.rows,
            created_at=timestamp(self.created),
            active=self.active,
            lazy_start=self.plan.lazy,
            offset=self.output.size,
            first_offset=first_available(self.output),
            process_id=self.entry.id if self.entry is not None else None,
        )

    async def start(self, on_end: Callable[[Terminal], None]) -> None:
        """Start the shell, once; raise what the client gets as an error."""
        async with self._starting:
            if self._closed:
                raise Gone(f"PTY session {self.id} is terminated")
            if self._process is None:
                argv, environ = await self._command()
                process = await self._spawn(argv, environ)
                try:
                    self.entry = self._register(process.child, argv)
                except ToolboxError:
                    await process.terminate()
                    process.release()
                    raise
                self._process = process
                self._own_run(self.entry, process, on_end)

    async def _command(self) -> tuple[Sequence[str], dict[str, str]]:
        """Return the arguments and the current variables."""
        inherited = self._context.environment.merged()
        for name in _SIZE_VARIABLES:
            inherited.pop(name, None)
        argv = self.plan.argv or [(await self._context.shells.choose()).path, "-i", "-l"]
        return argv, {**inherited, **self.plan.envs}

    def _own_run(self, entry: Entry, process: TerminalProcess, on_end: Callable[[Terminal], None]) -> None:
        async def at_end(end: ExitInfo) -> None:
            self.exit = process.status
            self._closed = True
            log.info("terminal ended", extra=entry.log_fields(end))
            # Frees the id before clients can see the end.
            on_end(self)

        self._run = Run(entry, process, limit=self.plan.time_limit, at_end=at_end)
        self._run.release()  # the registry owns the output
        self._task = asyncio.create_task(self._run.live(), name="terminal")
        log.info("terminal started", extra={"id": entry.id, "pid": process.pid})

    async def write(self, data: bytes) -> None:
        """Write input; raise ``BrokenPipeError`` if the terminal is not started or has ended."""
        if self._process is None:
            raise BrokenPipeError("terminal is not started")
        try:
            await self._process.pty.write(data)
        except OSError as error:
            raise BrokenPipeError("terminal has ended") from error

    async def resize(self, cols: int, rows: int) -> None:
        """Change the size, or record it for a lazy start."""
        if (cols, rows) != (self.size.cols, self.size.rows):
            self.sizes.append(Resize(self.output.size, cols, rows))
        if self._process is not None:
            self._process.pty.resize(cols, rows)
        if self.entry is not None:
            self.entry.size = (cols, rows)

    async def signal(self, number: int) -> bool:
        """Signal the foreground process group; return False if the shell has exited."""
        process = self._process
        if process is None or not process.running:
            return False
        # Read while the shell runs, so the group id cannot have been reused.
        group = process.pty.foreground()
        if group in (0, process.pid):
            return process.child.signal_group(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        return True

    async def end_input(self) -> None:
        """Write the end-of-input character."""
        await self.write(END_OF_INPUT)

    async def kill(self, grace: float = 0.0, *, keep: bool = True) -> None:
        """Kill the shell and its process tree, including disowned jobs; return when all have exited."""
        async with self._starting:
            self._closed = True
        if not keep and self.entry is not None:
            self.entry.keep = Keep.NONE
        if self._process is not None:
            await self._process.terminate(grace)
        await self.ended()
        if self.entry is None:
            await self.output.close()

    async def stop(self, grace: float) -> None:
        """End the terminal because the daemon stops."""
        if self._run is not None:
            await self._run.abort(grace)
        await self.kill(grace)

    async def ended(self) -> None:
        """Wait until the shell has exited and all of its output is read."""
        if self._task is not None:
            await asyncio.wait([self._task])

    @contextlib.asynccontextmanager
    async def viewing(self, since: int | None, *, replay: bool) -> AsyncIterator[Viewer]:
        """Add a viewer; the output is kept meanwhile, also after the end."""
        if self._pace.viewers >= MAX_VIEWERS:
            raise TooManyRequests(f"PTY session {self.id} has {MAX_VIEWERS} clients already")
        viewer = Viewer(self.output, self._pace)
        with self.holding():
            try:
                await viewer.start(since, replay=replay)
                self._repaint(complete=replay and viewer.offset == 0)
                yield viewer
            finally:
                self._pace.left(viewer)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the output until the context exits."""
        with self.entry.hold() if self.entry is not None else contextlib.nullcontext():
            yield

    def _repaint(self, *, complete: bool) -> None:
        """Make a full-screen program redraw for a viewer without the whole output; not the shell, at its prompt."""
        process = self._process
        group = process.pty.foreground() if process is not None else 0
        if not complete and process is not None and group not in (0, process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGWINCH)

    async def _spawn(self, argv: Sequence[str], environ: Mapping[str, str]) -> TerminalProcess:
        try:
            pair = await asyncio.to_thread(open_pair, self.size.cols, self.size.rows)
        except OSError as error:
            raise InternalError(f"terminal cannot be opened: {(error.strerror or '').lower()}") from error
        launch = Launch(
            argv,
            environ,
            self.plan.cwd,
            stdin=pair.slave,
            stdout=pair.slave,
            merge=True,
            terminal=pair.path,
            limits=self.plan.limits,
        )
        try:
            child = await self._context.procs.spawn_raw(launch)
        except BaseException as error:
            os.close(pair.master)
            os.close(pair.slave)
            if isinstance(error, OSError):
                raise _start_error(error, self.plan.cwd) from error
            raise
        return TerminalProcess(child, Pty(pair, self.output, self._pace))

    def _register(self, child: Child, argv: Sequence[str]) -> Entry:
        return self._context.registry.add(
            Entry(
                kind=Kind.PTY,
                output=self.output,
                id=child.id,
                pid=child.pid,
                started=child.started,
                name=self.plan.name,
                session_id=self.plan.session_id,
                cwd=self.plan.cwd,
                argv=argv,
                shell="" if self.plan.argv else argv[0],
                login=not self.plan.argv,
                size=(self.size.cols, self.size.rows),
                timeout=self.plan.time_limit.seconds,
                limits=bounds.report(self.plan.limits, child),
                controls=Controls(
                    write=self.write,
                    end_input=self.end_input,
                    signal=self.signal,
                    terminate=self.kill,
                    resize=self.resize,
                ),
            )
        )


def _start_error(error: OSError, cwd: str) -> BadRequest | InternalError:
    reason = (error.strerror or str(error)).lower()
    if error.filename == cwd:
        return BadRequest(f"bad request: chdir {cwd}: {reason}")
    return InternalError(f"terminal cannot be started: {reason}")
