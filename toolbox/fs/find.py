"""Find text in files, line by line; by default literal and case-sensitive."""

from __future__ import annotations

import asyncio
import os
import stat
import threading

from toolbox.errors import BadRequest
from toolbox.fs.globs import Glob
from toolbox.fs.matches import Collector, Root, rescan
from toolbox.fs.ripgrep import Ripgrep, find_binary, usable
from toolbox.fs.scan import Matcher, matcher, scan
from toolbox.fs.walk import THREADS, Walk
from toolbox.fs.wire import FindQuery, Matches
from toolbox.host.paths import Workdir, decode, encode
from toolbox.host.worker_pool import WorkerPool


class Find:
    """Search contents with ripgrep, or with our own scanner if ripgrep is missing."""

    def __init__(self, workdir: Workdir, workers: WorkerPool, ripgrep: Ripgrep | None) -> None:
        self._workdir = workdir
        self._workers = workers
        self._ripgrep = ripgrep

    async def find(self, query: FindQuery) -> tuple[Matches, bool]:
        """Return the matching lines in walk order, and whether a limit truncated them."""
        if not query.path or not query.pattern:
            raise BadRequest("bad request: path and pattern are required")
        root = await self._workers.run(self._root, query.path)
        if root is None:
            return Matches(), False
        collector = Collector(query)
        stop = threading.Event()
        inexact = await self._engine(root, query, collector)
        if inexact:
            match = await self._workers.run(query_matcher, query)
            await self._workers.run_until(stop, rescan, root, inexact, match, collector, stop)
        return await self._workers.run(collector.result, root), collector.truncated

    async def _engine(self, root: Root, query: FindQuery, collector: Collector) -> list[bytes]:
        """Collect matches with one of the engines; return the files that ripgrep cannot search exactly."""
        binary = await self._workers.run(find_binary) if self._ripgrep is not None and usable(query) else None
        if self._ripgrep is not None and binary is not None:
            if "\n" in query.pattern and not query.regex:
                return []  # no line contains a line end; ripgrep refuses such a pattern
            return await self._ripgrep.find(binary, root, query, collector)
        search = await self._workers.run(_ContentSearch, root, query, collector)
        await asyncio.gather(*(self._workers.run_until(search.walk.stop, search.work) for _ in range(THREADS)))
        return []

    def _root(self, path: str) -> Root | None:
        """Return the root, or None if it has no matches: it is missing, a FIFO or a device."""
        absolute = self._workdir.resolve(path)
        try:
            mode = os.stat(absolute).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return None
        return Root(absolute, encode(path), is_file=stat.S_ISREG(mode))


def query_matcher(query: FindQuery) -> Matcher:
    """Build the matcher of our own scanner for a query."""
    pattern = query.pattern.encode("utf-8", "surrogateescape")
    return matcher(pattern, regex=bool(query.regex), ignore_case=bool(query.ignore_case))


class _ContentSearch:
    """One search with our own scanner, run by ``THREADS`` threads."""

    def __init__(self, root: Root, query: FindQuery, collector: Collector) -> None:
        self._root = root
        self._collector = collector
        self._max_size = query.max_file_size
        self._match = query_matcher(query)
        self._include = [Glob(pattern) for pattern in query.include or []]
        self._exclude = [Glob(pattern) for pattern in query.exclude or []]
        self._cut = len(os.path.join(root.path, b""))
        self.walk = Walk(root.path, self._visit)

    def work(self) -> None:
        """Search until done; the first thread takes a root that is a file."""
        if not self._root.is_file:
            self.walk.work()
        elif not self.walk.stop.is_set():
            self.walk.stop.set()
            self._search(self._root.path, b"", threading.Event())

    def _visit(self, entry: os.DirEntry[bytes]) -> None:
        if not entry.is_file(follow_symlinks=False):
            return
        relative = entry.path[self._cut :]
        name, path = decode(entry.name), decode(relative)
        if self._include and not any(glob.matches(name, path) for glob in self._include):
            return
        if not any(glob.matches(name, path) for glob in self._exclude):
            self._search(entry.path, relative, self.walk.stop)

    def _search(self, path: bytes, relative: bytes, stop: threading.Event) -> None:
        try:
            self._collector.add(relative, scan(path, self._match, stop, max_size=self._max_size))
        except OSError:
            return  # unreadable or deleted: skipped
        except BadRequest:
            stop.set()
            raise
        if self._collector.full:
            self._collector.truncated = True
            stop.set()
