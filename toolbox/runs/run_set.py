"""Runs of one kind that are under way: each has a task of its own until its output is let go of."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar

from toolbox.errors import Unavailable


class Run(Protocol):
    """Something that runs, has a result, and keeps its output until it is released."""

    @property
    def result(self) -> asyncio.Future[Any]:
        """Return what whoever asked for it waits for."""
        ...

    async def live(self) -> None:
        """See it through."""

    async def abort(self) -> None:
        """Kill it because the daemon ends."""

    def release(self) -> None:
        """Let go of its output."""


R = TypeVar("R", bound=Run)


class RunSet(Generic[R]):
    """Own the tasks of runs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs: dict[asyncio.Task[None], R] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._runs)

    def check_open(self) -> None:
        """Refuse what would begin while the daemon ends."""
        if self._closing:
            raise Unavailable("daemon is shutting down")

    async def begin(self, run: R) -> R:
        """Take a run over; one that was started while the daemon began to end is killed."""
        task = asyncio.create_task(run.live(), name=self._name)
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if self._closing:
            await run.abort()
        return run

    async def close(self) -> None:
        """Kill what runs and have those who wait for it answered."""
        self._closing = True
        await asyncio.gather(*(run.abort() for run in self._runs.values()))
        waiting = [run.result for run in self._runs.values()]
        if waiting:
            await asyncio.wait(waiting)

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        for run in self._runs.values():
            run.release()
        if self._runs:
            await asyncio.wait(list(self._runs))
