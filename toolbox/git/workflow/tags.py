"""List, create and delete tags."""

from __future__ import annotations

from toolbox.errors import GitBranchNotFound
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.identity import FALLBACK, identity
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import GitTag, GitTagRequest, ListTagsResponse, TagQuery


class Tags(GitService):
    """List, create and delete tags."""

    async def list_all(self, path: str) -> ListTagsResponse:
        """List tags by name with their commits."""
        repo = await self._context.repos.open(path)
        fields = "%(refname)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(contents:subject)%00"
        output = await self._git(repo, "for-each-ref", f"--format={fields}", "refs/tags")
        parts = output.text.replace("\0\n", "\0").split("\0")
        rows = [parts[at : at + 5] for at in range(0, len(parts) - 4, 5)]
        return ListTagsResponse(tags=[_tag(*row) for row in rows])

    async def create(self, request: GitTagRequest) -> None:
        """Create a tag at a revision."""
        name = validate.branch(request.name)
        repo = await self._context.repos.open(request.path)
        who = identity(request.author or FALLBACK.name, request.email or FALLBACK.email)
        async with self._context.repos.changing(repo.common):
            target = await self._required(repo, request.target or "HEAD")
            flags = ["-a", "--cleanup=verbatim", "-F", "-"] if request.message else []
            stdin = request.message.encode("utf-8", "surrogateescape") if request.message else None
            call = GitCall(repo, ["tag", *flags, "--", name, target], stdin=stdin, env=who.variables)
            await self._context.cli.check(call)

    async def delete(self, query: TagQuery) -> None:
        """Delete a tag."""
        repo = await self._context.repos.open(query.path)
        name = validate.branch(query.name)
        missing = GitBranchNotFound(f"not found: tag '{name}' not found")
        async with self._context.repos.changing(repo.common):
            await self._context.cli.check(GitCall(repo, ["tag", "-d", "--", name]), ("not found", missing))


def _tag(reference: str, name: str, peeled: str, kind: str, subject: str) -> GitTag:
    message = subject if kind == "tag" else ""
    return GitTag(name=reference.removeprefix("refs/tags/"), commit=peeled or name, message=message)
