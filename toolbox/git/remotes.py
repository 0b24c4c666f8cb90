"""Remotes of a repository: list, add, and what a remote's name stands for."""

from __future__ import annotations

import contextlib
import dataclasses

from toolbox.errors import Conflict, NotFound
from toolbox.git import names, urls
from toolbox.git.access import Access, access_for
from toolbox.git.cli import Job
from toolbox.git.repository import Repo, find
from toolbox.git.tools import Tools
from toolbox.git.urls import RemoteUrl
from toolbox.git.wire import GitAddRemoteRequest, GitRemote, ListRemotesResponse


class Remotes:
    """Read and change remotes."""

    def __init__(self, tools: Tools, workdir: str) -> None:
        self._t = tools
        self._workdir = workdir

    async def list_all(self, path: str) -> ListRemotesResponse:
        """Return remotes by name with their URLs as configured."""
        resolved = self._t.repos.resolve(path)
        found = await self._t.workers.run(_list, resolved)
        if found is None:
            found = await self._list_with_git(await self._t.repos.open(path))
        return ListRemotesResponse(remotes=[GitRemote(name=name, url=url) for name, url in found])

    async def _list_with_git(self, repo: Repo) -> list[tuple[str, str]]:
        listed = (await self._t.cli.check(Job(repo, ["remote"]))).text.splitlines()
        return [(name, (await self.values(repo, name, "url") or [""])[0]) for name in sorted(listed)]

    async def values(self, repo: Repo, name: str, kind: str) -> list[str]:
        """Return everything that is configured for a remote under a key."""
        output = await self._t.cli.run(Job(repo, ["config", "-z", "--get-all", f"remote.{name}.{kind}"]))
        return output.text.split("\0")[:-1]

    async def add(self, request: GitAddRemoteRequest) -> None:
        """Add a remote or replace one; if it is to be fetched and cannot be, nothing has changed."""
        name = names.remote(request.name)
        repo = await self._t.repos.open(request.path)
        url = await self._t.workers.run(urls.parse, request.url, workdir=self._workdir)
        async with self._t.repos.changing(repo.common):
            before = await self._t.workers.run(_section, repo, name)
            if before and not request.overwrite:
                raise Conflict(f"conflict: remote {name} already exists")
            try:
                await self._t.workers.run(_write, repo, name, url)
                if request.fetch:
                    await self._fetch(repo, name, url)
            except BaseException:
                with contextlib.suppress(Exception):
                    await self._t.workers.run(_put_back, repo, name, before)
                raise

    async def remove(self, path: str, name: str) -> None:
        """Remove a remote with its branches here and what is configured for it."""
        repo = await self._t.repos.open(path)
        names.remote(name)
        async with self._t.repos.changing(repo.common):
            if not await self.values(repo, name, "url"):
                raise NotFound(f"not found: remote '{name}' is not configured")
            await self._t.cli.check(Job(repo, ["remote", "remove", name]))

    async def _fetch(self, repo: Repo, name: str, url: RemoteUrl) -> None:
        access = access_for(url, None, None)
        if not await self._t.cli.available():
            await self._t.worker.call("fetch", repo, access, remote=name, refspecs=[])
            return
        argv = ["fetch", "-q", "--prune", "--no-recurse-submodules", name]
        await self._t.cli.check(Job(repo, argv, access=access, network=True))

    async def url(self, repo: Repo, name: str, *, push: bool) -> RemoteUrl:
        """Return where a remote leads, with the user's rewriting of URLs applied."""
        names.remote(name)
        if not await self._t.cli.available():
            listed = await self._t.workers.run(_list, repo.path)
            found = dict(listed or []).get(name)
            if found is None:
                raise NotFound(f"not found: remote '{name}' is not configured")
            return await self._t.workers.run(urls.parse, found, workdir=repo.path)
        if not await self.values(repo, name, "url"):
            raise NotFound(f"not found: remote '{name}' is not configured")
        argv = ["remote", "get-url", *(["--push"] if push else []), name]
        text = (await self._t.cli.check(Job(repo, argv))).text.splitlines()[0]
        return await self._t.workers.run(urls.parse, text, workdir=repo.path)

    async def access(self, repo: Repo, name: str, who: tuple[str | None, str | None], *, push: bool) -> Access:
        """Return the credentials for a remote: those of the request, else those in its URL."""
        url = await self.url(repo, name, push=push)
        access = access_for(url, *who)
        if not url.embedded:
            return access
        pushed = await self.values(repo, name, "pushurl") if push else []
        configured = (pushed or await self.values(repo, name, "url"))[0]
        # The whole text is a longer match than any rule of the user's that leads to a URL with credentials.
        return dataclasses.replace(access, rewrite=(configured, url.text))


def _list(path: str) -> list[tuple[str, str]] | None:
    from toolbox.git import library

    repo = find(path)
    try:
        return library.remotes(repo.path)
    except library.Unsupported:
        return None


def _section(repo: Repo, name: str) -> dict[str, list[str]]:
    from toolbox.git import library

    return library.config_section(f"{repo.common}/config", f"remote.{name}.")


def _write(repo: Repo, name: str, url: RemoteUrl) -> None:
    """Configure a remote for all branches; whatever else was set for it stays, a push URL does not."""
    from toolbox.git import library

    shown = url.original if "://" in url.original else url.text
    values = {"url": [shown], "fetch": [f"+refs/heads/*:refs/remotes/{name}/*"], "pushurl": []}
    library.config_replace(f"{repo.common}/config", f"remote.{name}.", values)


def _put_back(repo: Repo, name: str, before: dict[str, list[str]]) -> None:
    from toolbox.git import library

    values = {key: before.get(key, []) for key in ("url", "fetch", "pushurl")}
    library.config_replace(f"{repo.common}/config", f"remote.{name}.", values)
