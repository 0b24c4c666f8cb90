"""What a process used while it ran."""

from __future__ import annotations

import resource
from typing import NamedTuple


class Usage(NamedTuple):
    """What a process and the children it waited for have used; ``peak_memory`` in bytes where it is known."""

    cpu_seconds: float
    peak_memory: int | None

    @classmethod
    def of(cls, used: resource.struct_rusage) -> Usage:
        """Read what ``wait4`` returns.

        The kernel counts the memory that a child shared with us before it became another program, so a peak that is
        not above our own says nothing.
        """
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = used.ru_maxrss * 1024 if used.ru_maxrss > ours else None
        return cls(used.ru_utime + used.ru_stime, peak)


class Verdict(NamedTuple):
    """What a process used, and what it was denied."""

    usage: Usage | None
    out_of_memory: bool = False
    out_of_pids: bool = False
