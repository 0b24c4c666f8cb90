"""Bounds for one command and everything below it, set while it is stopped before its first instruction.

In a cgroup of its own (version 2) where we may make one; else with resource limits, which count per process and
not per tree, and which cannot bound the number of processes of root. Processors are chosen by affinity as well, so
that ``nproc`` and thread pools inside see as many as there are. Everything here blocks and runs in the thread that
spawns.
"""

from __future__ import annotations

import errno
import functools
import logging
import math
import os
import resource
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from toolbox.host.cgroups import Cgroups, Cgroup

log = logging.getLogger(__name__)

# Stopped, a process cannot have children yet that would escape; it goes on as what it is to become.
_GATE = ("/bin/sh", "-c", 'kill -STOP $$; exec "$@"', "sh")
_STOPPED = os.WSTOPPED | os.WEXITED | os.WNOWAIT


class Limits(NamedTuple):
    """Bounds: bytes of memory, number of processes and threads, processors; None is none."""

    memory: int | None = None
    pids: int | None = None
    cpus: float | None = None

    def __bool__(self) -> bool:
        return self != Limits()

    @property
    def controllers(self) -> set[str]:
        """Return the names of the cgroup controllers that would hold them."""
        pairs = (("memory", self.memory), ("pids", self.pids), ("cpu", self.cpus))
        return {name for name, value in pairs if value is not None}

    def over(self, other: Limits) -> Limits:
        """Return these, and those of ``other`` where there is none."""
        return Limits(
            memory=other.memory if self.memory is None else self.memory,
            pids=other.pids if self.pids is None else self.pids,
            cpus=other.cpus if self.cpus is None else self.cpus,
        )


def gated(argv: Sequence[str | bytes], executable: str | None, env: Mapping[str, str]) -> list[str | bytes]:
    """Return the arguments of a program that stops itself first; raise ``FileNotFoundError`` as a start would."""
    program = executable or shutil.which(os.fsdecode(argv[0]), path=env.get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(argv[0]))
    return [*_GATE, program, *argv[1:]]


class Limiter:
    """Put bounds on processes that stopped themselves, and let them go on."""

    def __init__(self, cgroups: Cgroups | None = None, *, oom_score: int = 0) -> None:
        self._cgroups = cgroups or Cgroups()
        self._score = oom_score
        self._score_text: bytes | None = None
        self._turn = 0

    def started(self, pid: int, limits: Limits | None) -> Cgroup | None:
        """See to a child that was just started; return its cgroup, if it was given one."""
        if self._score:
            self._raise_score(pid)
        return self._bind(pid, limits) if limits else None

    def _bind(self, pid: int, limits: Limits) -> Cgroup | None:
        """Wait until a gated child has stopped, bound it, and let it go on."""
        os.waitid(os.P_PID, pid, _STOPPED)
        group = None
        try:
            group = self._cgroups.make()
            if group is not None:
                group.limit(limits.memory, limits.pids, limits.cpus)
                group.add(pid)
            _set_rlimits(pid, limits, () if group is None else group.controllers)
            if limits.cpus is not None:
                self._choose_processors(pid, limits.cpus)
        except OSError as error:
            # It must not run without the bounds that were asked for.
            os.kill(pid, signal.SIGKILL)
            log.warning("limits cannot be set, the command is killed: %s", error)
        os.kill(pid, signal.SIGCONT)
        return group

    def _raise_score(self, pid: int) -> None:
        """Make the kernel prefer a child over us when memory runs out; what it starts inherits that."""
        if self._score_text is None:
            self._score_text = _score_above_ours(self._score)
        if self._score_text:
            _write_locked(b"/proc/%d/oom_score_adj" % pid, self._score_text)

    def sweep(self, *, everything: bool = False) -> None:
        """Remove the cgroups of what has ended."""
        self._cgroups.sweep(everything=everything)

    def _choose_processors(self, pid: int, cpus: float) -> None:
        ours = sorted(os.sched_getaffinity(0))
        count = min(math.ceil(cpus), len(ours))
        # The next command gets the next ones.
        chosen = {ours[(self._turn + number) % len(ours)] for number in range(count)}
        self._turn += count
        os.sched_setaffinity(pid, chosen)


def _score_above_ours(more: int) -> bytes:
    try:
        with open("/proc/self/oom_score_adj", "rb") as file:
            return b"%d" % min(int(file.read()) + more, 1000)
    except OSError:
        return b""


def _write_locked(path: bytes, text: bytes) -> None:
    """Write to a file of the kernel's in microseconds; what fails is left.

    With ``os.write`` and its like the thread would give the interpreter to the loop and wait to get it back, three
    times per command.
    """
    libc = _libc()
    fd = libc.open(path, os.O_WRONLY | os.O_CLOEXEC)
    if fd >= 0:
        libc.write(fd, text, len(text))
        libc.close(fd)


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.PyDLL(None)


def _set_rlimits(pid: int, limits: Limits, held: Collection[str]) -> None:
    """Set what no controller holds."""
    if limits.memory is not None and "memory" not in held:
        # What is allocated, not what is reserved: runtimes reserve far more address space than they use.
        resource.prlimit(pid, resource.RLIMIT_DATA, (limits.memory, limits.memory))
    if limits.pids is not None and "pids" not in held:
        resource.prlimit(pid, resource.RLIMIT_NPROC, (limits.pids, limits.pids))
