"""What every kind of run takes and reports on the wire: limits, and the details of its end."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from toolbox.wire import Wire


class LimitsRequest(Wire, kw_only=True):
    """Bound what a command and everything below it may use."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024, le=2**60)] | None = None
    pids: Annotated[int, msgspec.Meta(ge=1, le=2**22)] | None = None
    cpus: Annotated[float, msgspec.Meta(ge=0.01, le=4096)] | None = None


class LimitsReport(Wire, kw_only=True):
    """Say which limits hold: in a ``cgroup`` for the whole tree, as ``rlimit`` for each process."""

    memory_bytes: int | None = None
    pids: int | None = None
    cpus: float | None = None
    enforced_by: Literal["cgroup", "rlimit"]


class Survivor(Wire, kw_only=True):
    """Describe a process that a command left in the background, and the TCP ports it listens on."""

    pid: int
    command: str
    ports: list[int]


class Details(Wire, kw_only=True):
    """Say what an end came from and what was used up to it; ``peakMemoryBytes`` only where it is known."""

    reason: str
    cause: Literal["out_of_memory", "pid_limit"] | None = None
    signal: str | None = None
    duration_ms: int
    cpu_ms: int | None = None
    peak_memory_bytes: int | None = None
    survivors: list[Survivor] | None = None


class SignalRequest(Wire, kw_only=True):
    """Send a signal, and a second one if the process still runs after ``escalateAfterMs``."""

    signal: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | int
    escalate_after_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] | None = None
    escalate_to: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | int | None = None
