"""The index: stage, commit, reset and restore with the git program."""

from __future__ import annotations

from toolbox.errors import FileMissing, GitMergeConflict, ToolboxError
from toolbox.git import paths
from toolbox.git.classify import missing_path
from toolbox.git.cli import GitCall, Output
from toolbox.git.identity import CommitIdentity
from toolbox.git.repository import Repo, unfinished
from toolbox.git.service import GitService

_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


class ProgramIndex(GitService):
    """Change the index, commit it, and restore from it."""

    async def add(self, repo: Repo, files: list[str]) -> None:
        """Stage files as they are on disk, all or nothing."""
        plan = await self._context.workers.run(paths.sort, repo, files)
        if plan.absent:
            listed = (await self._git(repo, "ls-files", "-z")).text.split("\0")
            await self._context.workers.run(plan.find_absent, listed)
        await self._stage(repo, plan)

    async def _stage(self, repo: Repo, plan: paths.StagePlan) -> None:
        """Stage directories and patterns, then files."""
        if plan.specs:
            call = GitCall(repo, ["add", "-A", *_FROM_STDIN], stdin=paths.nul_list(plan.specs))
            output = await self._context.cli.attempt(call)
            # A directory that is ignored as a whole has nothing to stage.
            if output.code and "ignored by one of your" not in output.stderr:
                raise _failure(output, "files")
        if plan.files:
            # Linear in the number of files, where ``add`` compares each pathspec with each entry (minutes for 20,000
            # names). It also stages ignored files, which a client names on purpose.
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
        return await self._required(repo, "HEAD")

    async def reset(self, repo: Repo, mode: str, target: str, files: list[str]) -> None:
        """Reset HEAD, or only some files."""
        if files:
            await self._reset_files(repo, files, target or "HEAD", hard=mode == "hard")
        else:
            await self._reset_all(repo, mode, target)

    async def _reset_all(self, repo: Repo, mode: str, target: str) -> None:
        if mode in ("soft", "keep") and await self._context.workers.run(unfinished, repo) == "merge":
            raise GitMergeConflict(f"conflict: cannot do a {mode} reset in the middle of a merge")
        unborn = not target and await self._resolve(repo, "HEAD") is None
        commit = [] if unborn else [await self._required(repo, target or "HEAD")]
        await self._git(repo, "reset", "-q", f"--{mode}", *commit)

    async def _reset_files(self, repo: Repo, files: list[str], target: str, *, hard: bool) -> None:
        commit = await self._required(repo, target)
        stdin = paths.nul_list([paths.literal(name) for name in files])
        argv = ["reset", "-q", commit, *_FROM_STDIN]
        if hard:
            argv = ["restore", "-q", "--staged", "--worktree", f"--source={commit}", *_FROM_STDIN]
        await self._context.cli.check(GitCall(repo, argv, stdin=stdin))

    async def restore(self, repo: Repo, files: list[str], source: str, *, staged: bool, worktree: bool) -> None:
        """Restore files from the index or from a revision."""
        commit = await self._required(repo, source) if source else ""
        flags = [*(["--staged"] if staged else []), *(["--worktree"] if worktree else [])]
        argv = ["restore", "-q", *flags, *([f"--source={commit}"] if commit else [])]
        if staged and not commit and await self._resolve(repo, "HEAD") is None:
            # Before the first commit there is no commit to restore from.
            argv = ["rm", "-q", "-r", "-f" if worktree else "--cached"]
        stdin = paths.nul_list([paths.literal(name) for name in files])
        output = await self._context.cli.attempt(GitCall(repo, [*argv, *_FROM_STDIN], stdin=stdin))
        if output.code:
            raise _failure(output, "file known to git")


def _failure(output: Output, known: str) -> ToolboxError:
    name = missing_path(output.stderr)
    return output.failure() if name is None else FileMissing(f"not found: pathspec '{name}' did not match any {known}")
