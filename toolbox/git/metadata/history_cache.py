"""Cached histories. A commit never changes, so neither does what is reachable from it.

Except where a shallow clone is deepened, which shows in a file that is part of the key. Commits on top of a known one
are put before what is known, so only they are read.
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
_BIGGEST = BOUND // 4
_MOST = 1000

Key = tuple[str, str, object]


class CachedHistory(NamedTuple):
    """A history as JSON with its number of commits; None if there were too many."""

    commits: int
    data: bytes | None


class HistoryCache:
    """Keep the JSON of recent histories, some megabytes in all."""

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
        if rest is None:  # forgotten meanwhile
            commits, _ = libgit2.history(repo.path, limit, set())
            rest = CachedHistory(0, b"[]")
        cached = _joined([commit.info() for commit in commits], rest, limit)
        self._keep((repo.common, tip, shallow), cached)
        return cached.data

    def _keep(self, key: Key, cached: CachedHistory) -> None:
        if len(cached.data or b"") > _BIGGEST:
            return
        with self._lock:
            before = self._known.pop(key, None)
            self._size += len(cached.data or b"") - (len(before.data or b"") if before else 0)
            self._known[key] = cached
            while self._size > self._bound or len(self._known) > _MOST:
                self._size -= len(self._known.popitem(last=False)[1].data or b"")


def _joined(commits: list[GitCommitInfo], rest: CachedHistory, limit: int) -> CachedHistory:
    """Put commits before a history."""
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
