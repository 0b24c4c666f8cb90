"""Merge, rebase, cherry-pick and revert. They stop on conflicts, then can be continued, skipped or aborted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from toolbox.errors import BadRequest, Conflict, GitMergeConflict
from toolbox.git.cli import GitCall
from toolbox.git.identity import FALLBACK, identity
from toolbox.git.repository import Repo, unfinished
from toolbox.git.service import GitService
from toolbox.git.workflow import wire

MERGE, REBASE, PICK, REVERT = "merge", "rebase", "cherry-pick", "revert"
START = "start"
_NEXT = {
    MERGE: {"continue": ["commit", "-q", "--no-verify", "--no-edit"], "abort": ["merge", "--abort"]},
    **{
        kind: {action: [kind, f"--{action}"] for action in ("continue", "abort", "skip")}
        for kind in (REBASE, PICK, REVERT)
    },
}
Begin = Callable[[Repo], Awaitable[list[str]]]


class Sequencing(GitService):
    """Start an operation, or continue, skip or abort a stopped one."""

    async def merge(self, request: wire.GitMergeRequest) -> wire.GitMergeResponse:
        """Merge a branch."""

        async def begin(repo: Repo) -> list[str]:
            commit = await self._required(repo, _given(request.branch, "branch"))
            message = request.message or f"Merge '{request.branch}'"
            flags = ["--ff-only"] if request.fast_forward_only else ["-m", message]
            return ["merge", "-q", "--no-verify", "--ff", *flags, commit]

        return await self._act(MERGE, request, begin)

    async def rebase(self, request: wire.GitRebaseRequest) -> wire.GitMergeResponse:
        """Rebase the current branch onto another."""

        async def begin(repo: Repo) -> list[str]:
            upstream = await self._required(repo, _given(request.upstream, "upstream"))
            onto = ["--onto", await self._required(repo, request.onto)] if request.onto else []
            flags = ["--autostash"] if request.autostash else ["--no-autostash"]
            return ["rebase", "-q", "--no-verify", *flags, *onto, upstream]

        return await self._act(REBASE, request, begin)

    async def cherry_pick(self, request: wire.GitPickRequest) -> wire.GitMergeResponse:
        """Apply existing commits on top of the current branch."""
        return await self._act(PICK, request, lambda repo: self._picked(repo, request, [PICK, "--allow-empty"]))

    async def revert(self, request: wire.GitPickRequest) -> wire.GitMergeResponse:
        """Revert commits by new commits."""
        return await self._act(REVERT, request, lambda repo: self._picked(repo, request, [REVERT, "--no-edit"]))

    async def _picked(self, repo: Repo, request: wire.GitPickRequest, argv: list[str]) -> list[str]:
        if not request.commits:
            raise BadRequest("bad request: commits is required")
        chosen = [await self._required(repo, one) for one in request.commits]
        mainline = ["--mainline", str(request.mainline)] if request.mainline else []
        return [*argv, *mainline, *chosen]

    async def _act(self, kind: str, request: wire.SequenceRequest, begin: Begin) -> wire.GitMergeResponse:
        action = request.action if request.action and request.action != kind else START
        if action != START and action not in _NEXT[kind]:
            raise BadRequest(f"bad request: unknown action '{action[:40]}', one of {', '.join((START, *_NEXT[kind]))}")
        repo = (await self._context.repos.open(request.path)).with_files()
        async with self._context.repos.changing(repo.common):
            before = await self._resolve(repo, "HEAD") or ""
            await self._check(repo, kind, action)
            argv = await begin(repo) if action == START else _NEXT[kind][action]
            await self._run(repo, argv, request)
            after = await self._resolve(repo, "HEAD") or ""
        return wire.GitMergeResponse(hash=after, changed=after != before)

    async def _check(self, repo: Repo, kind: str, action: str) -> None:
        under_way = await self._context.workers.run(unfinished, repo)
        if action != START and under_way != kind:
            raise Conflict(f"conflict: no {kind} is under way")
        if action == START and under_way:
            raise GitMergeConflict(f"conflict: a {under_way} is under way, continue or abort it first")

    async def _run(self, repo: Repo, argv: list[str], request: wire.SequenceRequest) -> None:
        output = await self._context.cli.attempt(GitCall(repo, argv, env=await self._who(repo, request)))
        if output.code:
            listed = await self._conflicts(repo)
            error = output.failure()
            raise GitMergeConflict(error.message, detail={"conflicts": listed}) if listed else error

    async def _who(self, repo: Repo, request: wire.SequenceRequest) -> dict[str, str]:
        """Return variables for the committer: the request's, else (none) the configured one, else the fallback."""
        if not (request.author or request.email) and await self._config_value(repo, "user.email"):
            return {}
        return identity(request.author or FALLBACK.name, request.email or FALLBACK.email).variables

    async def _conflicts(self, repo: Repo) -> list[str]:
        output = await self._context.cli.run(
            GitCall(repo, ["diff", "-z", "--name-only", "--diff-filter=U", "--no-ext-diff"])
        )
        return [name for name in output.stdout.decode("utf-8", "replace").split("\0") if name]


def _given(name: str | None, what: str) -> str:
    if not name:
        raise BadRequest(f"bad request: {what} is required")
    return name
