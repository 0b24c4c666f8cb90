"""The daemon's side of a pseudo-terminal: what comes out goes to an output log, what goes in waits for room.

The daemon keeps the other side open too for as long as the program runs: otherwise a program that closes its terminal
for a moment would look like one that has ended. Once the program has ended that copy is closed, and the kernel then
says exactly when the last byte was read (EIO).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Protocol

import msgspec

from toolbox.host.output_log import Channel, OutputLog
from toolbox.host.pipes import PipeWriter

# The kernel gives at most 4 KiB per read. Several reads make one record; other work must get its turn, though.
BLOCK = 16 * 1024
BURST = 64 * 1024
# A program in the background may hold a terminal for ever: silence, or in any case so much time, is enough.
QUIET = 0.2
CAP = 2.0
# termios has no name for it: erase whole UTF-8 characters.
IUTF8 = 0o40000


class Pair(msgspec.Struct, frozen=True):
    """Both sides of a new terminal, and the path under which a program opens it."""

    master: int
    slave: int
    path: str


def open_pair(cols: int, rows: int) -> Pair:
    """Make a terminal of a size; blocks."""
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
    """Set the size of a terminal; the kernel tells the program if it changed."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Gate(Protocol):
    """Say when output has to wait, and call back once it need not."""

    @property
    def congested(self) -> bool:
        """Tell whether the producer should pause."""
        ...

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, as soon as it may go on."""


class Pty:
    """Read and write one terminal without blocking the loop; own both of its descriptors."""

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
        """Tell whether our side was closed."""
        return self._master < 0

    async def write(self, data: bytes) -> None:
        """Type something; wait while the program does not read; raise ``OSError`` once it has ended."""
        await self._input.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        if not self.closed:
            set_size(self._master, cols, rows)

    def foreground(self) -> int:
        """Return the process group that the keyboard belongs to, 0 if there is none."""
        try:
            return 0 if self.closed else os.tcgetpgrp(self._master)
        except OSError:
            return 0

    async def settle(self) -> None:
        """Read what is left once the program has ended: all of it, unless something else goes on writing."""
        self._draining = True
        self._close_slave()
        self._resume()
        exited = self._loop.time()
        while not self._ended.is_set():
            limit = min(max(self.last, exited) + QUIET, exited + CAP)
            try:
                async with asyncio.timeout_at(limit):
                    await self._ended.wait()
            except TimeoutError:
                if self._loop.time() >= min(max(self.last, exited) + QUIET, exited + CAP):
                    return

    def catch_up(self) -> None:
        """Read what is there right now."""
        if not self.closed:
            self._draining = True
            self._readable()

    def close(self) -> None:
        """Give back both sides; what still runs on the terminal is hung up."""
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
        """Read once; nothing if there is nothing now, or never will be."""
        try:
            return os.read(self._master, BLOCK)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: nobody has the other side open any more, and everything was read
            self._stop_reading()
            self._ended.set()
            return b""

    def _pause_if_congested(self) -> None:
        # What is left after the end is at most what the kernel holds, and belongs to the program.
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
