"""One terminal: a shell, its pseudo-terminal, and everything it wrote."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec

from toolbox.errors import BadRequest, Gone, InternalError, ToolboxError, TooManyRequests
from toolbox.host.child import Child, ExitStatus
from toolbox.host.launch import Launch
from toolbox.host.limits import Limits
from toolbox.host.output_log import OutputLog
from toolbox.host.procs import Procs
from toolbox.host.pty import Pair, Pty, open_pair
from toolbox.process.terminals.pace import Pace
from toolbox.process.terminals.viewer import Viewer, first_offset
from toolbox.process.terminals.wire import SessionInfo
from toolbox.runs import bounds
from toolbox.runs.registry import Controls, Entry, Keep, Kind, Reason, Registry
from toolbox.wire import text, timestamp

MAX_VIEWERS = 64
# Changes of the size that a late drawing of the screen can still follow.
MAX_RESIZES = 256
END_OF_INPUT = b"\x04"
# After how many seconds a shell that did not end is told again.
HANG_UPS = (0.1, 0.4, 1.5)
KILLED = ExitStatus(128 + signal.SIGKILL, signal.SIGKILL)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start; ``envs`` is what was asked for, with TERM."""

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


class Resize(msgspec.Struct, frozen=True):
    """A size, and the position of the output from which it holds."""

    offset: int
    cols: int
    rows: int


Command = Callable[[Plan], Awaitable[tuple[Sequence[str], dict[str, str]]]]


class Terminal:
    """Own a shell from its start, which may be put off, to the last byte it wrote."""

    def __init__(self, plan: Plan, output_log: OutputLog, procs: Procs, registry: Registry, command: Command) -> None:
        self.plan = plan
        self.output = output_log
        self.exit: ExitStatus | None = None
        self.created = dt.datetime.now(dt.UTC)
        self.sizes: collections.deque[Resize] = collections.deque([Resize(0, plan.cols, plan.rows)], MAX_RESIZES)
        self.entry: Entry | None = None
        self._procs = procs
        self._registry = registry
        self._command = command
        self._pace = Pace(output_log)
        self._starting = asyncio.Lock()
        self._pty: Pty | None = None
        self._child: Child | None = None
        self._life: asyncio.Task[None] | None = None
        self._stopped = False
        self._killed = False
        self._closed = False

    @property
    def id(self) -> str:
        """Return the name its clients know it by."""
        return self.plan.id

    @property
    def active(self) -> bool:
        """Tell whether the shell runs."""
        return self._child is not None and self._child.running

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
            first_offset=first_offset(self.output),
            process_id=self.entry.id if self.entry is not None else None,
        )

    async def start(self, on_end: Callable[[Terminal], None]) -> None:
        """Start the shell unless that was done; raise what the client should learn."""
        async with self._starting:
            if self._closed:
                raise Gone(f"PTY session {self.id} is terminated")
            if self._child is None:
                argv, environ = await self._command(self.plan)
                child, pty = await self._spawn(argv, environ)
                try:
                    self.entry = self._register(child, argv)
                except ToolboxError:
                    await child.terminate()
                    pty.close()
                    raise
                self._child, self._pty = child, pty
                self._life = asyncio.create_task(self._live(self.entry, child, pty, on_end), name="terminal")

    async def write(self, data: bytes) -> None:
        """Type something; raise ``BrokenPipeError`` if nobody will ever read it."""
        if self._pty is None:
            raise BrokenPipeError("terminal is not started")
        try:
            await self._pty.write(data)
        except OSError as error:
            raise BrokenPipeError("terminal has ended") from error

    async def resize(self, cols: int, rows: int) -> None:
        """Change the size, or note it for the start."""
        if (cols, rows) != (self.size.cols, self.size.rows):
            self.sizes.append(Resize(self.output.size, cols, rows))
        if self._pty is not None:
            self._pty.resize(cols, rows)
        if self.entry is not None:
            self.entry.size = (cols, rows)

    async def signal(self, number: int) -> bool:
        """Signal what runs in the foreground; False if nothing does any more."""
        if self._child is None or not self._child.running or self._pty is None:
            return False
        # Read while the shell is known to run, so the number cannot be that of an unrelated group.
        group = self._pty.foreground()
        if group in (0, self._child.pid):
            return self._child.signal_group(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        return True

    async def end_input(self) -> None:
        """Type the end of input."""
        await self.write(END_OF_INPUT)

    async def kill(self, grace: float = 0.0, *, keep: bool = True) -> None:
        """End the shell and everything below it, disowned or not; return once all is gone."""
        async with self._starting:
            self._closed = True
        self._killed = self._killed or (self.active and not grace)
        if not keep and self.entry is not None:
            self.entry.keep = Keep.NONE
        if self._child is not None and self.active:
            if grace:
                await asyncio.gather(self._child.terminate(grace), _hang_up(self._child))
            else:
                await self._child.terminate()
        await self.ended()
        if self.entry is None:
            await self.output.close()

    async def stop(self, grace: float) -> None:
        """End it because the daemon ends."""
        self._stopped = True
        await self.kill(grace)

    async def ended(self) -> None:
        """Wait until it has ended and all it wrote was read."""
        if self._life is not None:
            await asyncio.wait([self._life])

    @contextlib.asynccontextmanager
    async def viewing(self, since: int | None, *, replay: bool) -> AsyncIterator[Viewer]:
        """Read along; what was written stays readable meanwhile, even after the end."""
        if self._pace.viewers >= MAX_VIEWERS:
            raise TooManyRequests(f"PTY session {self.id} has {MAX_VIEWERS} clients already")
        viewer = Viewer(self.output, self._pace)
        with self.holding():
            try:
                await viewer.start(since, replay=replay)
                self._repaint(complete=replay and viewer.offset == 0)
                yield viewer
            finally:
                viewer.close()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the output meanwhile."""
        with self.entry.hold() if self.entry is not None else contextlib.nullcontext():
            yield

    def _repaint(self, *, complete: bool) -> None:
        """Have a full-screen program draw again for who did not see all of it; a shell's prompt is left alone."""
        group = self._pty.foreground() if self._pty is not None else 0
        if not complete and group and self._child is not None and group != self._child.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGWINCH)

    async def _spawn(self, argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Child, Pty]:
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
            child = await self._procs.spawn_raw(launch)
        except BaseException as error:
            _close(pair)
            if isinstance(error, OSError):
                raise _start_error(error, self.plan.cwd) from error
            raise
        return child, Pty(pair, self.output, self._pace)

    def _register(self, child: Child, argv: Sequence[str]) -> Entry:
        return self._registry.add(
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

    async def _live(self, entry: Entry, child: Child, pty: Pty, on_end: Callable[[Terminal], None]) -> None:
        with entry.hold():
            status = await child.wait()
            await pty.settle()
            pty.close()
            self.exit = KILLED if self._killed else status
            self._closed = True
            # Whoever learns of the end may use the id again at once.
            on_end(self)
            self.output.finish()
            entry.finish(self.exit.code, self.exit.signal_name, self._reason(self.exit), usage=child.usage)

    def _reason(self, status: ExitStatus) -> Reason:
        if self._stopped:
            return Reason.STOPPED
        return Reason.EXITED if status.signal is None else Reason.SIGNALED


async def _hang_up(child: Child) -> None:
    """Tell a shell that its session is over; at its prompt it ignores SIGTERM.

    A signal that comes between its last look and its wait for a key is noted, and nothing more: told again, it ends.
    """
    for seconds in HANG_UPS:
        child.signal(signal.SIGHUP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await child.wait()
                return


def _close(pair: Pair) -> None:
    os.close(pair.master)
    os.close(pair.slave)


def _start_error(error: OSError, cwd: str) -> BadRequest | InternalError:
    reason = (error.strerror or str(error)).lower()
    if error.filename == cwd:
        return BadRequest(f"bad request: chdir {cwd}: {reason}")
    return InternalError(f"terminal cannot be started: {reason}")
