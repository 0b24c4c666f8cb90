"""List, create and delete branches."""

from __future__ import annotations

import contextlib

from toolbox.errors import GitBranchExists, GitBranchNotFound, GitMergeConflict, InvalidBody
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.metadata import Unsupported
from toolbox.git.repository import unfinished
from toolbox.git.service import GitService
from toolbox.git.wire import DeleteBranchQuery, GitBranchRequest, GitDeleteBranchRequest, ListBranchResponse


class Branches(GitService):
    """List, create and delete branches."""

    async def list_all(self, path: str) -> ListBranchResponse:
        """Return the local branches by name."""
        found = await self._context.metadata.branches(self._context.repos.resolve(path))
        if found is None:
            repo = await self._context.repos.open(path)
            found = await self._branch_names(repo), await self._current_branch(repo)
        return ListBranchResponse(branches=found[0], current=found[1])

    async def create(self, request: GitBranchRequest) -> None:
        """Make a branch at HEAD and switch to it."""
        name = validate.branch(request.name)
        repo = await self._context.repos.open(request.path)
        async with self._context.repos.changing(repo.common):
            if await self._context.workers.run(unfinished, repo) == "merge":
                raise GitMergeConflict("conflict: cannot switch branch while merging")
            await self._refuse_branch(repo, name)
            if repo.user is None:
                with contextlib.suppress(Unsupported):
                    await self._context.metadata.create_branch(repo.path, name)
                    return
            taken = GitBranchExists(f"conflict: a branch named '{name}' already exists")
            await self._context.cli.check(GitCall(repo, ["switch", "-q", "-c", name]), ("exists", taken))

    async def delete(self, query: DeleteBranchQuery, request: GitDeleteBranchRequest) -> None:
        """Delete a branch, merged or not; the checked-out branch cannot be deleted."""
        path, name = request.path or query.path, request.name or query.name
        if not path or not name:
            raise InvalidBody(f"invalid request body: {'name' if path else 'path'} is required")
        validate.plain(name, "branch name")
        repo = await self._context.repos.open(path)
        async with self._context.repos.changing(repo.common):
            if repo.user is None:
                with contextlib.suppress(Unsupported):
                    await self._context.metadata.delete_branch(repo.path, name)
                    return
            if await self._resolve(repo, f"refs/heads/{name}") is None:
                raise GitBranchNotFound(f"not found: branch '{name}' not found")
            await self._git(repo, "branch", "-q", "-D", "--", name)
