"""Memory, process and CPU limits for a command and its descendants, set before the program starts.

The command gets a cgroup of its own (version 2). Where cgroups are not writable resource limits replace it: those
count per process instead of per tree, and RLIMIT_NPROC does not apply to root. A CPU limit also sets the affinity, so
that ``nproc`` and thread pools inside see the allowed number of processors. Everything here blocks and runs in the
spawn thread.
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

from toolbox.host.cgroups import CONTROLLERS, Cgroup, Cgroups

log = logging.getLogger(__name__)

# The child stops itself before exec. Moving a running program into a cgroup would miss the children it has forked.
_GATE = ("/bin/sh", "-c", 'kill -STOP $$; exec "$@"', "sh")
# WNOWAIT leaves the status in place: if the child was killed meanwhile, its owner still has to collect the exit.
_STOPPED = os.WSTOPPED | os.WEXITED | os.WNOWAIT


class Limits(NamedTuple):
    """Limits: bytes of memory, number of processes and threads, number of processors; None is unlimited."""

    memory: int | None = None
    pids: int | None = None
    cpus: float | None = None

    def __bool__(self) -> bool:
        return self != Limits()

    @property
    def controllers(self) -> set[str]:
        """Return the names of the cgroup controllers that enforce these limits."""
        names = zip(CONTROLLERS, self, strict=True)
        return {name for name, value in names if value is not None}

    def over(self, other: Limits) -> Limits:
        """Return these limits, with missing ones taken from ``other``."""
        return other._replace(**{name: value for name, value in self._asdict().items() if value is not None})


NO_LIMITS = Limits()


def gated(argv: Sequence[str | bytes], executable: str | None, env: Mapping[str, str]) -> list[str | bytes]:
    """Return the argv of a shell that stops itself, then runs the program; raise ``FileNotFoundError`` like exec."""
    program = executable or shutil.which(os.fsdecode(argv[0]), path=env.get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(argv[0]))
    return [*_GATE, program, *argv[1:]]


class Limiter:
    """Set limits on stopped children, then continue them."""

    def __init__(self, cgroups: Cgroups | None = None, *, oom_score: int = 0) -> None:
        self.cgroups = cgroups or Cgroups()
        self._score = oom_score
        self._turn = 0

    def started(self, pid: int, limits: Limits | None) -> Cgroup | None:
        """Set OOM score and limits of a new child; return its cgroup, if it has one."""
        if self._score and self._score_text:
            # Make the OOM killer prefer a child over the daemon; descendants inherit the score.
            _write_locked(b"/proc/%d/oom_score_adj" % pid, self._score_text)
        return self._bind(pid, limits) if limits else None

    def _bind(self, pid: int, limits: Limits) -> Cgroup | None:
        """Wait until a gated child has stopped, set its limits, continue it."""
        os.waitid(os.P_PID, pid, _STOPPED)
        group = None
        try:
            group = self.cgroups.make()
            if group is not None:
                group.limit(limits.memory, limits.pids, limits.cpus)
                group.add(pid)
            _set_rlimits(pid, limits, () if group is None else group.controllers)
            if limits.cpus is not None:
                self._choose_processors(pid, limits.cpus)
        except OSError as error:
            # A command must not run without the limits that were requested.
            os.kill(pid, signal.SIGKILL)
            log.warning("limits cannot be set, command killed: %s", error)
        os.kill(pid, signal.SIGCONT)
        return group

    @functools.cached_property
    def _score_text(self) -> bytes:
        """The OOM score of children; empty if the daemon's own is unknown."""
        try:
            with open("/proc/self/oom_score_adj", "rb") as file:
                return b"%d" % min(int(file.read()) + self._score, 1000)
        except OSError:
            return b""

    def _choose_processors(self, pid: int, cpus: float) -> None:
        ours = sorted(os.sched_getaffinity(0))
        count = min(math.ceil(cpus), len(ours))
        # Round robin, so that two commands with one processor each do not share it.
        chosen = {ours[(self._turn + number) % len(ours)] for number in range(count)}
        self._turn += count
        os.sched_setaffinity(pid, chosen)


def _write_locked(path: bytes, text: bytes) -> None:
    """Write to a ``/proc`` file without releasing the GIL; errors are ignored.

    ``os.open``, ``os.write`` and ``os.close`` release the GIL. While the loop is busy this thread would then wait three
    times per command to get it back, for calls that take microseconds.
    """
    libc = _libc()
    fd = libc.open(path, os.O_WRONLY | os.O_CLOEXEC)
    if fd >= 0:
        libc.write(fd, text, len(text))
        libc.close(fd)


@functools.cache
def _libc() -> Any:
    import ctypes

    # PyDLL calls keep the GIL, CDLL calls release it.
    return ctypes.PyDLL(None)


def _set_rlimits(pid: int, limits: Limits, held: Collection[str]) -> None:
    """Set resource limits for what no cgroup controller enforces."""
    if limits.memory is not None and "memory" not in held:
        # RLIMIT_DATA counts private writable memory. RLIMIT_AS would count reserved address space, of which Go, Java
        # and Node take far more than they use.
        resource.prlimit(pid, resource.RLIMIT_DATA, (limits.memory, limits.memory))
    if limits.pids is not None and "pids" not in held:
        resource.prlimit(pid, resource.RLIMIT_NPROC, (limits.pids, limits.pids))
