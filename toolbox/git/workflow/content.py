"""Read one file of a revision, as committed."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import msgspec

from toolbox.errors import BadRequest, FileMissing
from toolbox.git import paths
from toolbox.git.cli import GitCall
from toolbox.git.repository import Repo
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import ShowQuery

_KINDS = {"tree": "a directory", "commit": "a submodule"}


class Blob(msgspec.Struct, frozen=True):
    """A blob; that of a symbolic link contains the link target."""

    repo: Repo
    name: str
    id: str
    size: int


class Content(GitService):
    """Read files of revisions without filters or textconv."""

    async def find(self, query: ShowQuery) -> Blob:
        """Find a file in a revision."""
        if not query.file:
            raise BadRequest("bad request: file is required")
        repo = await self._context.repos.open(query.path)
        (name,) = await self._context.workers.run(paths.inside, repo, [query.file])
        if name == ".":  # git would list what is in it
            raise BadRequest("bad request: the root of the repository is a directory")
        commit = await self._required(repo, query.ref or "HEAD")
        output = await self._git(repo, "ls-tree", "-z", "-l", "--full-tree", commit, "--", name)
        if not output.stdout:
            raise FileMissing(f"not found: no such file in the revision: {name}")
        _, kind, blob, size = output.text.partition("\t")[0].split()
        if kind != "blob":
            raise BadRequest(f"bad request: {name} is {_KINDS[kind]} in the revision")
        return Blob(repo, os.path.basename(name), blob, int(size))

    async def read(self, blob: Blob) -> AsyncGenerator[bytes, None]:
        """Yield the content of a file in chunks."""
        async for piece in self._context.cli.lines(GitCall(blob.repo, ["cat-file", "blob", blob.id])):
            yield piece
