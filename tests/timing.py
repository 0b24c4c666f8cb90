"""What bare operations take on this machine just now: the unit of every limit on time."""

from __future__ import annotations

import subprocess
import time


def bare_spawn() -> float:
    """Return the seconds that the slowest of five starts of ``sh -c true`` took.

    The slowest, because what it is compared with happens once; and never less than 3 ms, because a quiet moment says
    nothing of the next one.
    """
    return max(0.003, *(_spawn() for _ in range(5)))


def _spawn() -> float:
    started = time.perf_counter()
    subprocess.run(["sh", "-c", "true"], check=True)
    return time.perf_counter() - started
