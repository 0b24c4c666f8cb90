"""Stashes, tags and worktrees."""

from __future__ import annotations

from toolbox.errors import Conflict, GitBranchNotFound, NotFound
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.revisions import required
from toolbox.git.staging import identity, identity_env
from toolbox.git.tools import Tools
from toolbox.git.wire import (
    GitTag,
    GitTagRequest,
    GitWorktree,
    ListStashResponse,
    ListTagsResponse,
    ListWorktreesResponse,
    StashEntry,
    StashPushRequest,
    StashRequest,
    TagQuery,
)

# A stash is a commit and needs somebody; nobody sees it outside of this repository.
_NOBODY = {
    "GIT_AUTHOR_NAME": "toolbox",
    "GIT_AUTHOR_EMAIL": "toolbox@localhost",
    "GIT_COMMITTER_NAME": "toolbox",
    "GIT_COMMITTER_EMAIL": "toolbox@localhost",
}


class Stashes:
    """Put local changes away and take them back."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_all(self, path: str) -> ListStashResponse:
        """List stashes, the newest first."""
        repo = await self._t.repos.open(path)
        output = await self._t.cli.check(Job(repo, ["stash", "list", "-z", "--format=%H%x09%cI%x09%gs"]))
        rows = [row.split("\t", 2) for row in output.text.split("\0") if row]
        return ListStashResponse(
            stashes=[
                StashEntry(index=index, hash=name, message=text, timestamp=moment.replace("+00:00", "Z"))
                for index, (name, moment, text) in enumerate(rows)
            ]
        )

    async def push(self, request: StashPushRequest) -> None:
        """Put local changes away; that there are none is a conflict."""
        repo = (await self._t.repos.open(request.path)).with_files()
        flags = [*(["--include-untracked"] if request.untracked else [])]
        flags += ["-m", names.plain(request.message, "message")] if request.message else []
        async with self._t.repos.changing(repo.common):
            output = await self._t.cli.check(Job(repo, ["stash", "push", *flags], env=_NOBODY))
        if "No local changes" in output.text:
            raise Conflict("conflict: no local changes to save")

    async def take(self, request: StashRequest, how: str) -> None:
        """Apply, pop or drop a stash."""
        repo = (await self._t.repos.open(request.path)).with_files()
        entry = f"stash@{{{request.index or 0}}}"
        async with self._t.repos.changing(repo.common):
            output = await self._t.cli.attempt(Job(repo, ["stash", how, entry], env=_NOBODY))
        if output.code and ("is not a valid reference" in output.stderr or "No stash" in output.stderr):
            raise NotFound(f"not found: no stash {request.index or 0}")
        if output.code:
            raise output.failure()


class Tags:
    """List, make and delete tags."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_all(self, path: str) -> ListTagsResponse:
        """List tags by name with the commits they lead to."""
        repo = await self._t.repos.open(path)
        fields = "%(refname)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(contents:subject)%00"
        output = await self._t.cli.check(Job(repo, ["for-each-ref", f"--format={fields}", "refs/tags"]))
        parts = output.text.replace("\0\n", "\0").split("\0")
        rows = [parts[at : at + 5] for at in range(0, len(parts) - 4, 5)]
        return ListTagsResponse(tags=[_tag(*row) for row in rows])

    async def create(self, request: GitTagRequest) -> None:
        """Make a tag at a revision."""
        name = names.branch(request.name)
        repo = await self._t.repos.open(request.path)
        who = identity(request.author or "toolbox", request.email or "toolbox@localhost")
        async with self._t.repos.changing(repo.common):
            target = await required(self._t, repo, request.target or "HEAD")
            flags = ["-a", "--cleanup=verbatim", "-F", "-"] if request.message else []
            stdin = (request.message or "").encode("utf-8", "surrogateescape") if request.message else None
            await self._t.cli.check(Job(repo, ["tag", *flags, "--", name, target], stdin=stdin, env=identity_env(*who)))

    async def delete(self, query: TagQuery) -> None:
        """Delete a tag."""
        repo = await self._t.repos.open(query.path)
        name = names.branch(query.name)
        async with self._t.repos.changing(repo.common):
            output = await self._t.cli.run(Job(repo, ["tag", "-d", "--", name]))
        if output.code and "not found" in output.stderr:
            raise GitBranchNotFound(f"not found: tag '{name}' not found")
        if output.code:
            raise output.failure()


def _tag(reference: str, name: str, peeled: str, kind: str, subject: str) -> GitTag:
    message = subject if kind == "tag" else ""
    return GitTag(name=reference.removeprefix("refs/tags/"), commit=peeled or name, message=message)


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
