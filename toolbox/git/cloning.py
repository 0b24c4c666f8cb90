"""Make repositories: init, and clone with all that may be asked of it; a clone that fails leaves nothing."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

from toolbox.errors import Conflict, GitBranchNotFound
from toolbox.git import lfs, names, urls
from toolbox.git.access import Access, access_for
from toolbox.git.cli import Job, Place, Said
from toolbox.git.repository import Repo, find
from toolbox.git.revisions import resolve
from toolbox.git.target import Target, prepare
from toolbox.git.tools import Tools
from toolbox.git.urls import RemoteUrl
from toolbox.git.wire import GitCloneRequest, GitInitRequest

log = logging.getLogger(__name__)

_REFUSED_ID = re.compile("not our ref|unadvertised object|does not support shallow|no such remote ref", re.IGNORECASE)


class Cloning:
    """Make repositories."""

    def __init__(self, tools: Tools, workdir: str) -> None:
        self._t = tools
        self._workdir = workdir

    async def init(self, request: GitInitRequest) -> None:
        """Make a repository; one that exists stays as it is."""
        initial = names.branch(request.initial_branch) if request.initial_branch else ""
        path = self._t.repos.resolve(request.path)
        async with self._t.repos.changing(path):
            user = await self._t.workers.run(prepare, path)
            if user is None:
                await self._t.workers.run(_init, path, bool(request.bare), initial)
                return
            flags = [*(["--bare"] if request.bare else []), *(["-b", initial] if initial else [])]
            await self._t.cli.check(Job(Place("/", user), ["init", "-q", *flags, "--", path]))

    async def clone(self, request: GitCloneRequest, said: Said | None = None) -> None:
        """Clone one branch (and tags), with a commit checked out if one is named."""
        if request.branch:
            names.plain(request.branch, "branch name")
        if request.commit_id:
            names.plain(request.commit_id, "commit id")
        path = self._t.repos.resolve(request.path)
        url = await self._t.workers.run(urls.parse, request.url, workdir=self._workdir)
        access = access_for(url, request.username, request.password, insecure=bool(request.insecure_skip_tls))
        if access.given:
            log.info("credentials of the request go to %s", access.scope)
        async with self._t.repos.changing(path, wait=False):
            target = await self._t.workers.run(Target, path)
            try:
                await _Clone(self._t, request, url, access, target, said).run()
            except BaseException:
                await asyncio.shield(self._t.workers.run(target.undo))
                raise


class _Clone:
    """One clone on its way."""

    def __init__(
        self, tools: Tools, request: GitCloneRequest, url: RemoteUrl, access: Access, target: Target, said: Said | None
    ) -> None:
        self._t = tools
        self._request = request
        self._url = url
        self._access = access
        self._target = target
        self._said = said
        self._flags = ["--progress"] if said is not None else []

    async def run(self) -> None:
        """Clone the way that fits what is asked and what is there."""
        if not await self._t.cli.available():
            await self._with_libgit2()
        elif not self._target.empty:
            await self._into_used_folder()
        elif self._wants_one_commit:
            await self._one_commit()
        else:
            await self._usual()
        if self._url.embedded:
            await self._t.workers.run(_remember, self._target.path, self._url.original)

    @property
    def _depth(self) -> list[str]:
        return ["--depth", str(self._request.depth)] if self._request.depth else []

    @property
    def _wants_one_commit(self) -> bool:
        return bool(self._request.depth) and names.full_id(self._request.commit_id or "")

    @property
    def _source(self) -> str:
        # git ignores a depth for plain paths.
        return f"file://{self._url.text}" if self._url.local and self._request.depth else self._url.text

    async def _usual(self) -> None:
        """Clone with git; files are checked out apart where filters must not see credentials, or a commit is named."""
        apart = bool(self._request.commit_id) or self._access.given
        branch = ["--branch", self._request.branch] if self._request.branch else []
        flags = [*self._flags, "--single-branch", *branch, *self._depth, *(["--no-checkout"] if apart else [])]
        place = Place(self._parent, self._target.user)
        argv = ["clone", *flags, "--", self._source, self._target.path]
        await self._t.cli.check(Job(place, argv, access=self._access, said=self._said, network=True))
        if apart:
            repo = await self._repo()
            commit = await self._commit(repo)
            if commit:
                await self._check_out(repo, commit, detach=bool(self._request.commit_id))

    async def _commit(self, repo: Repo) -> str:
        """Return the commit to check out, empty for a remote without any."""
        wanted = self._request.commit_id
        if not wanted:
            return await resolve(self._t, repo, "HEAD") or ""
        found = await resolve(self._t, repo, wanted)
        if found is None:
            refs = [wanted] if names.full_id(wanted) else ["+refs/heads/*:refs/remotes/origin/*"]
            output = await self._t.cli.run(self._fetch(repo, refs))
            if output.code and not (names.full_id(wanted) and _REFUSED_ID.search(output.stderr)):
                raise output.failure()
            found = await resolve(self._t, repo, wanted)
        if found is None:
            raise GitBranchNotFound(f"not found: commit '{wanted}' does not exist in the repository")
        return found

    async def _check_out(self, repo: Repo, commit: str, *, detach: bool) -> None:
        await lfs.fetch_objects(self._t, repo, "origin", commit, self._access)
        argv = ["checkout", "-q", "--detach", commit] if detach else ["checkout", "-q"]
        await self._t.cli.check(Job(repo, argv))

    async def _one_commit(self) -> None:
        """Fetch a single commit by its id, where the server allows that."""
        repo = await self._begin()
        wanted = str(self._request.commit_id)
        output = await self._t.cli.run(self._fetch(repo, [wanted], self._depth))
        if output.code == 0:
            await self._check_out(repo, wanted, detach=True)
        elif _REFUSED_ID.search(output.stderr):
            await self._t.workers.run(self._target.undo)
            self._target = await self._t.workers.run(Target, self._target.path)
            self._request.depth = None
            await self._usual()
        else:
            raise output.failure()

    async def _into_used_folder(self) -> None:
        """Clone beside files that are there already; none of them is overwritten."""
        repo = await self._begin()
        branch = self._request.branch or await self._default_branch(repo)
        if branch:
            spec = await self._branch_or_tag(repo, branch)
            await self._t.cli.check(self._fetch(repo, [spec], self._depth))
        commit = await self._wanted_there(repo)
        if commit:
            detach = bool(self._request.commit_id) or not await resolve(self._t, repo, f"refs/remotes/origin/{branch}")
            await lfs.fetch_objects(self._t, repo, "origin", commit, self._access)
            how = ["--detach", commit] if detach else ["-B", branch, "--track", f"origin/{branch}"]
            await self._t.cli.check(Job(repo, ["checkout", "-q", *how]))
        elif branch:
            await self._t.cli.check(Job(repo, ["symbolic-ref", "HEAD", f"refs/heads/{branch}"]))

    async def _wanted_there(self, repo: Repo) -> str:
        if self._request.commit_id:
            return await self._commit(repo)
        return await resolve(self._t, repo, "FETCH_HEAD") or ""

    async def _branch_or_tag(self, repo: Repo, name: str) -> str:
        """Return what to fetch, and have a branch fetched from now on."""
        names.branch(name)
        argv = ["ls-remote", "--", "origin", f"refs/heads/{name}", f"refs/tags/{name}"]
        listed = (await self._t.cli.check(Job(repo, argv, access=self._access, network=True))).text
        if f"\trefs/heads/{name}\n" in listed:
            spec = f"+refs/heads/{name}:refs/remotes/origin/{name}"
            await self._t.cli.check(Job(repo, ["config", "remote.origin.fetch", spec]))
            return spec
        if f"\trefs/tags/{name}\n" in listed:
            return f"+refs/tags/{name}:refs/tags/{name}"
        raise GitBranchNotFound(f"not found: remote branch {name} not found in upstream origin")

    async def _default_branch(self, repo: Repo) -> str:
        argv = ["ls-remote", "--symref", "--", "origin", "HEAD"]
        listed = (await self._t.cli.check(Job(repo, argv, access=self._access, network=True))).text
        match = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", listed, re.MULTILINE)
        return match[1] if match else ""

    async def _begin(self) -> Repo:
        """Make an empty repository with its remote."""
        place = Place(self._parent, self._target.user)
        await self._t.cli.check(Job(place, ["init", "-q", "--", self._target.path]))
        repo = await self._repo()
        await self._t.cli.check(Job(repo, ["remote", "add", "--", "origin", self._source]))
        return repo

    def _fetch(self, repo: Repo, refs: list[str], depth: Sequence[str] = ()) -> Job:
        argv = ["fetch", *self._flags, "--no-recurse-submodules", *depth, "--", "origin", *refs]
        return Job(repo, argv, access=self._access, said=self._said, network=True)

    async def _with_libgit2(self) -> None:
        if not self._target.empty:
            raise Conflict(
                f"conflict: destination path '{self._target.path}' already exists and is not an empty directory"
            )
        where = Repo(self._target.path, "", "", bare=False, user=self._target.user)
        await self._t.worker.call(
            "clone",
            where,
            self._access,
            url=self._source,
            branch=self._request.branch or "",
            commit=self._request.commit_id or "",
            depth=self._request.depth or 0,
        )

    @property
    def _parent(self) -> str:
        return self._target.path.rpartition("/")[0] or "/"

    async def _repo(self) -> Repo:
        return await self._t.workers.run(find, self._target.path)


def _init(path: str, bare: bool, initial: str) -> None:
    from toolbox.git import library

    library.init(path, bare=bare, initial=initial)


def _remember(path: str, url: str) -> None:
    """Keep the URL as it was given, credentials in it included, as git does."""
    from toolbox.git import library

    library.config_set(f"{path}/.git/config", {"remote.origin.url": url})
