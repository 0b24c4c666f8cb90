"""Tell whether the kernel killed something of ours because memory ran out.

It only counts its victims, so a process that ended by SIGKILL is taken for one if the count has grown. Whoever asks
takes one from the count: two commands are not blamed on one victim.
"""

from __future__ import annotations

import os
from collections.abc import Iterator


class OutOfMemory:
    """Watch the kernel's counters; every method blocks for as long as reading a small file takes."""

    def __init__(self, *, cgroup: str = "/sys/fs/cgroup", proc: str = "/proc") -> None:
        self._cgroup = cgroup
        self._proc = proc
        self._known: dict[str, int] | None = None

    def prime(self) -> None:
        """Remember the counts before anything of ours can be a victim."""
        if self._known is None:
            self._known = self._counts()

    def take(self) -> bool:
        """Tell whether there is a victim that nobody has asked for yet."""
        known = self._known or {}
        grown = [path for path, count in self._counts().items() if count > known.get(path, count)]
        for path in grown:
            known[path] += 1
        return bool(grown)

    def _counts(self) -> dict[str, int]:
        paths = dict(_memberships(f"{self._proc}/self/cgroup"))
        # Version 2 counts what is below, so it knows of everything in this container and of nothing else.
        for place in (paths.get("", "/"), "/"):
            path = os.path.normpath(f"{self._cgroup}/{place}/memory.events")
            value = _oom_kills(path)
            if value is not None:
                return {path: value}
        others = (f"{self._cgroup}/memory{paths.get('memory', '/')}/memory.oom_control", f"{self._proc}/vmstat")
        return {path: value for path in others if (value := _oom_kills(path)) is not None}


def _memberships(path: str) -> Iterator[tuple[str, str]]:
    """Yield our cgroup of each controller; version 2 has the empty name."""
    for line in _text(path).splitlines():
        _, names, place = line.split(":", 2)
        for name in names.split(","):
            yield name, os.path.normpath(place)


def _oom_kills(path: str) -> int | None:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
