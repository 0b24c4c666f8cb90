"""One cgroup (version 2) per command, below the daemon's own. Everything here blocks.

A cgroup that contains processes cannot enable controllers for its children (the kernel's "no internal processes"
rule). So the first command with limits moves every process of the daemon's cgroup into a leaf below it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import re
import secrets
from collections.abc import Collection, Sequence

from toolbox.host.kernel_files import own_cgroups, read_counters, read_number, read_text
from toolbox.host.usage import ExitReport, Usage

log = logging.getLogger(__name__)

CONTROLLERS = ("memory", "pids", "cpu")
CPU_PERIOD = 100_000
# A child forked while its parent is moved is missing from the list that was read; the next round moves it.
_ROUNDS = 20
_OURS = re.compile(r"toolbox-(\d+)-[0-9a-f]{16}")


class Cgroup:
    """The cgroup of one command."""

    def __init__(self, path: str, controllers: Collection[str] = CONTROLLERS) -> None:
        self.path = path
        self.controllers = controllers
        self.done = False

    def limit(self, memory: int | None, pids: int | None, cpus: float | None) -> None:
        """Set the limits whose controller is available: bytes, number of tasks, number of processors."""
        if memory is not None and "memory" in self.controllers:
            self._write("memory.max", str(memory))
            with contextlib.suppress(FileNotFoundError):  # no swap accounting
                # Swap is accounted separately: without this a command would swap instead of reaching its limit.
                self._write("memory.swap.max", "0")
        if pids is not None and "pids" in self.controllers:
            self._write("pids.max", str(pids))
        if cpus is not None and "cpu" in self.controllers:
            # Microseconds of CPU time per period; the kernel refuses a quota below 1 ms.
            self._write("cpu.max", f"{max(round(cpus * CPU_PERIOD), 1000)} {CPU_PERIOD}")

    def add(self, pid: int) -> None:
        """Move a process into the cgroup; the children that it forks afterwards start there."""
        self._write("cgroup.procs", str(pid))

    def kill(self) -> None:
        """Kill every process inside, atomically since Linux 5.14 (``cgroup.kill``), one by one before."""
        try:
            self._write("cgroup.kill", "1")
        except FileNotFoundError:
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)

    def members(self) -> list[int]:
        """List the pids of the processes inside."""
        return [int(line) for line in read_text(f"{self.path}/cgroup.procs").split()]

    def report(self) -> ExitReport:
        """Return usage and exceeded limits of all processes inside, and mark the cgroup for removal."""
        cpu = read_counters(f"{self.path}/cpu.stat").get("usage_usec", 0) / 1e6
        oom_kills, refused_forks = self.denials()
        self.done = True
        usage = Usage(cpu, read_number(f"{self.path}/memory.peak"))
        return ExitReport(usage, out_of_memory=oom_kills > 0, out_of_pids=refused_forks > 0)

    def denials(self) -> tuple[int, int]:
        """Return the number of OOM kills and of refused forks in this cgroup."""
        memory, pids = (read_counters(f"{self.path}/{name}.events") for name in ("memory", "pids"))
        return memory.get("oom_kill", 0), pids.get("max", 0)

    def remove(self) -> bool:
        """Remove the cgroup; False while a process is inside (``rmdir`` answers EBUSY)."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)
        return not os.path.exists(self.path)

    def _write(self, name: str, value: str) -> None:
        _write(f"{self.path}/{name}", value)


class Cgroups:
    """Create cgroups with the available controllers, if the daemon may write to the hierarchy."""

    def __init__(
        self, *, root: str = "/sys/fs/cgroup", proc: str = "/proc", controllers: Sequence[str] = CONTROLLERS
    ) -> None:
        self._root = root
        self._proc = proc
        self._controllers = controllers
        self._groups: list[Cgroup] = []

    def make(self) -> Cgroup | None:
        """Create a cgroup; None if the daemon cannot."""
        self.sweep()
        if self._base is None:
            return None
        group = self._make(self._base)
        self._groups.append(group)
        return group

    def sweep(self, *, everything: bool = False) -> None:
        """Remove the empty cgroups of reported commands; ``everything``: all empty ones."""
        self._groups = [group for group in self._groups if not ((everything or group.done) and group.remove())]

    def _make(self, base: str) -> Cgroup:
        group = Cgroup(f"{base}/toolbox-{os.getpid()}-{secrets.token_hex(8)}", self._controllers)
        os.mkdir(group.path)
        return group

    @functools.cached_property
    def _base(self) -> str | None:
        """The daemon's own cgroup, prepared for children; None if they cannot be limited."""
        # In hybrid mode version 2 is mounted at "unified", below the version 1 mounts.
        unified = f"{self._root}/unified"
        mounted = unified if os.path.exists(f"{unified}/cgroup.procs") else self._root
        base = os.path.normpath(f"{mounted}/{own_cgroups(self._proc).get('', '')}")
        if not os.path.exists(f"{base}/cgroup.procs"):
            return None
        available = read_text(f"{base}/cgroup.controllers").split()
        self._controllers = [name for name in self._controllers if name in available]
        try:
            if not set(self._controllers) <= set(read_text(f"{base}/cgroup.subtree_control").split()):
                self._make_room(base)
                _write(f"{base}/cgroup.subtree_control", " ".join(f"+{name}" for name in self._controllers))
            # cgroupfs may be mounted read-only, or mkdir may be denied: only a trial tells.
            self._make(base).remove()
            self._remove_stale(base)
        except OSError as error:
            log.info("cgroups are not writable, limits apply per process instead of per command: %s", error)
            return None
        return base

    def _remove_stale(self, base: str) -> None:
        """Remove the empty cgroups of earlier daemons that were killed."""
        for name in os.listdir(base):
            match = _OURS.fullmatch(name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                Cgroup(f"{base}/{name}").remove()

    def _make_room(self, base: str) -> None:
        """Move every process of ``base`` into a leaf; the root cgroup, which has no ``cgroup.type``, is exempt."""
        if not os.path.exists(f"{base}/cgroup.type"):
            return
        leaf = f"{base}/toolbox"
        os.makedirs(leaf, exist_ok=True)
        for _ in range(_ROUNDS):
            pids = read_text(f"{base}/cgroup.procs").split()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    _write(f"{leaf}/cgroup.procs", pid)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), base)


def _write(path: str, value: str) -> None:
    # No O_CREAT: a missing file means that this kernel lacks the feature.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
