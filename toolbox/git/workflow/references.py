"""What a remote has, without fetching it."""

from __future__ import annotations

from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.remotes import Remotes
from toolbox.git.tools import Tools
from toolbox.git.workflow.wire import GitRef, ListRefsResponse, RemoteQuery


class References:
    """Ask remotes."""

    def __init__(self, tools: Tools, remotes: Remotes) -> None:
        self._t = tools
        self._remotes = remotes

    async def list_all(self, query: RemoteQuery) -> ListRefsResponse:
        """List the branches and tags of a remote, with the credentials that are stored for it."""
        repo = await self._t.repos.open(query.path)
        remote = names.remote(query.remote or "origin")
        access = await self._remotes.access(repo, remote, (None, None), push=False)
        job = Job(repo, ["ls-remote", "-q", "--symref", "--", remote], access=access, network=True)
        output = await self._t.cli.check(job)
        return parse(output.text)


def parse(text: str) -> ListRefsResponse:
    """Read ``ls-remote --symref``; where annotated tags lead comes as a reference that ends with ``^{}``."""
    found = ListRefsResponse(refs=[])
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            found.head = value.removeprefix("ref: ").removeprefix("refs/heads/")
        elif name.startswith("refs/"):
            found.refs.append(GitRef(name=name, hash=value))
    return found
