"""The runs of one kind that have not been released: each has a task of its own."""

from __future__ import annotations

import asyncio

from toolbox.errors import Unavailable
from toolbox.runs.run import Run


class RunSet:
    """Own the tasks of runs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._runs)

    def check_open(self) -> None:
        """Refuse what would begin while the daemon ends."""
        if self._closing:
            raise Unavailable("daemon is shutting down")

    async def begin(self, run: Run) -> Run:
        """Own a run from now on; one that was started while the daemon began to end is killed."""
        task = asyncio.create_task(run.live(), name=self._name)
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        if self._closing:
            await run.abort()
        return run

    async def close(self, grace: float = 0.0) -> None:
        """Kill what runs and have those who wait for it answered."""
        self._closing = True
        await asyncio.gather(*(run.abort(grace) for run in self._runs.values()))
        waiting = [run.ended for run in self._runs.values()]
        if waiting:
            await asyncio.wait(waiting)

    async def release(self) -> None:
        """Release all output, also of what is being sent."""
        for run in self._runs.values():
            run.release()
        if self._runs:
            await asyncio.wait(list(self._runs))
