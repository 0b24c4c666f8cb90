"""Cache the JSON of histories by their newest commit: what is reachable from a commit never changes.

Deepening a shallow clone changes it, so the identity of the ``shallow`` file is part of the key. New commits on top of
a cached commit are put before the cached JSON, so only they are read.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import NamedTuple

from toolbox import wire
from toolbox.git.metadata.unsupported import Unsupported
from toolbox.git.repository import Repo
from toolbox.git.wire import GitCommitInfo

BOUND = 8 * 1024 * 1024
_MAX_ENTRY = BOUND // 4
_MAX_ENTRIES = 1000

Key = tuple[str, str, object]


class CachedHistory(NamedTuple):
    """A history as JSON with its number of commits; ``data`` is None if there are too many."""

    commits: int
    data: bytes | None


class HistoryCache:
    """Keep the JSON of recent histories, ``BOUND`` bytes in all."""

    def __init__(self) -> None:
        self._size = 0
        self._known: OrderedDict[Key, CachedHistory] = OrderedDict()
        self._lock = threading.Lock()

    def history(self, repo: Repo, limit: int) -> bytes | None:
        """Return the JSON of at most ``limit`` commits; None if there are more, or git has to read them."""
        from toolbox.git.metadata import libgit2

        shallow = _stamp(os.path.join(repo.common, "shallow"))
        try:
            tip = libgit2.head(repo.path)
        except Unsupported:
            return None
        key = (repo.common, tip, shallow)
        with self._lock:
            cached = self._known.get(key)
            if cached is not None:
                self._known.move_to_end(key)
                return cached.data
            known = {
                name: history
                for (place, name, then), history in self._known.items()
                if place == repo.common and then == shallow
            }
        commits, base = libgit2.history(repo.path, limit, known)
        cached = _joined(commits, known[base] if base else CachedHistory(0, b"[]"), limit)
        self._keep(key, cached)
        return cached.data

    def _keep(self, key: Key, cached: CachedHistory) -> None:
        if len(cached.data or b"") > _MAX_ENTRY:
            return
        with self._lock:
            before = self._known.pop(key, None)
            self._size += len(cached.data or b"") - (len(before.data or b"") if before else 0)
            self._known[key] = cached
            while self._size > BOUND or len(self._known) > _MAX_ENTRIES:
                self._size -= len(self._known.popitem(last=False)[1].data or b"")


def _joined(commits: list[GitCommitInfo], rest: CachedHistory, limit: int) -> CachedHistory:
    """Prepend commits to a history."""
    count = len(commits) + rest.commits
    if rest.data is None or count > limit:
        return CachedHistory(count, None)
    parts = [part for part in (wire.encode(commits)[1:-1], rest.data[1:-1]) if part]
    return CachedHistory(count, b"[" + b",".join(parts) + b"]")


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
