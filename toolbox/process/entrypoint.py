"""The entrypoint command: what the image would have run, kept going beside the daemon.

Its output goes to the daemon's own standard output too, where ``docker logs`` shows it. The daemon outlives it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Protocol

from toolbox.host.child import Process
from toolbox.host.env import Environment
from toolbox.host.lanes import Lane
from toolbox.host.ledger import Channel, Retention
from toolbox.host.procs import Procs

log = logging.getLogger(__name__)

# It may print for months.
KEPT = Retention.capped(64 * 1024 * 1024)


class Note(Protocol):
    """Take a piece of output, for telemetry."""

    def __call__(self, text: str, *, error: bool = False) -> None:
        """Note one piece."""


class Entrypoint:
    """Run one command, as an argument vector and without a shell."""

    def __init__(self, procs: Procs, environment: Environment, *, workdir: str, note: Note) -> None:
        self._note = note
        self._procs = procs
        self._environment = environment
        self._workdir = workdir
        self._lane = Lane("entrypoint", 1)
        self._mirror: asyncio.Task[None] | None = None
        self.argv: tuple[str, ...] = ()
        self.process: Process | None = None

    async def start(self, argv: Sequence[str]) -> None:
        """Start the command, if there is one; failing to is logged and leaves the daemon up."""
        if not argv:
            return
        self.argv = tuple(argv)
        try:
            self.process = await self._procs.spawn(
                argv, env=self._environment.merged(), cwd=self._workdir, merge=False, retention=KEPT
            )
        except OSError as error:
            log.error("entrypoint did not start: %s: %s", argv[0], (error.strerror or "").lower())  # noqa: TRY400
            return
        self._mirror = asyncio.create_task(self._copy(self.process), name="entrypoint output")

    async def _copy(self, process: Process) -> None:
        async for chunk in process.output.follow():
            try:
                self._note(chunk.data.decode("utf-8", "replace"), error=chunk.channel is Channel.STDERR)
                await self._lane.run(_write, int(chunk.channel), bytes(chunk.data))
            except OSError as error:
                log.warning("entrypoint output is no longer shown: %s", error)
                return
        status = await process.wait()
        log.info("entrypoint ended", extra={"exit_code": status.code})

    async def close(self, grace: float) -> None:
        """End the command and everything below it."""
        if self.process is not None:
            await self.process.terminate(grace)
        if self._mirror is not None:
            self._mirror.cancel()
            await asyncio.wait([self._mirror])
        if self.process is not None:
            await self.process.output.close()
        await self._lane.close()


def _write(fd: int, data: bytes) -> None:
    """Write to our own standard output (1) or error (2): the numbers of the channels are theirs."""
    while data:
        data = data[os.write(fd, data) :]
