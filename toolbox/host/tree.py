"""Process trees, read from ``/proc``, and their termination.

Every child leads a session of its own. Its tree consists of the processes in that session, including those re-parented
to the daemon since, and the descendants of these. The exit of a member is an event on its pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable

import msgspec

from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

# Scans after which a tree that forks faster than it is killed is given up.
ROUNDS = 40
# Only a process in uninterruptible sleep (state D) survives SIGKILL for longer; it may stay for ever.
KILL_SECONDS = 2.0
_POLL_SECONDS = 0.02


class ProcessInfo(msgspec.Struct, frozen=True):
    """A process: ids, state letter, and start time in clock ticks since boot (the pid is reused, the pair is not)."""

    pid: int
    parent: int
    session: int
    state: str
    start: int


def stat_fields(pid: int) -> list[bytes] | None:
    """Read the fields of ``/proc/PID/stat`` from the state on; None if the process does not exist."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(fd, 2048)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The second field, the program's name in parentheses, may itself contain spaces and parentheses.
    return line[line.rindex(b")") + 2 :].split()


def entry(pid: int) -> ProcessInfo | None:
    """Read one process; None if it does not exist."""
    fields = stat_fields(pid)
    if fields is None:
        return None
    return ProcessInfo(pid, int(fields[1]), int(fields[3]), fields[0].decode(), int(fields[19]))


def table() -> dict[int, ProcessInfo]:
    """Read the process table; blocks for about 15 µs per process."""
    found = (entry(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {item.pid: item for item in found if item is not None}


def children_of_self() -> set[int]:
    """Return the direct children of this process; the kernel lists them by the thread that forked them."""
    pids: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                pids.update(map(int, file.read().split()))
    except OSError:  # no CONFIG_PROC_CHILDREN, or a thread ended meanwhile
        own = os.getpid()
        pids = {item.pid for item in table().values() if item.parent == own}
    return pids


def descendants(roots: Iterable[int], entries: dict[int, ProcessInfo]) -> set[int]:
    """Return ``roots`` and their descendants, without zombies."""
    below: dict[int, list[int]] = {}
    for item in entries.values():
        below.setdefault(item.parent, []).append(item.pid)
    found: set[int] = set()
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += below.get(pid, ())
    return {pid for pid in found if pid in entries and entries[pid].state not in "ZX"}


def family(root: int, entries: dict[int, ProcessInfo], *, exited: bool) -> dict[int, ProcessInfo]:
    """Return the running members of the tree of ``root``; ``exited``: whether that process was reaped already."""
    if exited and root in entries:
        # The pid was reused. The kernel does not reuse a number that is still a session id, so the tree is empty.
        return {}
    members = {item.pid for item in entries.values() if item.session == root} | {root}
    return _eldest_first(entries[pid] for pid in descendants(members, entries) if pid != os.getpid())


def below_self(entries: dict[int, ProcessInfo]) -> dict[int, ProcessInfo]:
    """Return the running descendants of this process."""
    own = os.getpid()
    children = {item.pid for item in entries.values() if item.parent == own}
    return _eldest_first(entries[pid] for pid in descendants(children, entries))


def _eldest_first(items: Iterable[ProcessInfo]) -> dict[int, ProcessInfo]:
    # Signal parents first: a shell that outlives its children prints "Killed" for each of them into the output.
    return {item.pid: item for item in sorted(items, key=lambda item: (item.start, item.pid))}


def signal_below(root: int, number: int, since: int) -> int:
    """Signal the descendants of a process that started at ``since`` (clock ticks since boot) or later.

    Return the number of processes. Blocks.
    """
    entries = table()
    found = descendants([root], entries) - {root}
    members = {pid: entries[pid] for pid in found if entries[pid].start >= since}
    opened = open_members(members, set())
    for _, pidfd in opened:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(pidfd, number)
        os.close(pidfd)
    return len(opened)


class ProcessTable:
    """Share one scan of the process table between concurrent callers."""

    def __init__(self, workers: WorkerPool) -> None:
        self.workers = workers
        self._running: asyncio.Task[dict[int, ProcessInfo]] | None = None
        self._next: asyncio.Task[dict[int, ProcessInfo]] | None = None

    async def read(self) -> dict[int, ProcessInfo]:
        """Return a scan that began after this call: one already running may miss a process forked meanwhile."""
        if self._next is None:
            self._next = asyncio.create_task(self._read(self._running), name="process table")
        return await asyncio.shield(self._next)

    async def _read(self, before: asyncio.Task[dict[int, ProcessInfo]] | None) -> dict[int, ProcessInfo]:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self.workers.run(table)


class TreeMember:
    """A process, not necessarily a child, that is signalled and awaited through a pidfd: its pid may be reused."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.gone = asyncio.Event()
        self._signalled = 0
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._exited)

    def send(self, number: int) -> None:
        """Send a signal once."""
        if self.gone.is_set() or self._signalled == number:
            return
        self._signalled = number
        # A stopped process handles SIGTERM only after it is continued.
        for each in (number, signal.SIGCONT) if number == signal.SIGTERM else (number,):
            try:
                signal.pidfd_send_signal(self._pidfd, each)
            except ProcessLookupError:
                return
            except PermissionError:
                log.warning("process cannot be signalled, it runs as another user: pid %d", self.pid)
                self.gone.set()
                return

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self.gone.set()


def open_members(found: dict[int, ProcessInfo], known: set[int]) -> list[tuple[int, int]]:
    """Open a pidfd for each process; skip a pid that was reused since the scan. Blocks."""
    opened = []
    for pid, seen in found.items():
        if pid in known:
            continue
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        # The pidfd refers to whatever has the pid now; the start time tells whether that is the process of the scan.
        now = entry(pid)
        if now is None or now.start != seen.start:
            os.close(pidfd)
            continue
        opened.append((pid, pidfd))
    return opened


Find = Callable[[dict[int, ProcessInfo]], dict[int, ProcessInfo]]


async def end(find: Find, tables: ProcessTable, grace: float) -> None:
    """End every process that ``find`` selects: SIGTERM, up to ``grace`` seconds, SIGKILL; until none is left."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + grace
    members: dict[int, TreeMember] = {}

    try:
        for _ in range(ROUNDS):
            found = find(await tables.read())
            known = {pid for pid, member in members.items() if not member.gone.is_set()}
            for pid, pidfd in await tables.workers.run(open_members, found, known) if found.keys() - known else ():
                if pid in members:
                    members[pid].close()
                members[pid] = TreeMember(pid, pidfd)
            alive = [member for member in members.values() if not member.gone.is_set()]
            if not alive:
                return
            await _signal(alive, limit)
        left = [pid for pid, member in members.items() if not member.gone.is_set()]
        log.warning("processes still running after SIGKILL: pids %s", left)
    finally:
        for member in members.values():
            member.close()


async def _signal(alive: list[TreeMember], limit: float) -> None:
    """Signal members and wait until they have ended, the grace period is over, or SIGKILL had its time."""
    left = limit - asyncio.get_running_loop().time()
    number = signal.SIGTERM if left > 0 else signal.SIGKILL
    for member in alive:
        member.send(number)
    with contextlib.suppress(TimeoutError):  # the next round scans again
        async with asyncio.timeout(left if left > 0 else KILL_SECONDS):
            for member in alive:
                await member.gone.wait()


async def end_without_pidfds(find: Find, tables: ProcessTable, grace: float) -> None:
    """Do the same on a kernel without pidfds (before 5.3), where only polling shows that a process has ended."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + grace
    sent: dict[int, int] = {}
    while members := find(await tables.read()):
        now = loop.time()
        number = signal.SIGTERM if now < limit else signal.SIGKILL
        for pid in members:
            if sent.get(pid) != number:
                sent[pid] = number
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        if now > limit + KILL_SECONDS:
            return
        await asyncio.sleep(_POLL_SECONDS)
