"""Fresh interpreters, isolated as in production, and what they cost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

BUILD = """
from toolbox import daemon, settings
built = daemon.Daemon(settings.read({"HOME": "/nonexistent"}, []))
built.routes()
"""


def fresh(code: str, *flags: str) -> Any:
    """Run code in a fresh isolated interpreter and return what it leaves in ``result``."""
    whole = f"import json\nresult = None\n{code}\nprint(json.dumps(result))"
    done = subprocess.run([sys.executable, "-I", *flags, "-c", whole], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("\n")[0].rpartition("\n")[2] or done.stdout)


def cpu_of(code: str) -> float:
    """Return the CPU seconds of a fresh interpreter that runs code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def least(measure: Callable[[], float], times: int = 5) -> float:
    """Return the best of several, the one with the least of everybody else's work in it."""
    return min(measure() for _ in range(times))


def wall_of(code: str) -> float:
    """Return the wall seconds of a fresh interpreter that runs code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return time.perf_counter() - started
