"""Stage and commit with the git program."""

from __future__ import annotations

from toolbox.errors import FileMissing
from toolbox.git import paths
from toolbox.git.classify import missing_path
from toolbox.git.cli import GitCall, Output
from toolbox.git.engine.program.operations import ProgramOperations
from toolbox.git.identity import CommitIdentity
from toolbox.git.queries import head
from toolbox.git.repository import Repo

_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


class ProgramStaging(ProgramOperations):
    """Change the index, and commit it."""

    async def add(self, repo: Repo, files: list[str]) -> None:
        """Stage files as they are on disk, all or nothing."""
        plan = await self._context.workers.run(paths.sort, repo, files)
        if plan.absent:
            listed = (await self._context.cli.check(GitCall(repo, ["ls-files", "-z"]))).text.split("\0")
            await self._context.workers.run(plan.find_absent, listed)
        await self._stage(repo, plan)

    async def _stage(self, repo: Repo, plan: paths.StagePlan) -> None:
        """Stage directories and patterns, then files; both lists are known to be good."""
        if plan.specs:
            call = GitCall(repo, ["add", "-A", *_FROM_STDIN], stdin=paths.nul_list(plan.specs))
            output = await self._context.cli.attempt(call)
            # A directory that is ignored as a whole has nothing to stage.
            if output.code and "ignored by one of your" not in output.stderr:
                _raise(output)
        if plan.files:
            # Takes time in proportion to the files, where ``add`` compares each with each; and takes ignored ones.
            argv = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"]
            await self._context.cli.check(GitCall(repo, argv, stdin=paths.nul_list(plan.files)))

    async def commit(self, repo: Repo, message: str, author: CommitIdentity, *, allow_empty: bool) -> str:
        """Commit the index with exactly this message; return the new commit id."""
        # --no-verify alone still runs some hooks; core.hooksPath disables them.
        argv = ["-c", "i18n.commitEncoding=UTF-8", "commit", "-q", "--no-verify", "--cleanup=verbatim"]
        call = GitCall(
            repo,
            [*argv, *(["--allow-empty"] if allow_empty else []), "-F", "-"],
            stdin=message.encode("utf-8", "surrogateescape"),
            env=author.variables,
        )
        await self._context.cli.check(call)
        return await head(self._context, repo)


def _raise(output: Output) -> None:
    name = missing_path(output.stderr)
    if name is not None:
        raise FileMissing(f"not found: pathspec '{name}' did not match any files")
    raise output.failure()
