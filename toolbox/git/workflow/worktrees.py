"""Worktrees of a repository."""

from __future__ import annotations

from toolbox.git.cli import Job
from toolbox.git.tools import Tools
from toolbox.git.workflow.wire import GitWorktree, ListWorktreesResponse


class Worktrees:
    """List worktrees."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_all(self, path: str) -> ListWorktreesResponse:
        """List the worktrees of a repository, the main one first."""
        repo = await self._t.repos.open(path)
        output = await self._t.cli.check(Job(repo, ["worktree", "list", "--porcelain"]))
        blocks = [block.split("\n") for block in output.text.strip("\n").split("\n\n")]
        return ListWorktreesResponse(worktrees=[_worktree(block) for block in blocks])


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
