"""Reset and restore with the git program."""

from __future__ import annotations

from toolbox.errors import FileMissing, GitMergeConflict
from toolbox.git import paths
from toolbox.git.classify import missing_path
from toolbox.git.cli import GitCall
from toolbox.git.engine.program.operations import ProgramOperations
from toolbox.git.queries import required, resolve
from toolbox.git.repository import Repo, unfinished

_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


class ProgramRestoring(ProgramOperations):
    """Move HEAD and restore files."""

    async def reset(self, repo: Repo, mode: str, target: str, files: list[str]) -> None:
        """Reset HEAD, or only some files."""
        if files:
            await self._reset_files(repo, files, target or "HEAD", hard=mode == "hard")
        else:
            await self._reset_all(repo, mode, target)

    async def _reset_all(self, repo: Repo, mode: str, target: str) -> None:
        if mode in ("soft", "keep") and await self._context.workers.run(unfinished, repo) == "merge":
            raise GitMergeConflict(f"conflict: cannot do a {mode} reset in the middle of a merge")
        unborn = not target and await resolve(self._context, repo, "HEAD") is None
        commit = [] if unborn else [await required(self._context, repo, target or "HEAD")]
        await self._context.cli.check(GitCall(repo, ["reset", "-q", f"--{mode}", *commit]))

    async def _reset_files(self, repo: Repo, files: list[str], target: str, *, hard: bool) -> None:
        commit = await required(self._context, repo, target)
        stdin = paths.nul_list([paths.literal(name) for name in files])
        argv = ["reset", "-q", commit, *_FROM_STDIN]
        if hard:
            argv = ["restore", "-q", "--staged", "--worktree", f"--source={commit}", *_FROM_STDIN]
        await self._context.cli.check(GitCall(repo, argv, stdin=stdin))

    async def restore(self, repo: Repo, files: list[str], source: str, *, staged: bool, worktree: bool) -> None:
        """Restore files from the index or from a revision."""
        commit = await required(self._context, repo, source) if source else ""
        if staged and not commit and await resolve(self._context, repo, "HEAD") is None:
            await self._unstage_unborn(repo, files, worktree=worktree)
            return
        flags = [*(["--staged"] if staged else []), *(["--worktree"] if worktree else [])]
        flags += [f"--source={commit}"] if commit else []
        await self._with_paths(repo, ["restore", "-q", *flags], files)

    async def _unstage_unborn(self, repo: Repo, files: list[str], *, worktree: bool) -> None:
        """Before the first commit there is nothing to restore from: what is staged becomes untracked."""
        how = ["-f"] if worktree else ["--cached"]
        await self._with_paths(repo, ["rm", "-q", "-r", *how], files)

    async def _with_paths(self, repo: Repo, argv: list[str], files: list[str]) -> None:
        stdin = paths.nul_list([paths.literal(name) for name in files])
        output = await self._context.cli.attempt(GitCall(repo, [*argv, *_FROM_STDIN], stdin=stdin))
        name = missing_path(output.stderr) if output.code else None
        if name is not None:
            raise FileMissing(f"not found: pathspec '{name}' did not match any file known to git")
        if output.code:
            raise output.failure()
