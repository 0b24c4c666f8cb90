"""Find files by name, type, size and modification time."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import stat
from collections.abc import Callable

from toolbox.errors import BadRequest
from toolbox.fs.globs import Glob
from toolbox.fs.info import base_name
from toolbox.fs.walk import THREADS, Walk, order
from toolbox.fs.wire import SearchQuery, SearchResponse
from toolbox.host.paths import Workdir, clean, decode, encode, raw, show
from toolbox.host.worker_pool import WorkerPool

MAX_RESULTS = 200_000
_KINDS = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK}


class Search:
    """Search names below a root."""

    def __init__(self, workdir: Workdir, workers: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers

    async def search(self, query: SearchQuery) -> SearchResponse:
        """Return the matching paths, the root included, in the order of a depth-first walk by name."""
        if not query.path or not query.pattern:
            raise BadRequest("bad request: path and pattern are required")
        search = _NameSearch(self._workdir.resolve(query.path), encode(query.path), query)
        try:
            await asyncio.gather(*(self._workers.run_until(search.walk.stop, search.walk.work) for _ in range(THREADS)))
        finally:
            search.walk.stop.set()
        return await self._workers.run(search.result)


class _NameSearch:
    """One search, run by ``THREADS`` threads."""

    def __init__(self, root: bytes, written: bytes, query: SearchQuery) -> None:
        self._root = root
        self._written = written
        self._glob = Glob(query.pattern, ignore_case=bool(query.ignore_case))
        self._exclude = [Glob(pattern) for pattern in query.exclude or []]
        self._tests = _tests(query)
        self._limit = min(query.max_results or MAX_RESULTS, MAX_RESULTS)
        self._found: list[bytes] = []
        # With join, a root with a trailing slash has the same prefix length as one without.
        self._cut = len(os.path.join(root, b""))
        self.walk = Walk(root, self._visit)

    def _visit(self, entry: os.DirEntry[bytes]) -> None:
        relative = decode(entry.path[self._cut :])
        name = decode(entry.name)
        if not self._glob.matches(name, relative) or any(glob.matches(name, relative) for glob in self._exclude):
            return
        if not self._tests or self._passes(entry.stat(follow_symlinks=False)):
            self._found.append(entry.path[self._cut :])

    def _passes(self, status: os.stat_result) -> bool:
        return all(test(status) for test in self._tests)

    def result(self) -> SearchResponse:
        """Sort the paths, insert the root if it matches, and apply the limit."""
        found = sorted(self._found, key=order)
        if self._root_matches():
            found.insert(0, b"")
        shown = [clean(self._written, relative) for relative in found[: self._limit]]
        raw_files = [text for path in shown if (text := raw(path)) is not None]
        return SearchResponse(
            files=[show(path) for path in shown], raw_files=raw_files or None, truncated=len(found) > self._limit
        )

    def _root_matches(self) -> bool:
        try:
            status = os.lstat(self._root)
        except OSError:
            return False
        return self._glob.matches(decode(base_name(self._root)), "") and self._passes(status)


def _tests(query: SearchQuery) -> list[Callable[[os.stat_result], bool]]:
    tests: list[Callable[[os.stat_result], bool]] = []
    if query.type:
        kind = _KINDS[query.type]
        tests.append(lambda status: kind(status.st_mode))
    if (low := query.min_size) is not None:
        tests.append(lambda status: status.st_size >= low)
    if (high := query.max_size) is not None:
        tests.append(lambda status: status.st_size <= high)
    if query.modified_after:
        after = _instant(query.modified_after)
        tests.append(lambda status: status.st_mtime > after)
    if query.modified_before:
        before = _instant(query.modified_before)
        tests.append(lambda status: status.st_mtime < before)
    return tests


def _instant(text: str) -> float:
    """Parse a time given as Unix seconds or RFC 3339; without a zone it is UTC."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"bad request: {text!r} is not a time like 2026-01-31T12:00:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
