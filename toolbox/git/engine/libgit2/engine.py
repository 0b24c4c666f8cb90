"""The daemon's side of the libgit2 engine: start a process per operation, send the request, read the answer.

A process and not a thread: it can be killed, its memory is returned, a crash does not end the daemon, and libgit2
holds the GIL for the whole of a status or a reset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from typing import Any

from toolbox import errors
from toolbox.errors import Conflict, InternalError, NotFound
from toolbox.git import hardening, urls
from toolbox.git.context import GitContext
from toolbox.git.credentials import HostCredentials
from toolbox.git.engine.interface import CloneOrder, Exchange
from toolbox.git.identity import CommitIdentity
from toolbox.git.metadata import Unsupported
from toolbox.git.redact import redact
from toolbox.git.repository import Repo
from toolbox.git.target import Target
from toolbox.git.urls import RemoteUrl
from toolbox.git.wire import FileStatus, GitCommitInfo, GitStatus, HistoryQuery
from toolbox.host.procs import Procs

_MAX_ANSWER = 256 * 1024 * 1024
_NO_CREDENTIALS = HostCredentials()


class Libgit2Engine:
    """Run operations of ``toolbox.git.engine.libgit2``. It reports no progress."""

    name = "libgit2"

    def __init__(self, context: GitContext, procs: Procs) -> None:
        self._context = context
        self._procs = procs

    async def status(self, repo: Repo, *, filters: bool) -> GitStatus:  # noqa: ARG002 - libgit2 runs none
        """Return changed files and the branch, without ``state``."""
        answer = await self._call("status", repo)
        files = [FileStatus(**file) for file in answer.pop("file_status")]
        return GitStatus(**answer, file_status=files)

    async def add(self, repo: Repo, files: list[str]) -> None:
        """Stage files, all or nothing."""
        await self._call("add", repo, files=files)

    async def commit(self, repo: Repo, message: str, author: CommitIdentity, *, allow_empty: bool) -> str:
        """Commit the index; return the new commit id."""
        options = {"message": message, "author": author.name, "email": author.email}
        return str(await self._call("commit", repo, **options, allow_empty=allow_empty))

    async def reset(self, repo: Repo, mode: str, target: str, files: list[str]) -> None:
        """Reset HEAD, or only ``files``."""
        await self._call("reset", repo, mode=mode, target=target or "HEAD", files=files)

    async def restore(self, repo: Repo, files: list[str], source: str, *, staged: bool, worktree: bool) -> None:
        """Restore files from the index or from a revision."""
        await self._call("restore", repo, files=files, source=source, staged=staged, worktree=worktree)

    async def checkout(self, repo: Repo, name: str) -> None:
        """Switch to a branch, a tag or a commit."""
        await self._call("checkout", repo, name=name)

    async def history(self, repo: Repo, query: HistoryQuery) -> AsyncGenerator[list[GitCommitInfo], None]:
        """Yield all commits in one batch, the newest first; of the filters only ``limit`` and ``skip`` apply."""
        found = await self._call("history", repo, limit=query.limit or 0, skip=query.skip or 0)
        yield [GitCommitInfo(**commit) for commit in found]

    async def clone(self, order: CloneOrder, target: Target) -> None:
        """Clone into ``target``, which must be empty."""
        if not target.empty:
            raise Conflict(f"conflict: destination path '{target.path}' already exists and is not an empty directory")
        repo = Repo(target.path, "", "", bare=False, user=target.user)
        options = {"url": order.source, "branch": order.branch, "commit": order.commit, "depth": order.depth}
        await self._call("clone", repo, order.credentials, **options)

    async def fetch(self, repo: Repo, exchange: Exchange, *, prune: bool) -> None:  # noqa: ARG002 - not supported
        """Fetch a branch, or what the remote is configured for."""
        options = {"remote": exchange.remote, "refspecs": exchange.refspecs}
        await self._call("fetch", repo, exchange.credentials, **options)

    async def pull_source(self, repo: Repo, remote: str, branch: str) -> tuple[str, str]:  # noqa: ARG002
        """Return the remote; ``pull`` itself finds the branch."""
        return remote or "origin", branch

    async def pull(self, repo: Repo, exchange: Exchange) -> None:
        """Fetch a branch and fast-forward to it."""
        await self._call("pull", repo, exchange.credentials, remote=exchange.remote, branch=exchange.branch)

    async def push(self, repo: Repo, exchange: Exchange, *, set_upstream: bool) -> None:
        """Push a branch to the branch of the same name, never by force."""
        options = {"remote": exchange.remote, "branch": exchange.branch, "set_upstream": set_upstream}
        await self._call("push", repo, exchange.credentials, **options)

    async def remote_url(self, repo: Repo, remote: str, *, push: bool) -> RemoteUrl:  # noqa: ARG002
        """Return the URL of a configured remote; ``insteadOf`` rules are not applied."""
        try:
            found = dict(await self._context.metadata.remotes(repo.path)).get(remote)
        except Unsupported:
            found = None
        if found is None:
            raise NotFound(f"not found: remote '{remote}' is not configured")
        return await self._context.workers.run(urls.parse, found, workdir=repo.path)

    async def _call(
        self, operation: str, repo: Repo, credentials: HostCredentials = _NO_CREDENTIALS, /, **options: Any
    ) -> Any:
        """Return what an operation returns, or raise what it raises."""
        home = repo.user.home if repo.user is not None else self._context.environment.get("HOME", "/")
        env = hardening.environment(self._context.environment.merged(), "/", repo.user)
        request = {
            "operation": operation,
            "stall_seconds": hardening.stall_seconds(env),
            "path": repo.path,
            "credentials": {
                "scope": credentials.scope,
                "username": credentials.username,
                "password": credentials.password,
            },
            "insecure": credentials.insecure,
            "home": home,
        }
        # Credentials go through standard input: arguments and environment of a process are visible in /proc.
        done = await self._procs.run(
            [sys.executable, "-I", "-m", "toolbox.git.engine.libgit2"],
            env=env,
            cwd="/",
            stdin=json.dumps({**request, **options}).encode(),
            limit=_MAX_ANSWER,
            user=repo.user,
        )
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            raise InternalError(f"libgit2 failed: its process ended with {done.status.code}") from error
        if "error" in answer:
            raise getattr(errors, answer["error"])(redact(answer["message"], credentials.secrets))
        return answer["value"]
