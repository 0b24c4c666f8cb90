"""The daemon's side of a pseudo-terminal: output goes to an output log, input waits until the program reads it.

The daemon also holds the slave open while the program runs. Reading the master fails with EIO whenever no process has
the slave open, and a program that closes its terminal for a moment would seem to have ended. After the exit that
descriptor is closed, and EIO then means that the last byte has been read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Protocol

import msgspec

from toolbox.host.output_log import Channel, OutputLog
from toolbox.host.pipes import PipeWriter

# The kernel returns at most 4 KiB per read. Up to BURST bytes are appended at once, then other callbacks get a turn.
BLOCK = 16 * 1024
BURST = 64 * 1024
# A background process may keep the terminal open for ever: after the exit reading stops QUIET seconds after the last
# byte, and after CAP seconds at the latest.
QUIET = 0.2
CAP = 2.0
# Missing in the termios module. With it backspace erases a whole UTF-8 character instead of its last byte.
IUTF8 = 0o40000


class Pair(msgspec.Struct, frozen=True):
    """Both descriptors of a new terminal, and the path of its slave."""

    master: int
    slave: int
    path: str


def open_pair(cols: int, rows: int) -> Pair:
    """Open a terminal with a size; blocks."""
    master, slave = os.openpty()
    try:
        os.set_blocking(master, False)
        set_size(master, cols, rows)
        modes = termios.tcgetattr(slave)
        modes[0] |= IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        return Pair(master, slave, os.ttyname(slave))
    except BaseException:
        os.close(master)
        os.close(slave)
        raise


def set_size(fd: int, cols: int, rows: int) -> None:
    """Set the size of a terminal; on a change the kernel sends SIGWINCH to the foreground group."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Gate(Protocol):
    """A second source of back-pressure, beside the output log."""

    @property
    def congested(self) -> bool:
        """Tell whether the producer should pause."""
        ...

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once when the producer may continue."""


class Pty:
    """Read and write a terminal without blocking the loop; own both descriptors."""

    def __init__(self, pair: Pair, output_log: OutputLog, gate: Gate) -> None:
        self.last = 0.0
        self._master, self._slave = pair.master, pair.slave
        self._output_log = output_log
        self._gates: tuple[Gate | OutputLog, ...] = (output_log, gate)
        self._input = PipeWriter(os.dup(pair.master))
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._draining = False
        self._ended = asyncio.Event()
        self._loop.add_reader(self._master, self._readable)

    @property
    def closed(self) -> bool:
        """Tell whether the master was closed."""
        return self._master < 0

    async def write(self, data: bytes) -> None:
        """Send input; wait while the kernel's input buffer is full; raise ``OSError`` after the end."""
        await self._input.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        if not self.closed:
            set_size(self._master, cols, rows)

    def foreground(self) -> int:
        """Return the foreground process group, 0 if there is none."""
        try:
            return 0 if self.closed else os.tcgetpgrp(self._master)
        except OSError:
            return 0

    async def settle(self) -> None:
        """Read the rest after the program has ended; bounded in time, as a background process may keep writing."""
        self._draining = True
        self._close_slave()
        self._resume()
        exited = self._loop.time()
        while not self._ended.is_set():
            limit = min(max(self.last, exited) + QUIET, exited + CAP)
            if self._loop.time() >= limit:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(limit):
                    await self._ended.wait()

    def catch_up(self) -> None:
        """Read what the terminal has output up to now."""
        if not self.closed:
            self._draining = True
            self._readable()

    def close(self) -> None:
        """Close both descriptors; the kernel sends SIGHUP to what still runs on the terminal."""
        if self.closed:
            return
        self._input.close()
        self._close_slave()
        self._stop_reading()
        os.close(self._master)
        self._master = -1
        self._ended.set()

    def _close_slave(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def _readable(self) -> None:
        parts: list[bytes] = []
        room = BURST
        while room > 0 and (data := self._take()):
            parts.append(data)
            room -= len(data)
        if parts:
            self.last = self._loop.time()
            self._output_log.append(b"".join(parts), Channel.TERMINAL)
            self._pause_if_congested()

    def _take(self) -> bytes:
        """Read once; empty if there is no data now, or at the end."""
        try:
            return os.read(self._master, BLOCK)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: no process has the slave open, and all was read
            self._stop_reading()
            self._ended.set()
            return b""

    def _pause_if_congested(self) -> None:
        # After the exit the rest is bounded by the kernel's buffer, so back-pressure is not needed.
        gate = None if self._draining else next((gate for gate in self._gates if gate.congested), None)
        if gate is not None:
            self._paused = True
            self._loop.remove_reader(self._master)
            gate.on_room(self._resume)

    def _resume(self) -> None:
        if not self._paused or self.closed:
            return
        self._paused = False
        self._loop.add_reader(self._master, self._readable)
        self._pause_if_congested()

    def _stop_reading(self) -> None:
        self._paused = False
        self._loop.remove_reader(self._master)
