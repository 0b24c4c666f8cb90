"""Clone with the git program."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolbox.errors import GitBranchNotFound
from toolbox.git import lfs, validate
from toolbox.git.cli import GitCall, PlainFolder
from toolbox.git.context import GitContext
from toolbox.git.engine.interface import CloneOrder
from toolbox.git.repository import Repo, find
from toolbox.git.service import GitService
from toolbox.git.target import Target

_REFUSED_ID = re.compile("not our ref|unadvertised object|does not support shallow|no such remote ref", re.IGNORECASE)


class ProgramClone(GitService):
    """One clone."""

    def __init__(self, context: GitContext, order: CloneOrder, target: Target) -> None:
        super().__init__(context)
        self._order = order
        self._credentials = order.credentials
        self._target = target
        self._flags = ["--progress"] if order.on_progress is not None else []
        self._depth = ["--depth", str(order.depth)] if order.depth else []

    async def run(self) -> None:
        """Choose the commands that fit the order and the target folder."""
        if not self._target.empty:
            await self._into_used_folder()
        elif self._order.depth and validate.full_id(self._order.commit):
            await self._one_commit()
        else:
            await self._usual()

    async def _usual(self) -> None:
        """Run ``git clone``; check out at a commit, or where filters could read credentials, in a second step."""
        apart = bool(self._order.commit) or self._credentials.given
        branch = ["--branch", self._order.branch] if self._order.branch else []
        flags = [*self._flags, "--single-branch", *branch, *self._depth, *(["--no-checkout"] if apart else [])]
        argv = ["clone", *flags, "--", self._order.source, self._target.path]
        await self._context.cli.check(self._networked(self._folder, argv))
        if apart:
            repo = await self._repo()
            commit = await self._commit(repo)
            if commit:
                await self._check_out(repo, commit, *(["--detach", commit] if self._order.commit else []))

    async def _commit(self, repo: Repo) -> str:
        """Return the commit to check out, empty if the remote has none."""
        wanted = self._order.commit
        if not wanted:
            return await self._resolve(repo, "HEAD") or ""
        found = await self._resolve(repo, wanted)
        if found is None:
            refs = [wanted] if validate.full_id(wanted) else ["+refs/heads/*:refs/remotes/origin/*"]
            output = await self._context.cli.run(self._fetch(repo, refs))
            if output.code and not (validate.full_id(wanted) and _REFUSED_ID.search(output.stderr)):
                raise output.failure()
            found = await self._resolve(repo, wanted)
        if found is None:
            raise GitBranchNotFound(f"not found: commit '{wanted}' does not exist in the repository")
        return found

    async def _check_out(self, repo: Repo, commit: str, *argv: str) -> None:
        await lfs.fetch_objects(self._context, repo, "origin", commit, self._credentials)
        await self._git(repo, "checkout", "-q", *argv)

    async def _one_commit(self) -> None:
        """Fetch a single commit by its id, where the server allows that."""
        repo = await self._begin()
        wanted = self._order.commit
        output = await self._context.cli.run(self._fetch(repo, [wanted], self._depth))
        if output.code == 0:
            await self._check_out(repo, wanted, "--detach", wanted)
        elif _REFUSED_ID.search(output.stderr):
            await self._context.workers.run(self._target.undo)
            self._target = await self._context.workers.run(Target, self._target.path)
            self._depth = []
            await self._usual()
        else:
            raise output.failure()

    async def _into_used_folder(self) -> None:
        """Clone into a folder with files, which ``git clone`` refuses; existing files are not overwritten."""
        repo = await self._begin()
        branch = self._order.branch or await self._default_branch(repo)
        if branch:
            spec = await self._branch_or_tag(repo, branch)
            await self._context.cli.check(self._fetch(repo, [spec], self._depth))
        commit = await (self._commit(repo) if self._order.commit else self._resolve(repo, "FETCH_HEAD"))
        if commit:
            detach = bool(self._order.commit) or not await self._resolve(repo, f"refs/remotes/origin/{branch}")
            how = ["--detach", commit] if detach else ["-B", branch, "--track", f"origin/{branch}"]
            await self._check_out(repo, commit, *how)
        elif branch:
            await self._git(repo, "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    async def _branch_or_tag(self, repo: Repo, name: str) -> str:
        """Return the refspec to fetch; a branch is configured for later fetches."""
        validate.branch(name)
        argv = ["ls-remote", "--", "origin", f"refs/heads/{name}", f"refs/tags/{name}"]
        listed = (await self._context.cli.check(self._networked(repo, argv))).text
        if f"\trefs/heads/{name}\n" in listed:
            spec = f"+refs/heads/{name}:refs/remotes/origin/{name}"
            await self._git(repo, "config", "remote.origin.fetch", spec)
            return spec
        if f"\trefs/tags/{name}\n" in listed:
            return f"+refs/tags/{name}:refs/tags/{name}"
        raise GitBranchNotFound(f"not found: remote branch {name} not found in upstream origin")

    async def _default_branch(self, repo: Repo) -> str:
        argv = ["ls-remote", "--symref", "--", "origin", "HEAD"]
        listed = (await self._context.cli.check(self._networked(repo, argv))).text
        match = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", listed, re.MULTILINE)
        return match[1] if match else ""

    async def _begin(self) -> Repo:
        """Make an empty repository with the remote origin."""
        await self._git(self._folder, "init", "-q", "--", self._target.path)
        repo = await self._repo()
        await self._git(repo, "remote", "add", "--", "origin", self._order.source)
        return repo

    def _fetch(self, repo: Repo, refs: list[str], depth: Sequence[str] = ()) -> GitCall:
        argv = ["fetch", *self._flags, "--no-recurse-submodules", *depth, "--", "origin", *refs]
        return self._networked(repo, argv)

    def _networked(self, where: Repo | PlainFolder, argv: Sequence[str]) -> GitCall:
        return GitCall(where, argv, credentials=self._credentials, on_progress=self._order.on_progress, network=True)

    @property
    def _folder(self) -> PlainFolder:
        return PlainFolder(self._target.path.rpartition("/")[0] or "/", self._target.user)

    async def _repo(self) -> Repo:
        return await self._context.workers.run(find, self._target.path)
