"""Reap orphans that the kernel re-parents to us (we are a subreaper), without touching anybody's children."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
from collections.abc import Set as AbstractSet

from toolbox.host import tree

# Zombies are looked for this long after a SIGCHLD, and reaped when seen twice, so that a library which waits for a
# child of its own has had the time to.
SWEEP_DELAY = 0.1


class Sweeper:
    """Look for zombies after each SIGCHLD, in the thread that spawns: there no child is ever unknown yet."""

    def __init__(self, own: AbstractSet[int], thread: concurrent.futures.Executor) -> None:
        self._own = own
        self._thread = thread
        self._zombies: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Listen for SIGCHLD; needs the main thread."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._wake)

    async def close(self) -> None:
        """Stop listening and reap what is left."""
        self._closed = True
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGCHLD)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])
        while await loop.run_in_executor(self._thread, self._reap):
            pass

    def _wake(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_DELAY, self._start_sweep)

    def _start_sweep(self) -> None:
        self._task = asyncio.create_task(self._sweep(), name="sweep")

    async def _sweep(self) -> None:
        again = await asyncio.get_running_loop().run_in_executor(self._thread, self._reap)
        self._timer = None
        if again:
            self._wake()

    def _reap(self) -> bool:
        """Reap zombies that were zombies the last time too; tell whether to look again."""
        found = {pid for pid in tree.children_of_self() - self._own if (item := tree.entry(pid)) and item.state == "Z"}
        for pid in found & self._zombies:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        self._zombies = found - self._zombies
        return bool(self._zombies)
