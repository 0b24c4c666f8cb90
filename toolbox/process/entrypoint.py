"""The entrypoint: the command that the image would have run, as a child of the daemon.

Its output is copied to the standard output of the daemon, where ``docker logs`` shows it. The daemon outlives it. Its
registry entry is protected: no client can write to it, signal it or delete it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Protocol

from toolbox.host.child import Process
from toolbox.host.output_log import Channel, OutputLog, Retention
from toolbox.host.worker_pool import WorkerPool
from toolbox.runs import start_failure
from toolbox.runs.context import ProcessContext
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.registry import Entry, Keep, Kind
from toolbox.runs.run import Run

log = logging.getLogger(__name__)

# Bounded, because it may write for months.
KEPT = Retention.capped(64 * 1024 * 1024)
NAME = "entrypoint"
# How long ``close`` waits until the rest of the output is copied.
LAST_WORDS_SECONDS = 1.0


class OnOutput(Protocol):
    """Record a piece of output, for telemetry."""

    def __call__(self, text: str, *, error: bool = False) -> None:
        """Record one piece."""


class Entrypoint:
    """Run one command, as an argument vector and without a shell."""

    def __init__(self, context: ProcessContext, argv: Sequence[str], *, on_output: OnOutput, grace: float) -> None:
        self._context = context
        self.argv = argv
        self._on_output = on_output
        self._grace = grace
        self._workers = WorkerPool("entrypoint", 1)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: Process | None = None
        self._run: Run | None = None
        self.entry: Entry | None = None

    async def start(self) -> None:
        """Start the command, if there is one; a failed start is recorded as its output and does not stop the daemon."""
        argv = self.argv
        if not argv:
            return
        try:
            process = await self._context.procs.spawn(
                argv, env=self._context.environment.merged(), cwd=self._context.workdir, merge=False, retention=KEPT
            )
        except OSError as error:
            await self._failed(argv, error)
            return
        self.entry = entry = self._register(argv, process.output)
        entry.began(process)
        self._process, self._run = process, Run(entry, process, at_end=self._log_end)
        self._run.release()  # this object owns the output
        log.info("entrypoint started", extra={"id": entry.id, "pid": process.pid})
        self._tasks.append(asyncio.create_task(self._run.live(), name="entrypoint"))
        self._tasks.append(asyncio.create_task(self._copy(process.output), name="entrypoint output"))

    def _register(self, argv: Sequence[str], output: OutputLog) -> Entry:
        entry = Entry(
            kind=Kind.EXEC,
            output=output,
            owned=False,
            keep=Keep.UNTIL_CLEANUP,
            protected=True,
            name=NAME,
            session_id=NAME,
            argv=tuple(argv),
            cwd=self._context.workdir,
        )
        return self._context.registry.add(entry)

    async def _failed(self, argv: Sequence[str], error: OSError) -> None:
        """Record a failed start as a shell would report it: a line on standard error and an exit code."""
        try:
            code, text = start_failure.explain(error, self._context.workdir)
        except OSError:
            code, text = 126, f"{argv[0]}: {(error.strerror or str(error)).lower()}"
        log.error("entrypoint did not start: %s", text)
        output = self._context.spool.output_log(KEPT)
        output.append(f"{text}\n".encode(errors="replace"), Channel.STDERR)
        output.finish()
        self.entry = self._register(argv, output)
        self.entry.finish(ExitInfo.failed(code))

    async def _copy(self, output: OutputLog) -> None:
        async for chunk in output.follow():
            try:
                self._on_output(chunk.data.decode("utf-8", "replace"), error=chunk.channel is Channel.STDERR)
                await self._workers.run(_write, int(chunk.channel), bytes(chunk.data))
            except OSError as error:
                log.warning("entrypoint output cannot be copied: %s", error)
                return

    async def _log_end(self, end: ExitInfo) -> None:
        if self.entry is not None:
            log.info("entrypoint ended", extra=self.entry.log_fields(end))

    async def stop(self) -> None:
        """End the command and its process tree, and copy the rest of its output."""
        if self._run is not None and self._process is not None:
            await self._run.abort(self._grace)
            self._process.release()
            self._process.output.finish()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._workers.close()

    async def close(self) -> None:
        """Close the output."""
        if self.entry is not None:
            self._context.registry.discard(self.entry)
            await self.entry.output.close()


def _write(fd: int, data: bytes) -> None:
    """Write to standard output (1) or error (2) of the daemon; the channels have the same numbers."""
    while data:
        data = data[os.write(fd, data) :]
