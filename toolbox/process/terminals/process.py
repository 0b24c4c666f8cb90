"""The shell of a terminal as a run sees it: its exit is that of the child, its output that of the pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from toolbox.host.child import Child, ExitStatus
from toolbox.host.pty import Pty
from toolbox.host.survivors import Survivor
from toolbox.host.usage import ExitReport

# A shell at its prompt ignores SIGTERM, and a SIGHUP that arrives between its last check and its wait for a key is only
# recorded: it is sent again after so many seconds.
HANG_UPS = (0.1, 0.4, 1.5)
KILLED = ExitStatus(128 + signal.SIGKILL, signal.SIGKILL)


class TerminalProcess:
    """Join a child and its pseudo-terminal."""

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
        """Tell whether the shell has not ended yet."""
        return self.child.running

    @property
    def status(self) -> ExitStatus:
        """Return how it ended; what was killed counts as killed, however its shell took it."""
        return KILLED if self._killed or self.child.status is None else self.child.status

    async def wait(self) -> ExitStatus:
        """Wait for the exit of the shell."""
        await self.child.wait()
        return self.status

    async def settle(self) -> ExitStatus:
        """Wait for the exit, and read what is left on the terminal."""
        await self.child.wait()
        await self.pty.settle()
        return self.status

    async def report(self) -> ExitReport:
        """Return what the shell used and was denied."""
        return await self.child.report()

    async def survivors(self) -> list[Survivor]:
        """Describe what it left running in the background."""
        return await self.child.survivors()

    async def terminate(self, grace: float = 0.0) -> None:
        """End the shell and everything below it; with ``grace`` it is hung up first."""
        if not self.child.running:
            return
        if grace:
            await asyncio.gather(self.child.terminate(grace), self._hang_up())
        else:
            self._killed = True
            await self.child.terminate()

    def catch_up(self) -> None:
        """Read what is on the terminal right now."""
        self.pty.catch_up()

    def release(self) -> None:
        """Close the terminal; what still runs on it is hung up."""
        self.pty.close()

    async def _hang_up(self) -> None:
        for seconds in HANG_UPS:
            self.child.signal(signal.SIGHUP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.child.wait()
                    return
