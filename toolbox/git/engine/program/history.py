"""History from ``git log``, streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.commits import FORMAT, LogParser
from toolbox.git.engine.program.operations import ProgramOperations
from toolbox.git.queries import required, resolve
from toolbox.git.repository import Repo
from toolbox.git.wire import GitCommitInfo, HistoryQuery


class ProgramHistory(ProgramOperations):
    """List commits."""

    async def history(self, repo: Repo, query: HistoryQuery) -> AsyncGenerator[list[GitCommitInfo], None]:
        """Yield commits in batches, the newest first."""
        argv = await self._arguments(repo, query)
        if argv is None:
            return
        parser = LogParser()
        async for data in self._context.cli.lines(GitCall(repo, argv)):
            commits = parser.feed(data)
            if commits:
                yield commits

    async def _arguments(self, repo: Repo, query: HistoryQuery) -> list[str] | None:
        """Build the command line; None if the repository has no commit."""
        if query.ref:
            start = await required(self._context, repo, query.ref)
        else:
            start = await resolve(self._context, repo, "HEAD") or ""
        if not start:
            return None
        numbers = {"--max-count": query.limit, "--skip": query.skip}
        texts = {"--author": query.author, "--since": query.since}
        argv = ["--literal-pathspecs", "log", "-z", "--no-show-signature", "--encoding=UTF-8", f"--format={FORMAT}"]
        argv += [f"{name}={value}" for name, value in numbers.items() if value]
        argv += [f"{name}={validate.plain(value, name[2:])}" for name, value in texts.items() if value]
        return [*argv, start, "--", *([query.file] if query.file else [])]
