"""List, make and delete branches, and switch to them."""

from __future__ import annotations

from toolbox.errors import GitBranchExists, GitBranchNotFound, GitMergeConflict, InvalidBody
from toolbox.git import names, refs
from toolbox.git.cli import Job
from toolbox.git.repository import Repo, find, unfinished
from toolbox.git.revisions import current_branch, resolve
from toolbox.git.tools import Tools
from toolbox.git.wire import DeleteBranchQuery, GitBranchRequest, GitDeleteBranchRequest, ListBranchResponse


class Branches:
    """Work on the branches of repositories."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_all(self, path: str) -> ListBranchResponse:
        """Return the local branches by name."""
        resolved = self._t.repos.resolve(path)
        found = await self._t.workers.run(_list, resolved)
        if found is None:
            found = await self._list_with_git(await self._t.repos.open(path))
        return ListBranchResponse(branches=found[0], current=found[1])

    async def _list_with_git(self, repo: Repo) -> tuple[list[str], str]:
        output = await self._t.cli.check(Job(repo, ["for-each-ref", "--format=%(refname)", "refs/heads"]))
        listed = [line.removeprefix("refs/heads/") for line in output.text.splitlines()]
        return sorted(listed), await current_branch(self._t, repo)

    async def create(self, request: GitBranchRequest) -> None:
        """Make a branch at HEAD and switch to it."""
        name = names.branch(request.name)
        repo = await self._t.repos.open(request.path)
        async with self._t.repos.changing(repo.common):
            if await self._t.workers.run(unfinished, repo) == "merge":
                raise GitMergeConflict("conflict: cannot switch branch while merging")
            if repo.user is None and await self._t.workers.run(_create, repo.path, name):
                return
            output = await self._t.cli.run(Job(repo, ["switch", "-q", "-c", name]))
            if output.code and "exists" in output.stderr:
                raise GitBranchExists(f"conflict: a branch named '{name}' already exists")
            if output.code:
                raise output.failure()

    async def delete(self, query: DeleteBranchQuery, request: GitDeleteBranchRequest) -> None:
        """Delete a branch, merged or not; the one that is checked out stays."""
        path, name = request.path or query.path, request.name or query.name
        if not path or not name:
            raise InvalidBody(f"invalid request body: {'name' if path else 'path'} is required")
        names.plain(name, "branch name")
        repo = await self._t.repos.open(path)
        async with self._t.repos.changing(repo.common):
            if repo.user is None and await self._t.workers.run(_delete, repo.path, name):
                return
            if await resolve(self._t, repo, f"refs/heads/{name}") is None:
                raise GitBranchNotFound(f"not found: branch '{name}' not found")
            await self._t.cli.check(Job(repo, ["branch", "-q", "-D", "--", name]))


def _list(path: str) -> tuple[list[str], str] | None:
    return refs.branches(find(path))


def _create(path: str, name: str) -> bool:
    from toolbox.git import library

    try:
        library.create_branch(path, name)
    except library.Unsupported:
        return False
    return True


def _delete(path: str, name: str) -> bool:
    from toolbox.git import library

    try:
        library.delete_branch(path, name)
    except library.Unsupported:
        return False
    return True
