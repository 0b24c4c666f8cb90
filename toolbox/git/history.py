"""The commits of a repository: short histories from libgit2 at once, long and filtered ones from git as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from toolbox import wire
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.commits import FORMAT, LogParser
from toolbox.git.recent import Recent
from toolbox.git.repository import Repo, find
from toolbox.git.revisions import required, resolve
from toolbox.git.tools import Tools
from toolbox.git.wire import GitCommitInfo, HistoryQuery

# What is answered in one piece; it takes libgit2 some ten milliseconds.
WHOLE = 1000


class History:
    """Tell the history of repositories."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._recent = Recent()

    async def whole(self, query: HistoryQuery) -> bytes | None:
        """Return the JSON of a plain, short history; None for any other."""
        plain = not (query.skip or query.ref or query.file or query.author or query.since)
        if not plain or query.limit:
            return None
        return await self._t.workers.run(self._whole, self._t.repos.resolve(query.path))

    def _whole(self, path: str) -> bytes | None:
        return self._recent.history(find(path), WHOLE)

    async def pages(self, query: HistoryQuery) -> AsyncGenerator[bytes, None]:
        """Yield the JSON of a list in pieces."""
        separator = b"["
        async for commits in self._commits(query):
            yield separator + wire.encode(commits)[1:-1]
            separator = b","
        yield b"[]" if separator == b"[" else b"]"

    async def _commits(self, query: HistoryQuery) -> AsyncGenerator[list[GitCommitInfo], None]:
        repo = await self._t.repos.open(query.path)
        if not await self._t.cli.available():
            found = await self._t.worker.call("history", repo, limit=query.limit or 0, skip=query.skip or 0)
            yield [GitCommitInfo(**commit) for commit in found]
            return
        argv = await self._arguments(repo, query)
        if argv is None:
            return
        parser = LogParser()
        async for data in self._t.cli.lines(Job(repo, argv)):
            commits = parser.feed(data)
            if commits:
                yield commits

    async def _arguments(self, repo: Repo, query: HistoryQuery) -> list[str] | None:
        """Build the command line; None if there is no commit at all."""
        if query.ref:
            start = await required(self._t, repo, query.ref)
        else:
            start = await resolve(self._t, repo, "HEAD") or ""
        if not start:
            return None
        numbers = {"--max-count": query.limit, "--skip": query.skip}
        texts = {"--author": query.author, "--since": query.since}
        argv = ["--literal-pathspecs", "log", "-z", "--no-show-signature", "--encoding=UTF-8", f"--format={FORMAT}"]
        argv += [f"{name}={value}" for name, value in numbers.items() if value]
        argv += [f"{name}={names.plain(value, name[2:])}" for name, value in texts.items() if value]
        return [*argv, start, "--", *([query.file] if query.file else [])]
