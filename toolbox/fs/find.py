"""Find text in files: literal, case-sensitive, per line, unless asked otherwise."""

from __future__ import annotations

import asyncio
import os
import stat
import threading

from toolbox.errors import BadRequest, FileMissing
from toolbox.fs.globs import Glob
from toolbox.fs.matches import Collector, Root, rescan
from toolbox.fs.ripgrep import Ripgrep, find_binary, usable
from toolbox.fs.scan import Matcher, matcher, scan
from toolbox.fs.walk import THREADS, Walk
from toolbox.fs.wire import FindQuery, Matches
from toolbox.host.paths import Workdir, decode, encode, show
from toolbox.host.worker_pool import WorkerPool


class Find:
    """Search contents with ripgrep, or by ourselves where there is none."""

    def __init__(self, workdir: Workdir, workers: WorkerPool, ripgrep: Ripgrep | None, *, strict: bool = False) -> None:
        self._workdir = workdir
        self._workers = workers
        self._ripgrep = ripgrep
        self._strict = strict

    async def find(self, query: FindQuery) -> tuple[Matches, bool]:
        """Return the matching lines in walk order, and whether a limit cut them."""
        if not query.path or not query.pattern:
            raise BadRequest("bad request: path and pattern are required")
        root = await self._workers.run(self._root, query.path)
        if root is None:
            return Matches(), False
        collector = Collector(query)
        stop = threading.Event()
        again = await self._engine(root, query, collector)
        if again:
            await self._workers.run_until(stop, rescan, root, again, query_matcher(query), collector, stop)
        return await self._workers.run(collector.result, root), collector.truncated

    async def _engine(self, root: Root, query: FindQuery, collector: Collector) -> list[bytes]:
        binary = await self._workers.run(find_binary) if self._ripgrep is not None and usable(query) else None
        if self._ripgrep is not None and binary is not None:
            if "\n" in query.pattern and not query.regex:
                return []  # no line holds a line end
            return await self._ripgrep.find(binary, root, query, collector)
        hunt = _Hunt(root, query, collector)
        await asyncio.gather(*(self._workers.run_until(hunt.walk.stop, hunt.work) for _ in range(THREADS)))
        return []

    def _root(self, path: str) -> Root | None:
        """Look at the root; a missing one has no matches, unless the operator wants an error."""
        absolute = self._workdir.resolve(path)
        try:
            mode = os.stat(absolute).st_mode
        except (FileNotFoundError, NotADirectoryError):
            if self._strict:
                raise FileMissing(f"{show(absolute)}: no such file or directory") from None
            return None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return None
        return Root(absolute, encode(path), is_file=stat.S_ISREG(mode))


def query_matcher(query: FindQuery) -> Matcher:
    """Build our own matcher for a query."""
    pattern = query.pattern.encode("utf-8", "surrogateescape")
    return matcher(pattern, regex=bool(query.regex), ignore_case=bool(query.ignore_case))


class _Hunt:
    """Our own search under way, shared by its threads."""

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
        """Search until done; a root that is a file is searched by whoever comes first."""
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
            return  # unreadable or gone; its siblings are searched
        if self._collector.full:
            self._collector.truncated = True
            stop.set()
