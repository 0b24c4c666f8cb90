"""TCP ports with a listener, from the kernel's tables and by connecting to both loopback addresses."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable

from toolbox.errors import BadRequest
from toolbox.host.worker_pool import WorkerPool

# Seconds for which a read of the tables is reused.
MAX_AGE = 0.5
PROBE_SECONDS = 0.25
# 0A is TCP_LISTEN; the local address ends with the port, both in hexadecimal.
_LISTENING = re.compile(rb"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A ", re.MULTILINE)
_DIGITS = re.compile(r"[0-9]{1,5}")
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def parse_port(text: str) -> int:
    """Read a port number: digits only, 1 to 65535."""
    if not _DIGITS.fullmatch(text):
        raise BadRequest("bad request: invalid port: must be a number between 1 and 65535")
    port = int(text)
    if not 1 <= port <= 65535:
        raise BadRequest("bad request: port out of range: must be between 1 and 65535")
    return port


class Ports:
    """Find listeners; the tables are read on request only."""

    def __init__(
        self, workers: WorkerPool, *, proc: str = "/proc", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._tables = (f"{proc}/net/tcp", f"{proc}/net/tcp6")
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: frozenset[int] = frozenset()
        self._read_at = float("-inf")

    async def listening(self) -> list[int]:
        """List the ports with a listener, of any user and address; at most half a second old."""
        return sorted(await self._table())

    async def in_use(self, port: int) -> bool:
        """Tell whether a port has a listener, including one newer than the cached tables."""
        if port in await self._table():
            return True
        answers = await asyncio.gather(*(_accepts(family, host, port) for family, host in _LOOPBACK))
        return any(answers)

    async def _table(self) -> frozenset[int]:
        async with self._lock:
            if self._clock() - self._read_at > MAX_AGE:
                self._found = await self._workers.run(self._read)
                self._read_at = self._clock()
            return self._found

    def _read(self) -> frozenset[int]:
        found: set[int] = set()
        for table in self._tables:
            try:
                with open(table, "rb") as file:
                    found.update(int(port, 16) for port in _LISTENING.findall(file.read()))
            except OSError:  # gVisor and other sandboxed kernels have no tables: only the probe decides
                continue
        return frozenset(found)


async def _accepts(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            async with asyncio.timeout(PROBE_SECONDS):
                await asyncio.get_running_loop().sock_connect(probe, (host, port))
            # Without a listener the kernel may choose the same number as source port: TCP simultaneous open then
            # connects the socket to itself.
            return bool(probe.getsockname() != probe.getpeername())
    except OSError:
        return False
