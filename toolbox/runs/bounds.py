"""The limits of one process: what was asked for, over what is usual here."""

from __future__ import annotations

from toolbox.host.child import Child
from toolbox.host.limits import Limits
from toolbox.runs.wire import LimitsReport, LimitsRequest


def wanted(asked: LimitsRequest | None, usual: Limits) -> Limits:
    """Return the limits to start with."""
    return usual if asked is None else Limits(asked.memory_bytes, asked.pids, asked.cpus).over(usual)


def report(limits: Limits | None, child: Child) -> LimitsReport | None:
    """Say which limits a child has, and how they are held."""
    if not limits:
        return None
    held = set() if child.group is None else set(child.group.controllers)
    return LimitsReport(
        memory_bytes=limits.memory,
        pids=limits.pids,
        cpus=limits.cpus,
        enforced_by="cgroup" if limits.controllers <= held else "rlimit",
    )
