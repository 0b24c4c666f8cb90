"""Move HEAD and take files back: reset and restore."""

from __future__ import annotations

from typing import Any

from toolbox.errors import BadRequest, FileMissing, GitMergeConflict
from toolbox.git import paths
from toolbox.git.classify import missing_path
from toolbox.git.cli import Job
from toolbox.git.repository import Repo, unfinished
from toolbox.git.revisions import required, resolve
from toolbox.git.tools import Tools
from toolbox.git.wire import GitResetRequest, GitRestoreRequest

MODES = ("soft", "mixed", "hard", "merge", "keep")
_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


class Restoring:
    """Take changes back."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def reset(self, request: GitResetRequest) -> None:
        """Reset HEAD in one of git's modes, or only some files."""
        mode = request.mode or "mixed"
        if mode not in MODES:
            raise BadRequest(f"bad request: unknown reset mode '{mode[:40]}', one of {', '.join(MODES)}")
        if request.files and mode not in ("mixed", "hard"):
            raise BadRequest(f"bad request: cannot do {mode} reset with paths")
        repo = (await self._t.repos.open(request.path)).with_files()
        files = await self._t.workers.run(paths.inside, repo, request.files or [])
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                options: dict[str, Any] = {"mode": mode, "target": request.target or "HEAD", "files": files}
                await self._t.worker.call("reset", repo, **options)
            elif files:
                await self._reset_files(repo, files, request.target or "HEAD", hard=mode == "hard")
            else:
                await self._reset_all(repo, mode, request.target or "")

    async def _reset_all(self, repo: Repo, mode: str, target: str) -> None:
        if mode in ("soft", "keep") and await self._t.workers.run(unfinished, repo) == "merge":
            raise GitMergeConflict(f"conflict: cannot do a {mode} reset in the middle of a merge")
        unborn = not target and await resolve(self._t, repo, "HEAD") is None
        commit = [] if unborn else [await required(self._t, repo, target or "HEAD")]
        await self._t.cli.check(Job(repo, ["reset", "-q", f"--{mode}", *commit]))

    async def _reset_files(self, repo: Repo, files: list[str], target: str, *, hard: bool) -> None:
        commit = await required(self._t, repo, target)
        stdin = paths.nul_list([paths.literal(name) for name in files])
        argv = ["reset", "-q", commit, *_FROM_STDIN]
        if hard:
            argv = ["restore", "-q", "--staged", "--worktree", f"--source={commit}", *_FROM_STDIN]
        await self._t.cli.check(Job(repo, argv, stdin=stdin))

    async def restore(self, request: GitRestoreRequest) -> None:
        """Take files from the index or from a revision."""
        staged, worktree = _where(request)
        repo = (await self._t.repos.open(request.path)).with_files()
        files = await self._t.workers.run(paths.inside, repo, request.files)
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                places = {"staged": staged, "worktree": worktree}
                await self._t.worker.call("restore", repo, files=files, source=request.source or "", **places)
                return
            source = await required(self._t, repo, request.source) if request.source else ""
            if staged and not source and await resolve(self._t, repo, "HEAD") is None:
                await self._unstage_unborn(repo, files, worktree=worktree)
                return
            flags = [*(["--staged"] if staged else []), *(["--worktree"] if worktree else [])]
            flags += [f"--source={source}"] if source else []
            await self._with_paths(repo, ["restore", "-q", *flags], files)

    async def _unstage_unborn(self, repo: Repo, files: list[str], *, worktree: bool) -> None:
        """Before the first commit there is nothing to restore from: what is staged becomes untracked."""
        how = ["-f"] if worktree else ["--cached"]
        await self._with_paths(repo, ["rm", "-q", "-r", *how], files)

    async def _with_paths(self, repo: Repo, argv: list[str], files: list[str]) -> None:
        stdin = paths.nul_list([paths.literal(name) for name in files])
        output = await self._t.cli.attempt(Job(repo, [*argv, *_FROM_STDIN], stdin=stdin))
        name = missing_path(output.stderr) if output.code else None
        if name is not None:
            raise FileMissing(f"not found: pathspec '{name}' did not match any file known to git")
        if output.code:
            raise output.failure()


def _where(request: GitRestoreRequest) -> tuple[bool, bool]:
    staged = bool(request.staged)
    worktree = not staged if request.worktree is None else request.worktree
    if not staged and not worktree:
        raise BadRequest("bad request: choose staged, worktree or both")
    return staged, worktree
