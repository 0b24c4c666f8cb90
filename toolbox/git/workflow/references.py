"""List branches and tags of a remote without fetching."""

from __future__ import annotations

from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.credentials import credentials_for
from toolbox.git.engine.interface import EngineService
from toolbox.git.workflow.wire import GitRef, ListRefsResponse, RemoteQuery


class References(EngineService):
    """List references of remotes."""

    async def list_all(self, query: RemoteQuery) -> ListRefsResponse:
        """List the branches and tags of a remote, with the credentials that are stored for it."""
        repo = await self._context.repos.open(query.path)
        remote = validate.remote(query.remote or "origin")
        engine = await self._engines.current()
        credentials = credentials_for(await engine.remote_url(repo, remote, push=False), None, None)
        argv = ["ls-remote", "-q", "--symref", "--", remote]
        with credentials.logged():
            output = await self._context.cli.check(GitCall(repo, argv, credentials=credentials, network=True))
        return parse(output.text)


def parse(text: str) -> ListRefsResponse:
    """Parse ``ls-remote --symref``; a reference that ends with ``^{}`` is the commit of an annotated tag."""
    found = ListRefsResponse(refs=[])
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            found.head = value.removeprefix("ref: ").removeprefix("refs/heads/")
        elif name.startswith("refs/"):
            found.refs.append(GitRef(name=name, hash=value))
    return found
