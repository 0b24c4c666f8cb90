"""Background processes that a command left running, and the TCP ports they listen on. Everything here blocks."""

from __future__ import annotations

from typing import NamedTuple

COMMAND_BYTES = 4096
MOST = 100


class Survivor(NamedTuple):
    """A background process."""

    pid: int
    command: str
    ports: tuple[int, ...]


def describe(pids: list[int]) -> list[Survivor]:
    """Describe at most a hundred processes; those that have ended meanwhile are left out."""
    commands = [(pid, _command(pid)) for pid in pids[:MOST]]
    return [Survivor(pid, command, _ports(pid)) for pid, command in commands if command is not None]


def _command(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read(COMMAND_BYTES)
    except OSError:
        return None
    return line.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace") or None


def _ports(pid: int) -> tuple[int, ...]:
    import psutil  # slow import, done in the thread that reads

    try:
        # Reads /proc/PID/net: the process may run in another network namespace.
        connections = psutil.Process(pid).net_connections("tcp")
    except (psutil.Error, OSError):  # it has ended, or belongs to another user
        return ()
    return tuple(sorted({found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN}))
