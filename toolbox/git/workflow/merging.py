"""Merge a branch, and finish or abandon a merge that stopped on conflicts."""

from __future__ import annotations

from toolbox.errors import BadRequest, Conflict, GitMergeConflict
from toolbox.git.cli import Job
from toolbox.git.repository import Repo, unfinished
from toolbox.git.revisions import required, resolve
from toolbox.git.staging import identity, identity_env
from toolbox.git.tools import Tools
from toolbox.git.workflow.wire import GitMergeRequest, GitMergeResponse

ACTIONS = ("merge", "continue", "abort")


class Merging:
    """Merge."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def merge(self, request: GitMergeRequest) -> GitMergeResponse:
        """Merge, continue or abort; a conflict is an error that lists the files, and leaves the merge under way."""
        action = request.action or "merge"
        if action not in ACTIONS:
            raise BadRequest(f"bad request: unknown action '{action[:40]}', one of {', '.join(ACTIONS)}")
        if action == "merge" and not request.branch:
            raise BadRequest("bad request: branch is required")
        repo = (await self._t.repos.open(request.path)).with_files()
        async with self._t.repos.changing(repo.common):
            before = await resolve(self._t, repo, "HEAD") or ""
            await self._act(repo, action, request)
            after = await resolve(self._t, repo, "HEAD") or ""
        return GitMergeResponse(hash=after, changed=after != before)

    async def _act(self, repo: Repo, action: str, request: GitMergeRequest) -> None:
        under_way = await self._t.lane.run(unfinished, repo)
        if action != "merge" and under_way != "merge":
            raise Conflict("conflict: no merge is under way")
        who = identity_env(*identity(request.author or "toolbox", request.email or "toolbox@localhost"))
        if action == "merge":
            argv = await self._arguments(repo, request)
        elif action == "abort":
            argv = ["merge", "--abort"]
        else:
            argv = ["commit", "-q", "--no-verify", "--no-edit"]
        output = await self._t.cli.attempt(Job(repo, argv, env=who))
        if output.code:
            listed = await self._conflicts(repo)
            error = output.failure()
            raise GitMergeConflict(error.message, detail={"conflicts": listed}) if listed else error

    async def _arguments(self, repo: Repo, request: GitMergeRequest) -> list[str]:
        commit = await required(self._t, repo, request.branch or "")
        message = request.message or f"Merge '{request.branch}'"
        flags = ["--ff-only"] if request.fast_forward_only else ["-m", message]
        return ["merge", "-q", "--no-verify", "--ff", *flags, commit]

    async def _conflicts(self, repo: Repo) -> list[str]:
        output = await self._t.cli.run(Job(repo, ["diff", "-z", "--name-only", "--diff-filter=U", "--no-ext-diff"]))
        return [name for name in output.stdout.decode("utf-8", "replace").split("\0") if name]
