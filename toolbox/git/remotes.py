"""Remotes of a repository: list, add, remove."""

from __future__ import annotations

import contextlib

from toolbox.errors import Conflict, NotFound
from toolbox.git import collisions, urls, validate
from toolbox.git.credentials import credentials_for
from toolbox.git.engine.interface import EngineService, Exchange
from toolbox.git.metadata import Unsupported
from toolbox.git.repository import Repo
from toolbox.git.wire import GitAddRemoteRequest, GitRemote, ListRemotesResponse


class Remotes(EngineService):
    """Read and change remotes."""

    async def list_all(self, path: str) -> ListRemotesResponse:
        """Return remotes by name with their URLs as configured."""
        found = await self._listed(await self._context.repos.open(path))
        return ListRemotesResponse(remotes=[GitRemote(name=name, url=url) for name, url in found])

    async def _listed(self, repo: Repo) -> list[tuple[str, str]]:
        with contextlib.suppress(Unsupported):
            return await self._context.metadata.remotes(repo.path)
        names = sorted((await self._git(repo, "remote")).text.splitlines())
        urls = [await self._config_values(repo, f"remote.{name}.url") or [""] for name in names]
        return [(name, found[0]) for name, found in zip(names, urls, strict=True)]

    async def add(self, request: GitAddRemoteRequest) -> None:
        """Add or replace a remote; a failed fetch restores the previous configuration."""
        name = validate.remote(request.name)
        repo = await self._context.repos.open(request.path)
        url = await self._context.workers.run(urls.parse, request.url, workdir=self._context.repos.workdir)
        section = f"remote.{name}."
        config = f"{repo.common}/config"
        async with self._engines.changing(repo) as engine:
            before = await self._context.metadata.config_section(config, section)
            if before and not request.overwrite:
                raise Conflict(f"conflict: remote {name} already exists")
            if not before:
                await self._refuse(repo, name)
            # git stores a URL as given, credentials included. Other keys of the remote are kept.
            shown = url.original if "://" in url.original else url.text
            values = {"url": [shown], "fetch": [f"+refs/heads/*:refs/remotes/{name}/*"], "pushurl": []}
            try:
                await self._context.metadata.config_replace(config, section, values)
                if request.fetch:
                    credentials = credentials_for(url, None, None)
                    with credentials.logged():
                        await engine.fetch(repo, Exchange(name, "", credentials), prune=True)
            except BaseException:
                with contextlib.suppress(Exception):
                    previous = {key: before.get(key, []) for key in values}
                    await self._context.metadata.config_replace(config, section, previous)
                raise

    async def _refuse(self, repo: Repo, name: str) -> None:
        """Refuse a name below or above that of another remote: their remote-tracking branches would collide."""
        folded = await self._context.workers.run(collisions.ignores_case, repo)
        other = collisions.in_the_way(name, [found for found, _ in await self._listed(repo)], ignore_case=folded)
        if other is not None:
            raise Conflict(f"conflict: remote '{name}' cannot be added, remote '{other}' exists")

    async def remove(self, path: str, name: str) -> None:
        """Remove a remote with its configuration and remote-tracking branches."""
        repo = await self._context.repos.open(path)
        validate.remote(name)
        async with self._context.repos.changing(repo.common):
            if not await self._config_values(repo, f"remote.{name}.url"):
                raise NotFound(f"not found: remote '{name}' is not configured")
            await self._git(repo, "remote", "remove", name)
