"""The engine interface, and the one place that chooses between the git program and libgit2."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

import msgspec

from toolbox.git.cli import ProgressCallback
from toolbox.git.context import GitContext
from toolbox.git.credentials import HostCredentials
from toolbox.git.identity import CommitIdentity
from toolbox.git.repository import Repo
from toolbox.git.service import GitService
from toolbox.git.target import Target
from toolbox.git.urls import RemoteUrl
from toolbox.git.wire import GitCommitInfo, GitStatus, HistoryQuery


class CloneOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A checked clone request; empty strings and depth 0 mean "not given"."""

    url: RemoteUrl
    credentials: HostCredentials
    branch: str
    commit: str
    depth: int
    on_progress: ProgressCallback | None

    @property
    def source(self) -> str:
        """Return the URL to clone from, without credentials."""
        # git ignores --depth for plain paths, not for file URLs.
        return f"file://{self.url.text}" if self.depth and not self.url.scheme else self.url.text


class Exchange(msgspec.Struct, frozen=True):
    """What push, pull and fetch need to know of the remote; ``branch`` may be empty."""

    remote: str
    branch: str
    credentials: HostCredentials
    on_progress: ProgressCallback | None = None

    @property
    def refspecs(self) -> list[str]:
        """Return what to fetch; an empty list is what the remote is configured for."""
        return [f"+refs/heads/{self.branch}:refs/remotes/{self.remote}/{self.branch}"] if self.branch else []


class Engine(Protocol):
    """Operations on files, packs and the network.

    Arguments are validated: file names are relative to the root of the repository, names are valid. The caller holds
    the repository's lock where an operation writes.
    """

    name: str

    async def status(self, repo: Repo, *, filters: bool) -> GitStatus:
        """Return changed files and the branch, without ``state``; ``filters`` runs those of the repository."""
        ...

    async def add(self, repo: Repo, files: list[str]) -> None:
        """Stage files, all or nothing."""

    async def commit(self, repo: Repo, message: str, author: CommitIdentity, *, allow_empty: bool) -> str:
        """Commit the index; return the new commit id."""
        ...

    async def reset(self, repo: Repo, mode: str, target: str, files: list[str]) -> None:
        """Reset HEAD, or only ``files``; an empty ``target`` is HEAD."""

    async def restore(self, repo: Repo, files: list[str], source: str, *, staged: bool, worktree: bool) -> None:
        """Restore files from a revision, or from the index (worktree) or HEAD (staged) without one."""

    async def checkout(self, repo: Repo, name: str) -> None:
        """Switch to a branch, a tag or a commit."""

    def history(self, repo: Repo, query: HistoryQuery) -> AsyncGenerator[list[GitCommitInfo], None]:
        """Yield commits in batches, the newest first."""
        ...

    async def clone(self, order: CloneOrder, target: Target) -> None:
        """Clone into ``target``. On failure the caller removes what is left."""

    async def fetch(self, repo: Repo, exchange: Exchange, *, prune: bool) -> None:
        """Fetch a branch, or what the remote is configured for."""

    async def pull_source(self, repo: Repo, remote: str, branch: str) -> tuple[str, str]:
        """Return the remote and branch to pull, from those given (or empty) and the upstream."""
        ...

    async def pull(self, repo: Repo, exchange: Exchange) -> None:
        """Fetch a branch and fast-forward to it."""

    async def push(self, repo: Repo, exchange: Exchange, *, set_upstream: bool) -> None:
        """Push a branch to the branch of the same name, never by force."""

    async def remote_url(self, repo: Repo, remote: str, *, push: bool) -> RemoteUrl:
        """Return the URL of a configured remote."""
        ...


class Engines:
    """Choose the engine of a request."""

    def __init__(self, context: GitContext, program: Engine, libgit2: Engine) -> None:
        self._context = context
        self._program = program
        self._libgit2 = libgit2

    async def current(self) -> Engine:
        """Return the git program's engine if there is a git program, else libgit2's.

        Asked for each request: users install git while the daemon runs.
        """
        return self._program if await self._context.cli.available() else self._libgit2

    @contextlib.asynccontextmanager
    async def changing(self, repo: Repo) -> AsyncIterator[Engine]:
        """Hold the repository's lock and yield the engine."""
        async with self._context.repos.changing(repo.common):
            yield await self.current()


class EngineService(GitService):
    """The base of services whose operations an engine runs."""

    def __init__(self, context: GitContext, engines: Engines) -> None:
        super().__init__(context)
        self._engines = engines
