"""Reap orphans that the kernel re-parents to us (we are a subreaper), without touching anybody's children."""

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

# Zombies are looked for this long after a SIGCHLD, and reaped when seen twice, so that a library which waits for a
# child of its own has had the time to.
SWEEP_DELAY = 0.1


class OrphanReaper:
    """Look for zombies after each SIGCHLD in the thread that spawns, and reap them on the loop, which spawns too.

    So in neither place a child exists that is not known.
    """

    def __init__(self, own: AbstractSet[int], spawner: WorkerPool) -> None:
        self._own = own
        self._spawner = spawner
        self._zombies: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Listen for SIGCHLD; needs the main thread."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._wake)

    async def close(self) -> None:
        """Stop listening and reap what is left."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._reap(await self._spawner.run(self._find)):
            pass
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def _wake(self) -> None:
        # Until the sweep one signal says as much as a hundred; but not to listen meanwhile would be a race, of which
        # the interpreter complains, with a signal that is on its way.
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
            log.error("orphans cannot be looked for", exc_info=error)
        elif zombies is not None and self._reap(zombies):
            self._wake()

    def _reap(self, zombies: set[int]) -> bool:
        """Reap zombies that were zombies the last time too; tell whether to look again."""
        zombies -= self._own
        for pid in zombies & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._zombies = zombies - self._zombies
        return bool(self._zombies)
