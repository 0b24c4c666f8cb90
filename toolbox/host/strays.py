"""Reap orphans that the kernel re-parents to us (we are a subreaper), without touching anybody's children."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Set as AbstractSet

from toolbox.host import tree
from toolbox.host.lanes import Lane

log = logging.getLogger(__name__)

# Zombies are looked for this long after a SIGCHLD, and reaped when seen twice, so that a library which waits for a
# child of its own has had the time to.
SWEEP_DELAY = 0.1


class Sweeper:
    """Look for zombies after each SIGCHLD, in the thread that spawns: there no child is ever unknown yet."""

    def __init__(self, own: AbstractSet[int], spawner: Lane) -> None:
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
        while await self._spawner.run(self._reap):
            pass
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def _wake(self) -> None:
        # Until the sweep one signal says as much as a hundred; but not to listen meanwhile would be a race, of which
        # the interpreter complains, with a signal that is on its way.
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_DELAY, self._start_sweep)

    def _start_sweep(self) -> None:
        self._timer = None
        self._spawner.submit(self._reap, self._swept)

    def _swept(self, again: bool | None, error: BaseException | None) -> None:
        if error is not None:
            log.error("orphans cannot be looked for", exc_info=error)
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
