"""The git program's engine: clone, history, and the groups of its other operations."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.commits import FORMAT, LogParser
from toolbox.git.engine.interface import CloneOrder
from toolbox.git.engine.program.checkout import ProgramCheckout
from toolbox.git.engine.program.cloning import ProgramClone
from toolbox.git.engine.program.index import ProgramIndex
from toolbox.git.engine.program.status import ProgramStatus
from toolbox.git.engine.program.transfer import ProgramTransfer
from toolbox.git.repository import Repo
from toolbox.git.target import Target
from toolbox.git.wire import GitCommitInfo, HistoryQuery


class ProgramEngine(ProgramStatus, ProgramIndex, ProgramCheckout, ProgramTransfer):
    """Run operations with the git program."""

    name = "git"

    async def clone(self, order: CloneOrder, target: Target) -> None:
        """Clone into ``target``. On failure the caller removes what is left."""
        await ProgramClone(self._context, order, target).run()

    async def history(self, repo: Repo, query: HistoryQuery) -> AsyncGenerator[list[GitCommitInfo], None]:
        """Yield commits in batches, the newest first."""
        start = await (self._required(repo, query.ref) if query.ref else self._resolve(repo, "HEAD"))
        if not start:
            return
        numbers = {"--max-count": query.limit, "--skip": query.skip}
        texts = {"--author": query.author, "--since": query.since}
        argv = ["--literal-pathspecs", "log", "-z", "--no-show-signature", "--encoding=UTF-8", f"--format={FORMAT}"]
        argv += [f"{name}={value}" for name, value in numbers.items() if value]
        argv += [f"{name}={validate.plain(value, name[2:])}" for name, value in texts.items() if value]
        argv += [start, "--", *([query.file] if query.file else [])]
        parser = LogParser()
        async for data in self._context.cli.lines(GitCall(repo, argv)):
            commits = parser.feed(data)
            if commits:
                yield commits
