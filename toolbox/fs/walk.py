"""Walk a tree with several threads; links are not followed, an unreadable directory does not hide its siblings.

Measured on 20,000 files. Warm cache: 22 ms with one thread, 24 ms with two, 52 ms with four, which contend for the GIL.
Cold cache: 95 ms with one thread, 59 ms with two.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

THREADS = 2
# Reading these below "/" may block or never end; they are searched only if the client names them as the root.
PSEUDO_FILE_SYSTEMS = frozenset({b"proc", b"sys", b"dev"})

Visit = Callable[["os.DirEntry[bytes]"], None]


class Walk:
    """One walk: ``THREADS`` threads call ``work``, which returns when the tree is done or ``stop`` is set."""

    def __init__(self, root: bytes, visit: Visit) -> None:
        self.stop = threading.Event()
        self._visit = visit
        self._waiting = [root]
        self._busy = 0
        self._changed = threading.Condition()
        self._root = root

    def work(self) -> None:
        """Scan directories until none are left; ``visit`` is called from several threads at a time."""
        guarded = self._root if os.path.realpath(self._root) == b"/" else None
        while (directory := self._next()) is not None:
            found: list[bytes] = []
            try:
                found = self._scan(directory, PSEUDO_FILE_SYSTEMS if directory == guarded else frozenset())
            finally:
                self._finish(found)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._waiting and self._busy and not self.stop.is_set():
                self._changed.wait()
            if not self._waiting or self.stop.is_set():
                self._changed.notify_all()
                return None
            self._busy += 1
            return self._waiting.pop()

    def _finish(self, found: list[bytes]) -> None:
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
            pass  # unreadable or deleted; its siblings are in the queue already
        return found


def order(path: bytes) -> bytes:
    """Return the sort key of depth-first order: NUL sorts before any byte of a name, so ``a/b`` precedes ``a.txt``."""
    return path.replace(b"/", b"\0")
