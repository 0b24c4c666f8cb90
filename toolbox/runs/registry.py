"""What runs and what ran a moment ago: one entry per command, session command, terminal and code run.

Whoever starts something adds an ``Entry`` and calls its ``finish``; the registry answers who is there and forgets
what is old. A newcomer would get the output log wrong: with ``owned`` (the default) it belongs to the registry from
``add`` on and nobody else closes it; without, it stays with whoever made it, who also takes the entry out
(``discard``) before closing it.
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
    """Say what kind of thing runs."""

    EXEC = "exec"
    PTY = "pty"
    CODE = "code"


class Keep(enum.StrEnum):
    """Say how long output is kept once the process has ended; in any case within the registry's bounds."""

    UNTIL_CLEANUP = "until_cleanup"
    ON_EXIT_TTL = "on_exit_ttl"
    NONE = "none"


class Controls(NamedTuple):
    """What can be done to something that runs; None where its kind has no such thing.

    ``write`` raises ``BrokenPipeError`` if nobody reads any more; ``signal`` takes a number, reaches the process
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
        """Return those of a plain child: its stdin pipe if it has one, its process group, its tree."""
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
    """One thing that runs or ran. Fields may still be set after ``add``, for example ``pid`` and ``controls``."""

    kind: Kind
    output: OutputLog
    owned: bool = True
    keep: Keep = Keep.ON_EXIT_TTL
    # Its answer carries all there is to know: nothing stays after its end unless its output is to be kept.
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
    # Called when it has ended and nobody holds it; set by the registry.
    _changed: Callable[[Entry], None] | None = None

    @property
    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.exit is None

    @property
    def held(self) -> bool:
        """Tell whether somebody needs the output."""
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
            # While it is held the registry keeps it anyway; the last release reports the change.
            if not self.holds and self._changed is not None:
                self._changed(self)

    def details(self, left: list[Survivor] | None = None) -> Details | None:
        """Describe the end, once there is one; ``left`` is what stayed in the background."""
        return None if self.exit is None else exit_info.details(self.exit, self.started or self.created, left)

    async def wait(self) -> ExitInfo:
        """Wait for the end."""
        await self._ended.wait()
        assert self.exit is not None
        return self.exit

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Have the output kept meanwhile, whatever else says that it may go."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1
            if not self.holds and self._changed is not None:
                self._changed(self)


class Registry:
    """Hold all entries: those that run, and of those that ended the newest few."""

    def __init__(self, *, keep: int = 256, ttl: float = 900.0, keep_bytes: int = 256 * MIB) -> None:
        self._keep = keep
        self._ttl = ttl
        self._keep_bytes = keep_bytes
        self._entries: dict[str, Entry] = {}
        # In order of their end, with the bytes each keeps.
        self._ended: dict[str, int] = {}
        self._kept = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, entry: Entry) -> Entry:
        """Take in an entry; a name that something running has is a conflict, and leaves the entry outside."""
        if entry.name and any(other.name == entry.name and other.running for other in self):
            raise NameConflict(f"process name is taken: {entry.name}")
        self._entries[entry.id] = entry
        entry._changed = self._on_change  # noqa: SLF001 - the registry owns its entries
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
        """Take an entry out; an owned output log is closed once nobody holds it."""
        if self._entries.pop(entry.id, None) is not None:
            self._kept -= self._ended.pop(entry.id, 0)
            if not entry.holds:
                self._close_output(entry)

    async def close(self) -> None:
        """Forget everything and close what is owned; who reads gets nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for entry in self:
            entry._changed = None  # noqa: SLF001
            self._close_output(entry)
            entry.finish(ExitInfo.stopped())
        self._entries.clear()
        self._ended.clear()
        while self._closing:
            await asyncio.wait(self._closing)

    def _on_change(self, entry: Entry) -> None:
        if entry.exit is None:
            return
        if entry.id not in self._entries:
            if not entry.held:
                self._close_output(entry)
            return
        if entry.ephemeral and entry.keep is Keep.NONE:
            if not entry.holds:
                self.discard(entry)
            return
        self._count(entry)
        self._prune()

    def _count(self, entry: Entry) -> None:
        """Note what an ended entry keeps; what is not to be kept goes."""
        drop = entry.keep is Keep.NONE and not entry.held
        if drop:
            self._close_output(entry)
        elif entry.owned:
            entry.output.rest()
        size = 0 if drop or not entry.owned else entry.output.size - entry.output.dropped
        self._kept += size - self._ended.get(entry.id, 0)
        self._ended[entry.id] = size

    def _prune(self) -> None:
        """Forget what ended long ago, and the eldest of what is too much."""
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
                # Not at once: what is held or protected stays, however old.
                self._timer = asyncio.get_running_loop().call_later(max(left, PRUNE_INTERVAL), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._prune()

    def _left(self, entry: Entry) -> float:
        """Return the seconds until an entry is too old."""
        if entry.exit is None or entry.keep is Keep.UNTIL_CLEANUP:
            return math.inf
        return entry.exit.ended + self._ttl - time.time()

    def _close_output(self, entry: Entry) -> None:
        if entry.owned and not entry.output.close_at_once():
            task = asyncio.create_task(entry.output.close(), name="close output")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
