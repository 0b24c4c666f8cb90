"""The registry of runs: one entry per command, session command, terminal and code run, also for a while after its end.

Ownership of the output log: with ``owned`` (the default) the registry closes it. Otherwise the creator of the entry
must ``discard()`` the entry, then close the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from toolbox.errors import NameConflict, ProcessNotFound
from toolbox.host.child import Child
from toolbox.host.limits import NO_LIMITS, Limits
from toolbox.host.output_log import OutputLog
from toolbox.host.survivors import Survivor
from toolbox.runs import bounds, exit_info
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.wire import Details, LimitsReport

MIB = 1024 * 1024
PRUNE_INTERVAL = 10.0


class Kind(enum.StrEnum):
    """The kinds of run on the wire."""

    EXEC = "exec"
    PTY = "pty"
    CODE = "code"


class Keep(enum.StrEnum):
    """How long output is kept after the end of the run, always within the bounds of the registry."""

    UNTIL_CLEANUP = "until_cleanup"
    ON_EXIT_TTL = "on_exit_ttl"
    NONE = "none"


class Controls(NamedTuple):
    """The operations on a run; None where its kind has no such operation.

    ``write`` raises ``BrokenPipeError`` once the read end is closed; ``signal`` takes a number, reaches the process
    and its foreground children, and returns False if it has ended; ``terminate`` ends the whole tree, with so many
    seconds between SIGTERM and SIGKILL; ``resize`` takes columns and rows.
    """

    write: Callable[[bytes], Awaitable[None]] | None = None
    end_input: Callable[[], Awaitable[None]] | None = None
    signal: Callable[[int], Awaitable[bool]] | None = None
    terminate: Callable[[float], Awaitable[None]] | None = None
    resize: Callable[[int, int], Awaitable[None]] | None = None

    @classmethod
    def of(cls, child: Child) -> Controls:
        """Return the controls of a child: its stdin pipe if it has one, its process group, its tree."""
        pipe_writer = child.stdin

        async def end_input() -> None:
            if pipe_writer is not None:
                pipe_writer.close()

        async def send(number: int) -> bool:
            return child.signal_group(number)

        return cls(
            write=None if pipe_writer is None else pipe_writer.write,
            end_input=None if pipe_writer is None else end_input,
            signal=send,
            terminate=child.terminate,
        )


# Each generated method costs a third of a millisecond of the start.
@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class Entry:
    """One run. Fields may still be set after ``add``, for example ``pid`` and ``controls``."""

    kind: Kind
    output: OutputLog
    owned: bool = True
    keep: Keep = Keep.ON_EXIT_TTL
    # Removed at its end unless ``keep`` says otherwise: its answer has everything already.
    ephemeral: bool = False
    id: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    pid: int | None = None
    controls: Controls = dataclasses.field(default_factory=Controls)
    name: str = ""
    session_id: str = ""
    command: str = ""
    argv: Sequence[str] = ()
    cwd: str = ""
    shell: str = ""
    protected: bool = False
    created: float = dataclasses.field(default_factory=time.time)
    started: float | None = None
    user: str = ""
    login: bool = False
    timeout: float | None = None
    size: tuple[int, int] | None = None
    limits: LimitsReport | None = None
    exit: ExitInfo | None = None
    holds: int = 0
    _ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    # Set by the registry.
    _on_end: Callable[[Entry], None] | None = None

    @property
    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.exit is None

    @property
    def held(self) -> bool:
        """Tell whether a reader or the run itself needs the output."""
        return self.holds > 0

    def began(self, process: Child, limits: Limits | None = None) -> None:
        """Record that it runs, as this process, with these limits."""
        self.pid, self.started, self.controls = process.pid, process.started, Controls.of(process)
        if limits is not None and limits != NO_LIMITS:
            self.limits = bounds.report(limits, process)

    def finish(self, end: ExitInfo) -> None:
        """Record the end, once its output is complete; only the first call counts."""
        if self.exit is None:
            self.exit = end._replace(ended=time.time())
            self._ended.set()
            if not self.output.ended:
                self.output.wake()
            self._report_end()

    def details(self, left: list[Survivor] | None = None) -> Details | None:
        """Describe the end, once there is one; ``left`` is what stayed in the background."""
        return None if self.exit is None else exit_info.details(self.exit, self.started or self.created, left)

    def log_fields(self, end: ExitInfo) -> dict[str, object]:
        """Return what the log says at the end of a run: ids, exit and duration, nothing of the user's content."""
        seconds = round(time.time() - (self.started or self.created), 3)
        return {"id": self.id, "exit_code": end.code, "reason": end.reason.value, "seconds": seconds}

    async def wait(self) -> ExitInfo:
        """Wait for the end."""
        await self._ended.wait()
        assert self.exit is not None
        return self.exit

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the output meanwhile, past every bound of the registry."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1
            self._report_end()

    def _report_end(self) -> None:
        """Have the registry account for it once it has ended and nobody holds it."""
        if self.exit is not None and not self.holds and self._on_end is not None:
            self._on_end(self)


class Registry:
    """All entries: those that run, and the newest of those that have ended, within bounds of age, number and bytes."""

    def __init__(self, *, keep: int = 256, ttl: float = 900.0, keep_bytes: int = 256 * MIB) -> None:
        self._keep = keep
        self._ttl = ttl
        self._keep_bytes = keep_bytes
        self._entries: dict[str, Entry] = {}
        # Bytes that each ended entry keeps, in order of their end.
        self._ended: dict[str, int] = {}
        self._kept = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, entry: Entry) -> Entry:
        """Register an entry; the name of a run that has not ended is a conflict, and the entry is not registered."""
        if entry.name and any(other.name == entry.name and other.running for other in self):
            raise NameConflict(f"process name is taken: {entry.name}")
        self._entries[entry.id] = entry
        entry._on_end = self._on_end  # noqa: SLF001 - the registry owns its entries
        return entry

    def get(self, entry_id: str) -> Entry:
        """Return one entry."""
        try:
            return self._entries[entry_id]
        except KeyError:
            raise ProcessNotFound(f"process not found: {entry_id}") from None

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def discard(self, entry: Entry) -> None:
        """Remove an entry; an owned output log is closed once nobody holds it."""
        if self._entries.pop(entry.id, None) is not None:
            self._kept -= self._ended.pop(entry.id, 0)
            if not entry.holds:
                self._close_output(entry)

    async def close(self) -> None:
        """Remove all entries and close the owned output logs; what runs ends as stopped for its readers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for entry in self:
            entry._on_end = None  # noqa: SLF001
            self._close_output(entry)
            entry.finish(ExitInfo.stopped())
        self._entries.clear()
        self._ended.clear()
        while self._closing:
            await asyncio.wait(self._closing)

    def _on_end(self, entry: Entry) -> None:
        """Account for an entry that has ended and that nobody holds."""
        if entry.id not in self._entries:
            self._close_output(entry)
        elif entry.ephemeral and entry.keep is Keep.NONE:
            self.discard(entry)
        else:
            self._count(entry)
            self._prune()

    def _count(self, entry: Entry) -> None:
        """Add what an ended entry keeps to the total, or close its output if none is kept."""
        size = 0
        if entry.keep is Keep.NONE:
            self._close_output(entry)
        elif entry.owned:
            entry.output.rest()
            size = entry.output.size - entry.output.dropped
        self._kept += size - self._ended.get(entry.id, 0)
        self._ended[entry.id] = size

    def _prune(self) -> None:
        """Remove entries that ended too long ago, and the oldest of what exceeds the bounds."""
        for entry in [self._entries[entry_id] for entry_id in self._ended]:
            crowded = len(self._ended) > self._keep or self._kept > self._keep_bytes
            if not crowded and 0 < self._left(entry) < math.inf:
                break
            if not (entry.held or entry.protected) and (crowded or self._left(entry) <= 0):
                self.discard(entry)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            left = min((self._left(self._entries[entry_id]) for entry_id in self._ended), default=math.inf)
            if left < math.inf:
                # An interval at least: an entry that is held or protected stays, however old.
                self._timer = asyncio.get_running_loop().call_later(max(left, PRUNE_INTERVAL), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._prune()

    def _left(self, entry: Entry) -> float:
        """Return the seconds until an entry is too old, which may be negative."""
        if entry.exit is None or entry.keep is Keep.UNTIL_CLEANUP:
            return math.inf
        return entry.exit.ended + self._ttl - time.time()

    def _close_output(self, entry: Entry) -> None:
        if entry.owned and not entry.output.close_at_once():
            task = asyncio.create_task(entry.output.close(), name="close output")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
