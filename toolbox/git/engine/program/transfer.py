"""Push, pull and fetch with the git program.

The network runs with credentials and without hooks, then filters write the files without credentials.
"""

from __future__ import annotations

import msgspec

from toolbox.errors import BadRequest, GitBranchNotFound, GitMergeConflict, NotFound
from toolbox.git import lfs, urls, validate
from toolbox.git.classify import classify_push
from toolbox.git.cli import GitCall
from toolbox.git.engine.interface import Exchange
from toolbox.git.repository import Repo
from toolbox.git.service import GitService
from toolbox.git.urls import RemoteUrl

ORIGIN = "origin"


class ProgramTransfer(GitService):
    """Exchange commits with remotes."""

    async def remote_url(self, repo: Repo, remote: str, *, push: bool) -> RemoteUrl:
        """Return the URL of a configured remote, with the user's ``insteadOf`` rules applied."""
        configured = await self._config_values(repo, f"remote.{remote}.url")
        if not configured:
            raise NotFound(f"not found: remote '{remote}' is not configured")
        output = await self._git(repo, "remote", "get-url", *(["--push"] if push else []), remote)
        text = output.text.splitlines()[0]
        url = await self._context.workers.run(urls.parse, text, workdir=repo.path)
        if not url.embedded:
            return url
        pushed = await self._config_values(repo, f"remote.{remote}.pushurl") if push else []
        return msgspec.structs.replace(url, configured=(pushed or configured)[0])

    async def push(self, repo: Repo, exchange: Exchange, *, set_upstream: bool) -> None:
        """Push a branch to the branch of the same name, never by force."""
        remote, branch = exchange.remote, await self._own_branch(repo, exchange.branch)
        await lfs.push_objects(self._context, repo, remote, branch, exchange.credentials)
        upstream = ["-u"] if set_upstream else []
        refspec = f"refs/heads/{branch}:refs/heads/{branch}"
        call = _call(repo, exchange, "push", "--porcelain", *upstream, "--", remote, refspec)
        output = await self._context.cli.run(call)
        if output.killed:
            raise output.failure()
        if output.code:
            raise classify_push(output.text, output.stderr)
        await self._track(repo, remote, branch)

    async def _track(self, repo: Repo, remote: str, branch: str) -> None:
        """Update the remote-tracking branch, also in a clone that is configured to fetch another branch only."""
        tracking, source = f"refs/remotes/{remote}/{branch}", f"refs/heads/{branch}"
        commit = await self._resolve(repo, source)
        if commit is None or await self._resolve(repo, tracking) == commit:
            return
        if not await self._config_values(repo, f"remote.{remote}.fetch"):
            return
        await self._git(repo, "config", "--add", f"remote.{remote}.fetch", f"+{source}:{tracking}")
        await self._git(repo, "update-ref", tracking, commit)

    async def _own_branch(self, repo: Repo, wanted: str) -> str:
        """Return the branch to push, which must have a commit."""
        if ":" in wanted or wanted.startswith("+"):
            raise BadRequest(f"bad request: '{wanted}' is not a valid branch name")
        branch = validate.branch(wanted) if wanted else await self._current_branch(repo)
        if not branch:
            raise GitBranchNotFound("not found: not currently on a branch, name the branch to push")
        if await self._resolve(repo, f"refs/heads/{branch}") is None:
            raise GitBranchNotFound(f"not found: src refspec {branch} does not match any local branch")
        return branch

    async def pull_source(self, repo: Repo, remote: str, branch: str) -> tuple[str, str]:
        """Return what to pull: as given, else the upstream, else the branch of the same name."""
        current = await self._current_branch(repo)
        if branch:
            return remote or ORIGIN, validate.branch(branch)
        if not current:
            raise GitBranchNotFound("not found: not currently on a branch, name the branch to pull")
        upstream = await self._config_value(repo, f"branch.{current}.remote")
        merge = await self._config_value(repo, f"branch.{current}.merge")
        if merge.startswith("refs/heads/") and upstream not in ("", ".") and remote in ("", upstream):
            return upstream, merge.removeprefix("refs/heads/")
        return remote or ORIGIN, current

    async def pull(self, repo: Repo, exchange: Exchange) -> None:
        """Fetch a branch and fast-forward to it; pull settings of the configuration are ignored."""
        remote, reference = exchange.remote, f"refs/heads/{exchange.branch}"
        call = _call(repo, exchange, "fetch", "--no-recurse-submodules", "--", remote, reference)
        await self._context.cli.check(call)
        fetched = await self._required(repo, "FETCH_HEAD")
        await lfs.fetch_objects(self._context, repo, remote, fetched, exchange.credentials)
        await self._forward(repo, fetched)

    async def _forward(self, repo: Repo, commit: str) -> None:
        output = await self._context.cli.attempt(GitCall(repo, ["merge", "-q", "--ff-only", commit]))
        if output.code and "Not possible to fast-forward" in output.stderr:
            counted = await self._git(repo, "rev-list", "--left-right", "--count", f"HEAD...{commit}")
            ahead, behind = counted.text.split()
            raise GitMergeConflict(
                f"conflict: branches have diverged, {ahead} ahead and {behind} behind: not possible to fast-forward, "
                "merge or rebase first"
            )
        if output.code:
            raise output.failure()

    async def fetch(self, repo: Repo, exchange: Exchange, *, prune: bool) -> None:
        """Fetch a branch, or what the remote is configured for."""
        flags = [*(["--prune"] if prune else []), "--no-recurse-submodules"]
        await self._context.cli.check(_call(repo, exchange, "fetch", *flags, "--", exchange.remote, *exchange.refspecs))


def _call(repo: Repo, exchange: Exchange, command: str, *arguments: str) -> GitCall:
    progress = ["--progress"] if exchange.on_progress is not None else []
    argv = [command, *progress, *arguments]
    return GitCall(repo, argv, credentials=exchange.credentials, on_progress=exchange.on_progress, network=True)
