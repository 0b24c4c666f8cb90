"""Resource usage of a process that has ended."""

from __future__ import annotations

import resource
from typing import NamedTuple

# The kernel batches page counts per processor, so VmHWM may lag behind the true peak by this much.
_INEXACT_KIB = 1024


# Peak memory of the daemon in KiB.
_own_peak = 0


class Usage(NamedTuple):
    """Usage of a process and the children it waited for; ``peak_memory`` in bytes, None if unknown."""

    cpu_seconds: float
    peak_memory: int | None

    @classmethod
    def of(cls, used: resource.struct_rusage) -> Usage:
        """Convert the usage that ``wait4`` returns.

        ``ru_maxrss`` survives exec: it includes the daemon's pages that the child shared between fork and exec. Only a
        peak above the daemon's own belongs to the program. The daemon's own is read from ``/proc``, because its
        ``getrusage`` may in the same way include its parent's.
        """
        global _own_peak  # noqa: PLW0603 - a cache of one number
        peak = used.ru_maxrss
        # Our own peak only grows, so it is read again only when the known value is exceeded.
        if peak > _own_peak:
            _own_peak = _peak() + _INEXACT_KIB
        return cls(used.ru_utime + used.ru_stime, peak * 1024 if peak > _own_peak else None)


def _peak() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class ExitReport(NamedTuple):
    """Usage of a process, and which limits it exceeded."""

    usage: Usage | None
    out_of_memory: bool = False
    out_of_pids: bool = False
