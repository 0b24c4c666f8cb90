"""Background processes that a command left running, and the TCP ports they listen on. Everything here blocks."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

# A line of /proc/net/tcp: local address and port in hexadecimal, remote address, state (0A is LISTEN), ..., inode.
_LISTENER = re.compile(rb"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ 0A(?: +\S+){5} +(\d+)", re.MULTILINE)
_SOCKET = re.compile(r"socket:\[(\d+)\]")
COMMAND_BYTES = 4096
MOST = 100


class Survivor(NamedTuple):
    """A background process."""

    pid: int
    command: str
    ports: tuple[int, ...]


def describe(pids: list[int]) -> list[Survivor]:
    """Describe at most a hundred processes; those that have ended meanwhile are left out."""
    found = []
    for pid in pids[:MOST]:
        command = _command(pid)
        if command is not None:
            found.append(Survivor(pid, command, _ports(pid)))
    return found


def _command(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read(COMMAND_BYTES)
    except OSError:
        return None
    return line.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace") or None


def _ports(pid: int) -> tuple[int, ...]:
    inodes = _sockets(pid)
    if not inodes:
        return ()
    # The table of the process, not ours: it may run in another network namespace.
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}", "rb") as file:
                found |= {int(port, 16) for port, inode in _LISTENER.findall(file.read()) if int(inode) in inodes}
        except OSError:
            continue
    return tuple(sorted(found))


def _sockets(pid: int) -> set[int]:
    inodes = set()
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for item in entries:
                match = _SOCKET.fullmatch(_target(item.path))
                if match:
                    inodes.add(int(match[1]))
    except OSError:  # it has ended, or belongs to another user
        pass
    return inodes


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
