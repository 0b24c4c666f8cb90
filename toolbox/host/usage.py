"""What a process used while it ran."""

from __future__ import annotations

import resource
from typing import NamedTuple

# The kernel counts pages per processor and adds them up now and then.
_INEXACT_KIB = 1024


class Usage(NamedTuple):
    """What a process and the children it waited for have used; ``peak_memory`` in bytes where it is known."""

    cpu_seconds: float
    peak_memory: int | None

    @classmethod
    def of(cls, used: resource.struct_rusage) -> Usage:
        """Read what ``wait4`` returns.

        The kernel counts the memory that a child shared with us before it became another program, so a peak that is
        not above our own says nothing. Our own in ``getrusage`` may in the same way be that of whoever started us.
        """
        peak = used.ru_maxrss * 1024 if _own_peak.exceeded_by(used.ru_maxrss) else None
        return cls(used.ru_utime + used.ru_stime, peak)


class _OwnPeak:
    """The most memory that this program has had, in KiB; it only grows, so it is read only when that may matter."""

    def __init__(self) -> None:
        self._known = 0

    def exceeded_by(self, size: int) -> bool:
        if size > self._known:
            self._known = _peak() + _INEXACT_KIB
        return size > self._known


_own_peak = _OwnPeak()


def _peak() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class ExitReport(NamedTuple):
    """What a process used, and what it was denied."""

    usage: Usage | None
    out_of_memory: bool = False
    out_of_pids: bool = False
