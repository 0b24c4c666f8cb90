"""Switch a working tree to a branch, a tag or a commit; what is in the way stays as it is."""

from __future__ import annotations

import asyncio
import contextlib

from toolbox.errors import Conflict, GitBranchNotFound, GitMergeConflict, ToolboxError
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.repository import Repo, unfinished
from toolbox.git.revisions import resolve
from toolbox.git.tools import Tools
from toolbox.git.wire import GitCheckoutRequest

# How long a branch that a single-branch clone does not have is looked for at its remote.
_FETCH_SECONDS = 30.0


class Checkout:
    """Switch working trees."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def checkout(self, request: GitCheckoutRequest) -> None:
        """Switch; local edits that do not clash are carried over."""
        name = names.plain(request.branch, "branch name")
        repo = (await self._t.repos.open(request.path)).with_files()
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                await self._t.worker.call("checkout", repo, name=name)
                return
            if await self._t.workers.run(unfinished, repo) == "merge":
                raise GitMergeConflict("conflict: cannot switch branch while merging")
            argv = await self._target(repo, name)
            await self._t.cli.check(Job(repo, ["switch", "-q", *argv]))

    async def _target(self, repo: Repo, name: str) -> list[str]:
        """Decide what a name means: local branch, remote branch, anything that leads to a commit, unseen branch."""
        if await self._is_branch(repo, name):
            return ["--no-guess", name]
        remote = await self._remote_of(repo, name)
        if remote is not None:
            return ["-c", name, "--track", f"{remote}/{name}"]
        commit = await resolve(self._t, repo, name)
        if commit is not None:
            return ["--detach", commit]
        if names.valid_branch(name) and await self._fetch(repo, name):
            return ["-c", name, "--track", f"origin/{name}"]
        raise GitBranchNotFound(f"not found: '{name}' is no branch, tag or commit here or at the remote")

    async def _is_branch(self, repo: Repo, name: str) -> bool:
        if not names.valid_branch(name):
            return False
        if await resolve(self._t, repo, f"refs/heads/{name}") is not None:
            return True
        # The branch HEAD is on before its first commit.
        head = await self._t.cli.run(Job(repo, ["symbolic-ref", "--quiet", "HEAD"]))
        return head.line == f"refs/heads/{name}"

    async def _remote_of(self, repo: Repo, name: str) -> str | None:
        """Return the one remote that has a branch of that name."""
        if not names.valid_branch(name):
            return None
        remotes = (await self._t.cli.check(Job(repo, ["remote"]))).text.splitlines()
        found = [remote for remote in remotes if await resolve(self._t, repo, f"refs/remotes/{remote}/{name}")]
        if len(found) > 1:
            chosen = (await self._t.cli.run(Job(repo, ["config", "--get", "checkout.defaultRemote"]))).line
            if chosen not in found:
                listed = ", ".join(f"{remote}/{name}" for remote in found)
                raise Conflict(f"conflict: '{name}' matches several remote branches: {listed}")
            return chosen
        return found[0] if found else None

    async def _fetch(self, repo: Repo, name: str) -> bool:
        """Look for a branch at origin with what credentials are stored, and remember to fetch it from now on."""
        spec = f"+refs/heads/{name}:refs/remotes/origin/{name}"
        if (await self._t.cli.run(Job(repo, ["config", "--get", "remote.origin.url"]))).code:
            return False
        job = Job(repo, ["fetch", "-q", "--no-tags", "--no-recurse-submodules", "origin", spec], network=True)
        with contextlib.suppress(ToolboxError, TimeoutError):
            async with asyncio.timeout(_FETCH_SECONDS):
                await self._t.cli.check(job)
            await self._t.cli.check(Job(repo, ["config", "--add", "remote.origin.fetch", spec]))
            return True
        return False
