"""How a run ended: exit code, reason, cause, and what it used."""

from __future__ import annotations

import enum
from typing import NamedTuple

from toolbox.host import survivors
from toolbox.host.child import ExitStatus
from toolbox.host.usage import ExitReport, Usage
from toolbox.runs.wire import Details, Survivor

# What the timeout program of coreutils reports.
TIMED_OUT = 124


class Reason(enum.StrEnum):
    """Say why something ended."""

    EXITED = "exited"
    SIGNALED = "signaled"
    TIMED_OUT = "timed_out"
    STOPPED = "sandbox_stopped"
    FAILED = "failed"


class Cause(enum.StrEnum):
    """Name the resource that a run was denied, where that is known."""

    OUT_OF_MEMORY = "out_of_memory"
    PID_LIMIT = "pid_limit"


class ExitInfo(NamedTuple):
    """How a run ended: ``code`` as a shell reports it, ``signal`` by name.

    ``ended`` is in seconds since 1970; ``Entry.finish`` sets it.
    """

    code: int
    signal: str | None = None
    reason: Reason = Reason.EXITED
    cause: Cause | None = None
    usage: Usage | None = None
    ended: float = 0.0

    @classmethod
    def failed(cls, code: int) -> ExitInfo:
        """Describe a program that could not be started; ``code`` is the one that a shell would return."""
        return cls(code, None, Reason.FAILED)

    @classmethod
    def stopped(cls) -> ExitInfo:
        """Describe a run that was killed because the daemon ended."""
        return cls(137, "SIGKILL", Reason.STOPPED)

    @classmethod
    def of(cls, status: ExitStatus, report: ExitReport | None = None, *, reason: Reason | None = None) -> ExitInfo:
        """Combine an exit status and the report on what was used and denied."""
        if reason is None:
            reason = Reason.EXITED if status.signal is None else Reason.SIGNALED
        signal = None if status.signal is None else status.signal_name
        if report is None:
            return cls(status.code, signal, reason)
        cause = _cause(report) if status.code else None
        return cls(status.code, signal, reason, cause, report.usage)

    @classmethod
    def expired(cls, report: ExitReport) -> ExitInfo:
        """Describe a run that was killed at its deadline."""
        return cls(TIMED_OUT, None, Reason.TIMED_OUT, None, report.usage)


def _cause(report: ExitReport) -> Cause | None:
    if report.out_of_memory:
        return Cause.OUT_OF_MEMORY
    return Cause.PID_LIMIT if report.out_of_pids else None


def details(end: ExitInfo, started: float, left: list[survivors.Survivor] | None = None) -> Details:
    """Describe an end on the wire; ``left`` is what the run left in the background."""
    usage = end.usage
    return Details(
        reason=end.reason.value,
        cause=None if end.cause is None else end.cause.value,
        signal=end.signal,
        duration_ms=round((end.ended - started) * 1000),
        cpu_ms=None if usage is None else round(usage.cpu_seconds * 1000),
        peak_memory_bytes=None if usage is None else usage.peak_memory,
        survivors=[Survivor(pid=item.pid, command=item.command, ports=list(item.ports)) for item in left or ()] or None,
    )
