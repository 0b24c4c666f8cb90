"""Push, pull and fetch: the network with credentials and without hooks, then the files without credentials."""

from __future__ import annotations

import logging

from toolbox.errors import BadRequest, GitBranchNotFound, GitMergeConflict
from toolbox.git import lfs, names
from toolbox.git.access import Access
from toolbox.git.classify import classify_push
from toolbox.git.cli import Job, Said
from toolbox.git.remotes import Remotes
from toolbox.git.repository import Repo
from toolbox.git.revisions import current_branch, required, resolve
from toolbox.git.tools import Tools
from toolbox.git.wire import GitFetchRequest, GitPullRequest, GitPushRequest, RemoteRequest

log = logging.getLogger(__name__)

ORIGIN = "origin"


class Transfer:
    """Exchange commits with remotes."""

    def __init__(self, tools: Tools, remotes: Remotes) -> None:
        self._t = tools
        self._remotes = remotes

    async def push(self, request: GitPushRequest, said: Said | None = None) -> None:
        """Push one branch to the branch of the same name, never by force."""
        repo = await self._t.repos.open(request.path)
        remote = request.remote or ORIGIN
        access = await self._access(repo, remote, request, push=True)
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                upstream = bool(request.set_upstream)
                branch = request.branch or ""
                await self._t.worker.call("push", repo, access, remote=remote, branch=branch, set_upstream=upstream)
                return
            branch = await self._own_branch(repo, request.branch or "")
            await lfs.push_objects(self._t, repo, remote, branch, access)
            flags = [*_progress(said), *(["-u"] if request.set_upstream else [])]
            argv = ["push", "--porcelain", *flags, "--", remote, f"refs/heads/{branch}:refs/heads/{branch}"]
            output = await self._t.cli.run(Job(repo, argv, access=access, said=said, network=True))
            if output.killed:
                raise output.failure()
            if output.code:
                raise classify_push(output.text, output.stderr)
            await self._track(repo, remote, branch)

    async def _track(self, repo: Repo, remote: str, branch: str) -> None:
        """Remember where the remote's branch is now, also in a clone that fetches only another one."""
        tracking, source = f"refs/remotes/{remote}/{branch}", f"refs/heads/{branch}"
        commit = await resolve(self._t, repo, source)
        if commit is None or await resolve(self._t, repo, tracking) == commit:
            return
        if not await self._remotes.values(repo, remote, "fetch"):
            return
        await self._t.cli.check(Job(repo, ["config", "--add", f"remote.{remote}.fetch", f"+{source}:{tracking}"]))
        await self._t.cli.check(Job(repo, ["update-ref", tracking, commit]))

    async def _own_branch(self, repo: Repo, wanted: str) -> str:
        """Return the branch to push, which must have a commit."""
        if ":" in wanted or wanted.startswith("+"):
            raise BadRequest(f"bad request: '{wanted}' is not a valid branch name")
        branch = names.branch(wanted) if wanted else await current_branch(self._t, repo)
        if not branch:
            raise GitBranchNotFound("not found: not currently on a branch, name the branch to push")
        if await resolve(self._t, repo, f"refs/heads/{branch}") is None:
            raise GitBranchNotFound(f"not found: src refspec {branch} does not match any local branch")
        return branch

    async def pull(self, request: GitPullRequest, said: Said | None = None) -> None:
        """Fetch a branch and fast-forward to it; whatever else is configured, nothing is merged or rebased."""
        repo = (await self._t.repos.open(request.path)).with_files()
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                remote = request.remote or ORIGIN
                access = await self._access(repo, remote, request, push=False)
                await self._t.worker.call("pull", repo, access, remote=remote, branch=request.branch or "")
                return
            remote, branch = await self._source(repo, request)
            access = await self._access(repo, remote, request, push=False)
            argv = ["fetch", *_progress(said), "--no-recurse-submodules", "--", remote, f"refs/heads/{branch}"]
            await self._t.cli.check(Job(repo, argv, access=access, said=said, network=True))
            fetched = await required(self._t, repo, "FETCH_HEAD")
            await lfs.fetch_objects(self._t, repo, remote, fetched, access)
            await self._forward(repo, fetched)

    async def _source(self, repo: Repo, request: GitPullRequest) -> tuple[str, str]:
        """Decide what to pull: as asked, else the upstream, else the branch of the same name."""
        current = await current_branch(self._t, repo)
        if request.branch:
            return request.remote or ORIGIN, names.branch(request.branch)
        if not current:
            raise GitBranchNotFound("not found: not currently on a branch, name the branch to pull")
        remote = (await self._t.cli.run(Job(repo, ["config", "--get", f"branch.{current}.remote"]))).line
        merge = (await self._t.cli.run(Job(repo, ["config", "--get", f"branch.{current}.merge"]))).line
        if merge.startswith("refs/heads/") and remote not in ("", ".") and request.remote in (None, "", remote):
            return remote, merge.removeprefix("refs/heads/")
        return request.remote or ORIGIN, current

    async def _forward(self, repo: Repo, commit: str) -> None:
        output = await self._t.cli.attempt(Job(repo, ["merge", "-q", "--ff-only", commit]))
        if output.code and "Not possible to fast-forward" in output.stderr:
            counted = await self._t.cli.check(Job(repo, ["rev-list", "--left-right", "--count", f"HEAD...{commit}"]))
            ahead, behind = counted.text.split()
            raise GitMergeConflict(
                f"conflict: branches have diverged, {ahead} ahead and {behind} behind: not possible to fast-forward, "
                "merge or rebase first"
            )
        if output.code:
            raise output.failure()

    async def fetch(self, request: GitFetchRequest, said: Said | None = None) -> None:
        """Fetch one branch, or everything the remote is configured for."""
        repo = await self._t.repos.open(request.path)
        remote = names.remote(request.remote or ORIGIN)
        access = await self._access(repo, remote, request, push=False)
        branch = names.branch(request.branch) if request.branch else ""
        specs = [f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"] if branch else []
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                await self._t.worker.call("fetch", repo, access, remote=remote, refspecs=specs)
                return
            flags = [*_progress(said), *(["--prune"] if request.prune else [])]
            argv = ["fetch", *flags, "--no-recurse-submodules", "--", remote, *specs]
            await self._t.cli.check(Job(repo, argv, access=access, said=said, network=True))

    async def _access(self, repo: Repo, remote: str, request: RemoteRequest, *, push: bool) -> Access:
        access = await self._remotes.access(repo, remote, (request.username, request.password), push=push)
        if access.given:
            log.info("credentials of the request go to %s", access.scope)
        return access


def _progress(said: Said | None) -> list[str]:
    return ["--progress"] if said is not None else []
