"""Histories that were told already: a commit never changes, so what is reachable from one does not either.

Except where a shallow clone is deepened, which shows in a file that is part of the key. Commits on top of a known one
are put before what is known, so only they are read.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import NamedTuple

from toolbox import wire
from toolbox.git.repository import Repo
from toolbox.git.wire import GitCommitInfo

BOUND = 8 * 1024 * 1024
_BIGGEST = BOUND // 4
_MOST = 1000

Key = tuple[str, str, object]


class Told(NamedTuple):
    """A history as JSON with its number of commits; None if there were too many."""

    commits: int
    data: bytes | None


class Recent:
    """Keep the JSON of recent histories, some megabytes in all."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._size = 0
        self._known: OrderedDict[Key, Told] = OrderedDict()
        self._lock = threading.Lock()

    def history(self, repo: Repo, limit: int) -> bytes | None:
        """Return the JSON of at most ``limit`` commits; None if there are more, or git has to read them."""
        from toolbox.git import library

        shallow = _stamp(os.path.join(repo.common, "shallow"))
        try:
            tip = library.head(repo.path)
        except library.Unsupported:
            return None
        with self._lock:
            told = self._known.get((repo.common, tip, shallow))
            if told is not None:
                self._known.move_to_end((repo.common, tip, shallow))
                return told.data
            tips = {name for place, name, then in self._known if place == repo.common and then == shallow}
        commits, base = library.history(repo.path, limit, tips)
        with self._lock:
            rest = self._known.get((repo.common, base, shallow)) if base else Told(0, b"[]")
        if rest is None:  # forgotten meanwhile
            commits, _ = library.history(repo.path, limit, set())
            rest = Told(0, b"[]")
        told = _joined([commit.info() for commit in commits], rest, limit)
        self._keep((repo.common, tip, shallow), told)
        return told.data

    def _keep(self, key: Key, told: Told) -> None:
        if len(told.data or b"") > _BIGGEST:
            return
        with self._lock:
            before = self._known.pop(key, None)
            self._size += len(told.data or b"") - (len(before.data or b"") if before else 0)
            self._known[key] = told
            while self._size > self._bound or len(self._known) > _MOST:
                self._size -= len(self._known.popitem(last=False)[1].data or b"")


def _joined(commits: list[GitCommitInfo], rest: Told, limit: int) -> Told:
    """Put commits before a history."""
    count = len(commits) + rest.commits
    if rest.data is None or count > limit:
        return Told(count, None)
    parts = [part for part in (wire.encode(commits)[1:-1], rest.data[1:-1]) if part]
    return Told(count, b"[" + b",".join(parts) + b"]")


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
