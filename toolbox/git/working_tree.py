"""Services for the files of a repository: status, add, commit, checkout, reset, restore."""

from __future__ import annotations

from toolbox.errors import BadRequest
from toolbox.git import paths, validate, wire
from toolbox.git.engine.interface import EngineService
from toolbox.git.identity import identity
from toolbox.git.repository import Repo, unfinished

MODES = ("soft", "mixed", "hard", "merge", "keep")


class WorkingTree(EngineService):
    """Read and change the files and the index of repositories."""

    async def status(self, path: str, *, filters: bool = False) -> wire.GitStatus:
        """Return changed files, the branch, and the operation in progress."""
        repo = await self._open(path)
        found = await (await self._engines.current()).status(repo, filters=filters)
        found.state = await self._context.workers.run(unfinished, repo)
        return found

    async def add(self, request: wire.GitAddRequest) -> None:
        """Stage files as they are on disk, all or nothing."""
        repo = await self._open(request.path)
        files = await self._context.workers.run(paths.inside, repo, request.files)
        if files:
            async with self._engines.changing(repo) as engine:
                await engine.add(repo, files)

    async def commit(self, request: wire.GitCommitRequest) -> wire.GitCommitResponse:
        """Commit the index with exactly this message; no hook runs."""
        repo = await self._open(request.path)
        author = identity(request.author, request.email)
        async with self._engines.changing(repo) as engine:
            made = await engine.commit(repo, request.message, author, allow_empty=bool(request.allow_empty))
        return wire.GitCommitResponse(hash=made)

    async def checkout(self, request: wire.GitCheckoutRequest) -> None:
        """Switch to a branch, a tag or a commit; local edits that do not clash are kept."""
        name = validate.plain(request.branch, "branch name")
        repo = await self._open(request.path)
        async with self._engines.changing(repo) as engine:
            await engine.checkout(repo, name)

    async def reset(self, request: wire.GitResetRequest) -> None:
        """Reset HEAD in one of git's modes, or only some files."""
        mode = request.mode or "mixed"
        if mode not in MODES:
            raise BadRequest(f"bad request: unknown reset mode '{mode[:40]}', one of {', '.join(MODES)}")
        if request.files and mode not in ("mixed", "hard"):
            raise BadRequest(f"bad request: cannot do {mode} reset with paths")
        repo = await self._open(request.path)
        files = await self._context.workers.run(paths.inside, repo, request.files or [])
        async with self._engines.changing(repo) as engine:
            await engine.reset(repo, mode, request.target or "", files)

    async def restore(self, request: wire.GitRestoreRequest) -> None:
        """Restore files from the index or from a revision."""
        staged = bool(request.staged)
        worktree = not staged if request.worktree is None else request.worktree
        if not staged and not worktree:
            raise BadRequest("bad request: choose staged, worktree or both")
        repo = await self._open(request.path)
        files = await self._context.workers.run(paths.inside, repo, request.files)
        async with self._engines.changing(repo) as engine:
            await engine.restore(repo, files, request.source or "", staged=staged, worktree=worktree)

    async def _open(self, path: str) -> Repo:
        return (await self._context.repos.open(path)).with_files()
