"""Check out branches, tags and commits with the git program."""

from __future__ import annotations

import asyncio
import contextlib

from toolbox.errors import Conflict, GitBranchNotFound, GitMergeConflict, ToolboxError
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.repository import Repo, unfinished
from toolbox.git.service import GitService

# Timeout of looking for a branch at the remote, in a clone that fetches only another one.
_FETCH_SECONDS = 30.0


class ProgramCheckout(GitService):
    """Switch working trees."""

    async def checkout(self, repo: Repo, name: str) -> None:
        """Switch to a branch, a tag or a commit; local edits that do not clash are kept."""
        if await self._context.workers.run(unfinished, repo) == "merge":
            raise GitMergeConflict("conflict: cannot switch branch while merging")
        argv = await self._target(repo, name)
        await self._git(repo, "switch", "-q", *argv)

    async def _target(self, repo: Repo, name: str) -> list[str]:
        """Resolve a name: local branch, remote-tracking branch, revision, branch of origin that was never fetched."""
        valid = validate.valid_branch(name)
        if valid and await self._is_branch(repo, name):
            return ["--no-guess", name]
        remote = await self._remote_of(repo, name) if valid else None
        if remote is not None:
            await self._refuse_branch(repo, name)
            return ["-c", name, "--track", f"{remote}/{name}"]
        commit = await self._resolve(repo, name)
        if commit is not None:
            return ["--detach", commit]
        if valid and await self._fetch(repo, name):
            await self._refuse_branch(repo, name)
            return ["-c", name, "--track", f"origin/{name}"]
        raise GitBranchNotFound(f"not found: '{name}' is no branch, tag or commit here or at the remote")

    async def _is_branch(self, repo: Repo, name: str) -> bool:
        if await self._resolve(repo, f"refs/heads/{name}") is not None:
            return True
        # A branch without a commit does not resolve.
        return await self._current_branch(repo) == name

    async def _remote_of(self, repo: Repo, name: str) -> str | None:
        """Return the one remote that has a branch of that name."""
        remotes = (await self._git(repo, "remote")).text.splitlines()
        found = [remote for remote in remotes if await self._resolve(repo, f"refs/remotes/{remote}/{name}")]
        if len(found) > 1:
            chosen = await self._config_value(repo, "checkout.defaultRemote")
            if chosen not in found:
                listed = ", ".join(f"{remote}/{name}" for remote in found)
                raise Conflict(f"conflict: '{name}' matches several remote branches: {listed}")
            return chosen
        return found[0] if found else None

    async def _fetch(self, repo: Repo, name: str) -> bool:
        """Fetch a branch from origin with stored credentials, and add it to the configured refspecs."""
        spec = f"+refs/heads/{name}:refs/remotes/origin/{name}"
        if not await self._config_value(repo, "remote.origin.url"):
            return False
        call = GitCall(repo, ["fetch", "-q", "--no-tags", "--no-recurse-submodules", "origin", spec], network=True)
        with contextlib.suppress(ToolboxError, TimeoutError):
            async with asyncio.timeout(_FETCH_SECONDS):
                await self._context.cli.check(call)
            await self._git(repo, "config", "--add", "remote.origin.fetch", spec)
            return True
        return False
