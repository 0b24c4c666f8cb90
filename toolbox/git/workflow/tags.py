"""List, make and delete tags."""

from __future__ import annotations

from toolbox.errors import GitBranchNotFound
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.revisions import required
from toolbox.git.staging import identity, identity_env
from toolbox.git.tools import Tools
from toolbox.git.workflow.wire import GitTag, GitTagRequest, ListTagsResponse, TagQuery


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
