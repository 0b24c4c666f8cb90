"""Worktrees of a repository."""

from __future__ import annotations

from toolbox.errors import BadRequest, NotFound
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import GitWorktree, GitWorktreeRequest, ListWorktreesResponse, WorktreeQuery


class Worktrees(GitService):
    """List, add and remove worktrees."""

    async def list_all(self, path: str) -> ListWorktreesResponse:
        """List the worktrees of a repository, the main one first."""
        repo = await self._context.repos.open(path)
        output = await self._git(repo, "worktree", "list", "--porcelain")
        blocks = [block.split("\n") for block in output.text.strip("\n").split("\n\n")]
        return ListWorktreesResponse(worktrees=[_worktree(block) for block in blocks])

    async def add(self, request: GitWorktreeRequest) -> GitWorktree:
        """Add a worktree; without a branch its HEAD is detached."""
        repo = await self._context.repos.open(request.path)
        folder = self._context.repos.resolve(request.worktree)
        start = await self._required(repo, request.ref or "HEAD")
        argv = ["--detach", folder, start]
        if request.branch:
            exists = await self._resolve(repo, f"refs/heads/{validate.branch(request.branch)}")
            argv = [folder, request.branch] if exists else ["-b", request.branch, folder, start]
        async with self._context.repos.changing(repo.common):
            if argv[0] == "-b":
                await self._refuse_branch(repo, argv[1])
            await self._git(repo, "worktree", "add", "-q", *argv)
        made = await self._context.repos.open(folder)
        return next(one for one in (await self.list_all(folder)).worktrees if one.path == made.path)

    async def remove(self, query: WorktreeQuery) -> None:
        """Remove a worktree; one with changes only with ``force``."""
        if not query.worktree:
            raise BadRequest("bad request: worktree is required")
        repo = await self._context.repos.open(query.path)
        folder = self._context.repos.resolve(query.worktree)
        force = ["--force", "--force"] if query.force else []
        call = GitCall(repo, ["worktree", "remove", *force, folder])
        missing = NotFound(f"not found: no worktree at {query.worktree}")
        async with self._context.repos.changing(repo.common):
            await self._context.cli.check(call, ("is not a working tree", missing))


def _worktree(lines: list[str]) -> GitWorktree:
    facts = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    return GitWorktree(
        path=facts["worktree"],
        hash=facts.get("HEAD", ""),
        branch=facts.get("branch", "").removeprefix("refs/heads/"),
        bare="bare" in facts,
        detached="detached" in facts,
        locked="locked" in facts,
    )
