"""Reap orphans: processes whose parent ended and that the kernel re-parents to the daemon, a subreaper.

A zombie occupies a pid until its parent waits for it. Children that a library forked look the same in the process
table, and their exit status belongs to the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Set as AbstractSet

from toolbox.host import tree
from toolbox.host.worker_pool import WorkerPool

log = logging.getLogger(__name__)

# Seconds from SIGCHLD to the search. A zombie is reaped when two searches have seen it, which gives a library the time
# to wait for its own child.
SWEEP_DELAY = 0.1


class OrphanReaper:
    """Search for zombies after SIGCHLD in the spawn thread, and reap them on the loop.

    Children are registered in the spawn thread right after fork, so a search there never takes one for an orphan. They
    are removed from ``own`` on the loop when reaped, so the loop never reaps one of them here.
    """

    def __init__(self, own: AbstractSet[int], spawner: WorkerPool) -> None:
        self._own = own
        self._spawner = spawner
        self._zombies: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Handle SIGCHLD; must be called in the main thread."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._wake)

    async def close(self) -> None:
        """Reap all zombies, then stop handling SIGCHLD."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._reap(await self._spawner.run(self._find)):
            pass
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def _wake(self) -> None:
        # Signals coalesce until the search. The handler stays installed meanwhile: a signal that is pending while it is
        # removed makes the interpreter print a warning.
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_DELAY, self._start_sweep)

    def _start_sweep(self) -> None:
        self._timer = None
        self._spawner.submit(self._find, self._found)

    def _find(self) -> set[int]:
        children = tree.children_of_self() - self._own
        return {pid for pid in children if (item := tree.entry(pid)) and item.state == "Z"}

    def _found(self, zombies: set[int] | None, error: BaseException | None) -> None:
        if error is not None:
            log.error("search for orphans failed", exc_info=error)
        elif zombies is not None and self._reap(zombies):
            self._wake()

    def _reap(self, zombies: set[int]) -> bool:
        """Reap the zombies that the previous search found too; tell whether another search is needed."""
        zombies -= self._own
        for pid in zombies & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._zombies = zombies - self._zombies
        return bool(self._zombies)
