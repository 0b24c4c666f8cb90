"""The real daemon as a process of its own, for the tiers that look at it from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence

READY = "Starting toolbox server on port "


@dataclasses.dataclass(frozen=True)
class Process:
    """A daemon that serves; ``pid`` is that of the program started, which is the daemon unless it was wrapped."""

    url: str
    home: pathlib.Path
    workdir: pathlib.Path
    pid: int
    started: float

    @property
    def log(self) -> str:
        """Return what it wrote to standard error so far."""
        return (self.home / "daemon.err").read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> bytes:
        """Fetch a path, with nothing but the standard library."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read()

    def resident_mb(self) -> float:
        """Return the resident memory in MB of a million bytes."""
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6


def environment(home: pathlib.Path) -> dict[str, str]:
    """Return the environment of whoever runs the tests without the settings of a daemon or of an SDK."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAYTONA_", "TOOLBOX_", "OTEL_"))}
    return {**kept, "HOME": str(home), "DAYTONA_SANDBOX_ID": "box", "DAYTONA_DAEMON_LOG_FILE_PATH": ""}


@contextlib.contextmanager
def serving(folder: pathlib.Path, *entrypoint: str, inside: Sequence[str] = (), **extra: str) -> Iterator[Process]:
    """Serve on a free loopback port below ``folder`` until the block ends; ``inside`` is a program to run it in.

    The exit status is checked, and so is that no traceback was logged: that would be a bug nobody answered for.
    """
    home, workdir = folder / "home", folder / "work"
    home.mkdir(parents=True)
    workdir.mkdir()
    command = [*inside, sys.executable, "-I", "-m", "toolbox", "serve", "--port", "0", "--workdir", str(workdir)]
    command += ["--", *entrypoint] if entrypoint else []
    started = time.perf_counter()
    with (home / "daemon.err").open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**environment(home), **extra}, cwd=folder
        )
    served: Process | None = None
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith(READY), f"no readiness line but {line!r}; {(home / 'daemon.err').read_text()}"
        served = Process(f"http://127.0.0.1:{int(line.removeprefix(READY))}", home, workdir, process.pid, started)
        yield served
    finally:
        status = _ended(process)
    assert status == 0, f"the daemon ended with {status}; {served.log}"
    assert "Traceback" not in served.log, served.log


def _ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
