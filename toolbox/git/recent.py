"""Histories that were told already: a commit never changes, so what is reachable from one does not either.

Except where a shallow clone is deepened, which shows in a file that is part of the key.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

from toolbox import wire
from toolbox.git.repository import Repo

BOUND = 8 * 1024 * 1024
_BIGGEST = BOUND // 4
_MOST = 1000

Key = tuple[str, str, object]


class Recent:
    """Keep the JSON of recent histories, some megabytes in all."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._size = 0
        self._known: OrderedDict[Key, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def history(self, repo: Repo, limit: int) -> bytes | None:
        """Return the JSON of at most ``limit`` commits; None if there are more, or git has to read them."""
        from toolbox.git import library

        try:
            tip = library.head(repo.path)
        except library.Unsupported:
            return None
        key = (repo.common, tip, _stamp(os.path.join(repo.common, "shallow")))
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known or None
        commits = library.history(repo.path, limit)
        data = b"" if commits is None else wire.encode([commit.info() for commit in commits])
        self._keep(key, data)
        return data or None

    def _keep(self, key: Key, data: bytes) -> None:
        if len(data) > _BIGGEST:
            return
        with self._lock:
            self._size += len(data) - len(self._known.pop(key, b""))
            self._known[key] = data
            while self._size > self._bound or len(self._known) > _MOST:
                self._size -= len(self._known.popitem(last=False)[1])


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
