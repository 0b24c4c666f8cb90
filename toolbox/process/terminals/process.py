"""The shell of a terminal as the process of a run: a child and its pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from toolbox.host.child import Child, ExitStatus
from toolbox.host.pty import Pty
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport

# Seconds between SIGHUPs. A shell at its prompt ignores SIGTERM; a SIGHUP that arrives between its check for signals
# and its wait for a key is only recorded until the next one.
HANG_UPS = (0.1, 0.4, 1.5)
KILLED = ExitStatus(128 + signal.SIGKILL, signal.SIGKILL)


class TerminalProcess:
    """A child and its pseudo-terminal."""

    def __init__(self, child: Child, pty: Pty) -> None:
        self.child = child
        self.pty = pty
        self._killed = False

    @property
    def pid(self) -> int:
        """Return the process id of the shell."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Tell whether the shell has not exited."""
        return self.child.running

    @property
    def status(self) -> ExitStatus:
        """Return the exit status; SIGKILL if we killed it, whatever status the shell exited with."""
        return KILLED if self._killed or self.child.status is None else self.child.status

    async def settle(self) -> ExitStatus:
        """Wait for the exit and read the rest of the output."""
        await self.child.wait()
        await self.pty.settle()
        return self.status

    async def report(self) -> ExitReport:
        """Return the resource usage of the shell and the limits it hit."""
        return await self.child.report()

    async def survivors(self) -> list[Survivor]:
        """Describe the processes it left in the background."""
        return await self.child.survivors()

    async def terminate(self, grace: float = 0.0) -> None:
        """End the shell and its process tree; with ``grace`` send SIGHUP first."""
        if not self.child.running:
            return
        if grace:
            await asyncio.gather(self.child.terminate(grace), self._hang_up())
        else:
            self._killed = True
            await self.child.terminate()

    def catch_up(self) -> None:
        """Read the output that is in the pseudo-terminal."""
        self.pty.catch_up()

    def release(self) -> None:
        """Close the pseudo-terminal; the kernel sends SIGHUP to the processes on it."""
        self.pty.close()

    async def _hang_up(self) -> None:
        for seconds in HANG_UPS:
            self.child.signal(signal.SIGHUP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.child.wait()
                    return
