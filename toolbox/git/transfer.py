"""Services that exchange commits with remotes: push, pull, fetch."""

from __future__ import annotations

from toolbox.git import validate
from toolbox.git.cli import ProgressCallback
from toolbox.git.credentials import HostCredentials, credentials_for
from toolbox.git.engine.interface import Engine, EngineService, Exchange
from toolbox.git.repository import Repo
from toolbox.git.wire import GitFetchRequest, GitPullRequest, GitPushRequest, RemoteRequest

ORIGIN = "origin"


class Transfer(EngineService):
    """Exchange commits with remotes."""

    async def push(self, request: GitPushRequest, on_progress: ProgressCallback | None = None) -> None:
        """Push one branch to the branch of the same name, never by force."""
        repo = await self._context.repos.open(request.path)
        remote = request.remote or ORIGIN
        credentials = await _credentials(await self._engines.current(), repo, remote, request, push=True)
        exchange = Exchange(remote, request.branch or "", credentials, on_progress)
        async with self._engines.changing(repo) as engine:
            with credentials.logged():
                await engine.push(repo, exchange, set_upstream=bool(request.set_upstream))

    async def pull(self, request: GitPullRequest, on_progress: ProgressCallback | None = None) -> None:
        """Fetch a branch and fast-forward to it; pull settings of the configuration are ignored."""
        repo = (await self._context.repos.open(request.path)).with_files()
        async with self._engines.changing(repo) as engine:
            remote, branch = await engine.pull_source(repo, request.remote or "", request.branch or "")
            credentials = await _credentials(engine, repo, remote, request, push=False)
            with credentials.logged():
                await engine.pull(repo, Exchange(remote, branch, credentials, on_progress))

    async def fetch(self, request: GitFetchRequest, on_progress: ProgressCallback | None = None) -> None:
        """Fetch one branch, or everything the remote is configured for."""
        repo = await self._context.repos.open(request.path)
        remote = request.remote or ORIGIN
        credentials = await _credentials(await self._engines.current(), repo, remote, request, push=False)
        branch = validate.branch(request.branch) if request.branch else ""
        async with self._engines.changing(repo) as engine:
            with credentials.logged():
                await engine.fetch(repo, Exchange(remote, branch, credentials, on_progress), prune=bool(request.prune))


async def _credentials(
    engine: Engine, repo: Repo, remote: str, request: RemoteRequest, *, push: bool
) -> HostCredentials:
    """Return the credentials for a remote: those of the request, else those in its URL."""
    url = await engine.remote_url(repo, validate.remote(remote), push=push)
    return credentials_for(url, request.username, request.password)
