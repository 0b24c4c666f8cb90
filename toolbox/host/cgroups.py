"""A cgroup (version 2) per command, below our own. Everything here blocks.

Only a cgroup without processes of its own can hand controllers down, so the first command moves everything that is
in ours into a leaf beside it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
from collections.abc import Collection, Sequence

from toolbox.host.usage import ExitReport, Usage

log = logging.getLogger(__name__)

CONTROLLERS = ("memory", "pids", "cpu")
CPU_PERIOD = 100_000
# A process that forks while it is moved is seen in the next round.
_ROUNDS = 20
_OURS = re.compile(r"toolbox-(\d+)-[0-9a-f]{16}")


class Cgroup:
    """One command's cgroup."""

    def __init__(self, path: str, controllers: Collection[str] = CONTROLLERS) -> None:
        self.path = path
        self.controllers = controllers
        self.done = False

    def limit(self, memory: int | None, pids: int | None, cpus: float | None) -> None:
        """Set bounds, those that there is a controller for."""
        if memory is not None and "memory" in self.controllers:
            self._write("memory.max", str(memory))
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting
                self._write("memory.swap.max", "0")
        if pids is not None and "pids" in self.controllers:
            self._write("pids.max", str(pids))
        if cpus is not None and "cpu" in self.controllers:
            self._write("cpu.max", f"{max(round(cpus * CPU_PERIOD), 1000)} {CPU_PERIOD}")

    def add(self, pid: int) -> None:
        """Move a process in."""
        self._write("cgroup.procs", str(pid))

    def kill(self) -> None:
        """Kill everything inside at once; before Linux 5.14 one by one."""
        try:
            self._write("cgroup.kill", "1")
        except FileNotFoundError:
            for pid in self.members():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)

    def members(self) -> list[int]:
        """List what is inside."""
        return [int(line) for line in _text(f"{self.path}/cgroup.procs").split()]

    def report(self) -> ExitReport:
        """Return what everything inside has used and was denied; after this the group may be removed."""
        peak = _text(f"{self.path}/memory.peak").strip()
        cpu = _value(f"{self.path}/cpu.stat", "usage_usec") / 1e6
        oom_kills, refused_forks = self.denials()
        self.done = True
        usage = Usage(cpu, int(peak) if peak.isdecimal() else None)
        return ExitReport(usage, out_of_memory=oom_kills > 0, out_of_pids=refused_forks > 0)

    def denials(self) -> tuple[int, int]:
        """Return how many processes the kernel killed here for lack of memory, and how many forks it refused."""
        return _value(f"{self.path}/memory.events", "oom_kill"), _value(f"{self.path}/pids.events", "max")

    def remove(self) -> bool:
        """Remove it; False as long as something is inside."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _write(self, name: str, value: str) -> None:
        _write(f"{self.path}/{name}", value)


class Cgroups:
    """Make groups where we may, with the controllers there are; else there are none."""

    def __init__(
        self, *, root: str = "/sys/fs/cgroup", proc: str = "/proc", controllers: Sequence[str] = CONTROLLERS
    ) -> None:
        self._root = root
        self._proc = proc
        self._controllers = controllers
        self._base: str | None = None
        self._looked = False
        self._groups: list[Cgroup] = []

    def make(self) -> Cgroup | None:
        """Return a new group, None where that is not possible."""
        self.sweep()
        if not self._looked:
            self._looked = True
            self._base = self._prepare()
        if self._base is None:
            return None
        group = self._make(self._base)
        self._groups.append(group)
        return group

    def sweep(self, *, everything: bool = False) -> None:
        """Remove the groups of commands that are done with and whose last process has ended."""
        self._groups = [group for group in self._groups if not ((everything or group.done) and group.remove())]

    def _make(self, base: str) -> Cgroup:
        group = Cgroup(f"{base}/toolbox-{os.getpid()}-{secrets.token_hex(8)}", self._controllers)
        os.mkdir(group.path)
        return group

    def _prepare(self) -> str | None:
        base = self._own()
        if not os.path.exists(f"{base}/cgroup.procs"):
            return None
        available = _text(f"{base}/cgroup.controllers").split()
        self._controllers = [name for name in self._controllers if name in available]
        try:
            if not set(self._controllers) <= set(_text(f"{base}/cgroup.subtree_control").split()):
                self._make_room(base)
                _write(f"{base}/cgroup.subtree_control", " ".join(f"+{name}" for name in self._controllers))
            self._make(base).remove()
            self._remove_left(base)
        except OSError as error:
            log.info("cgroups cannot be made, commands are limited one process at a time: %s", error)
            return None
        return base

    def _remove_left(self, base: str) -> None:
        """Remove the empty groups of daemons that were killed."""
        for name in os.listdir(base):
            match = _OURS.fullmatch(name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                Cgroup(f"{base}/{name}").remove()

    def _own(self) -> str:
        for line in _text(f"{self._proc}/self/cgroup").splitlines():
            if line.startswith("0::"):
                return os.path.normpath(f"{self._mounted()}/{line[3:]}")
        return self._mounted()

    def _mounted(self) -> str:
        """Return the top: on a machine of both versions the newer one has a place of its own."""
        beside = f"{self._root}/unified"
        return beside if os.path.exists(f"{beside}/cgroup.procs") else self._root

    def _make_room(self, base: str) -> None:
        """Move every process of ``base`` into a leaf; the root of the hierarchy may keep its own."""
        if not os.path.exists(f"{base}/cgroup.type"):
            return
        leaf = f"{base}/toolbox"
        os.makedirs(leaf, exist_ok=True)
        for _ in range(_ROUNDS):
            pids = _text(f"{base}/cgroup.procs").split()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    _write(f"{leaf}/cgroup.procs", pid)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), base)


def _write(path: str, value: str) -> None:
    # Never created: a file that is not there is a feature that this kernel lacks.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _value(path: str, key: str) -> int:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdecimal():
            return int(value)
    return 0
