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
    """Keep the JSON of recent histories, ``bound`` bytes in all."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
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
        with self._lock:
            cached = self._known.get((repo.common, tip, shallow))
            if cached is not None:
                self._known.move_to_end((repo.common, tip, shallow))
                return cached.data
            tips = {name for place, name, then in self._known if place == repo.common and then == shallow}
        commits, base = libgit2.history(repo.path, limit, tips)
        with self._lock:
            rest = self._known.get((repo.common, base, shallow)) if base else CachedHistory(0, b"[]")
        if rest is None:  # evicted meanwhile
            commits, _ = libgit2.history(repo.path, limit, set())
            rest = CachedHistory(0, b"[]")
        cached = _joined(commits, rest, limit)
        self._keep((repo.common, tip, shallow), cached)
        return cached.data

    def _keep(self, key: Key, cached: CachedHistory) -> None:
        if len(cached.data or b"") > _MAX_ENTRY:
            return
        with self._lock:
            before = self._known.pop(key, None)
            self._size += len(cached.data or b"") - (len(before.data or b"") if before else 0)
            self._known[key] = cached
            while self._size > self._bound or len(self._known) > _MAX_ENTRIES:
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
