"""The ``/git`` endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

from aiohttp import web

from toolbox.errors import (
    BadRequest,
    Conflict,
    FileAccessDenied,
    FileMissing,
    Forbidden,
    GitAuthFailed,
    GitBranchExists,
    GitBranchNotFound,
    GitDirtyWorktree,
    GitMergeConflict,
    GitPushRejected,
    GitRemoteRejected,
    GitRepoNotFound,
    GitTransportFailed,
    InvalidBody,
    NotFound,
    Unprocessable,
)
from toolbox.git import wire
from toolbox.git.branches import Branches
from toolbox.git.cli import ProgressCallback
from toolbox.git.cloning import Cloning
from toolbox.git.configuration import Configuration
from toolbox.git.context import GitContext
from toolbox.git.credential_store import CredentialStore
from toolbox.git.engine.interface import Engines
from toolbox.git.history import History
from toolbox.git.progress import Reporter
from toolbox.git.remotes import Remotes
from toolbox.git.transfer import Transfer
from toolbox.git.working_tree import WorkingTree
from toolbox.http.disconnect import disconnected, until, while_connected
from toolbox.http.endpoint import MIB, Request, endpoint
from toolbox.http.streams import event_stream, wanted_stream

TAG = "git"
LONG_LISTS = 64 * MIB
READ = (BadRequest, GitRepoNotFound)
WRITE = (BadRequest, InvalidBody, GitRepoNotFound, Conflict, FileAccessDenied, Unprocessable)
NETWORK = (*WRITE, GitAuthFailed, Forbidden, GitTransportFailed, GitBranchNotFound, NotFound)
WORKTREE = (*WRITE, GitBranchNotFound, GitDirtyWorktree, GitMergeConflict)


class GitApi:
    """Endpoints that the SDKs have methods for."""

    def __init__(self, context: GitContext, engines: Engines) -> None:
        self._cloning = Cloning(context, engines)
        self._working_tree = WorkingTree(context, engines)
        self._transfer = Transfer(context, engines)
        self._remotes = Remotes(context, engines)
        self._branches = Branches(context)
        self._history = History(context, engines)
        self._configuration = Configuration(context)
        self._credential_store = CredentialStore(context, self._configuration)

    @endpoint("POST", "/git/clone", tag=TAG, errors=(*NETWORK, GitDirtyWorktree))
    async def clone_repository(self, request: Request, body: wire.GitCloneRequest) -> None:
        """Clone a repository.

        Clone, push, pull and fetch take ``Accept: text/event-stream`` (or ``application/x-ndjson``): events
        ``progress`` and ``remote``, then one ``result`` or ``error``. A client that disconnects from such a stream
        ends the operation; without a stream the operation runs to its end.
        """
        return await _follow(request, lambda on_progress: self._cloning.clone(body, on_progress))

    @endpoint("POST", "/git/init", tag=TAG, status=201, errors=(BadRequest, InvalidBody, Conflict, FileAccessDenied))
    async def init_repository(self, body: wire.GitInitRequest) -> None:
        """Make a repository; an existing one is not changed."""
        await self._cloning.init(body)

    @endpoint("GET", "/git/status", tag=TAG, errors=READ)
    async def get_status(self, query: wire.StatusQuery, request: Request) -> wire.GitStatus:
        """Return changed files, and the commits ahead of and behind the upstream."""
        return await while_connected(request, self._working_tree.status(query.path, filters=bool(query.filters)))

    @endpoint("POST", "/git/add", tag=TAG, errors=(*WRITE, FileMissing), body_limit=LONG_LISTS)
    async def add_files(self, body: wire.GitAddRequest) -> None:
        """Stage files, all or nothing."""
        await self._working_tree.add(body)

    @endpoint("POST", "/git/commit", tag=TAG, errors=(*WRITE, GitMergeConflict))
    async def commit_changes(self, body: wire.GitCommitRequest) -> wire.GitCommitResponse:
        """Commit what is staged; no hook runs."""
        return await self._working_tree.commit(body)

    @endpoint("POST", "/git/push", tag=TAG, errors=(*NETWORK, GitPushRejected, GitRemoteRejected))
    async def push_changes(self, request: Request, body: wire.GitPushRequest) -> None:
        """Push a branch to the branch of the same name."""
        return await _follow(request, lambda on_progress: self._transfer.push(body, on_progress))

    @endpoint("POST", "/git/pull", tag=TAG, errors=(*NETWORK, GitDirtyWorktree, GitMergeConflict))
    async def pull_changes(self, request: Request, body: wire.GitPullRequest) -> None:
        """Fetch the upstream branch and fast-forward to it."""
        return await _follow(request, lambda on_progress: self._transfer.pull(body, on_progress))

    @endpoint("POST", "/git/fetch", tag=TAG, errors=NETWORK)
    async def fetch_changes(self, request: Request, body: wire.GitFetchRequest) -> None:
        """Fetch a branch, or everything a remote is configured for."""
        return await _follow(request, lambda on_progress: self._transfer.fetch(body, on_progress))

    @endpoint("GET", "/git/branches", tag=TAG, errors=READ)
    async def list_branches(self, query: wire.RepoQuery) -> wire.ListBranchResponse:
        """List local branches."""
        return await self._branches.list_all(query.path)

    @endpoint("POST", "/git/branches", tag=TAG, status=201, errors=(*WRITE, GitBranchExists, GitMergeConflict))
    async def create_branch(self, body: wire.GitBranchRequest) -> None:
        """Make a branch at HEAD and switch to it."""
        await self._branches.create(body)

    @endpoint("DELETE", "/git/branches", tag=TAG, status=204, errors=(*WRITE, GitBranchNotFound))
    async def delete_branch(self, query: wire.DeleteBranchQuery, body: wire.GitDeleteBranchRequest) -> None:
        """Delete a branch, merged or not."""
        await self._branches.delete(query, body)

    @endpoint("POST", "/git/checkout", tag=TAG, errors=WORKTREE)
    async def checkout_branch(self, body: wire.GitCheckoutRequest) -> None:
        """Switch to a branch, a tag or a commit."""
        await self._working_tree.checkout(body)

    @endpoint("GET", "/git/history", tag=TAG, errors=(*READ, GitBranchNotFound))
    async def get_commit_history(self, query: wire.HistoryQuery, request: Request) -> list[wire.GitCommitInfo]:
        """List commits, the newest first; filter by revision, file, author or date, or page through them."""
        whole = await self._history.whole(query)
        if whole is not None:
            return _ready(web.Response(body=whole, content_type="application/json", charset="utf-8"))
        return _ready(await while_connected(request, self._pages(query, request)))

    async def _pages(self, query: wire.HistoryQuery, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
        async with contextlib.aclosing(self._history.pages(query)) as pages:
            async for page in pages:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(page)
        await response.write_eof()
        return response

    @endpoint("GET", "/git/remotes", tag=TAG, errors=READ)
    async def list_remotes(self, query: wire.RepoQuery) -> wire.ListRemotesResponse:
        """List remotes with their URLs as configured."""
        return await self._remotes.list_all(query.path)

    @endpoint("POST", "/git/remotes", tag=TAG, status=201, errors=NETWORK)
    async def add_remote(self, body: wire.GitAddRemoteRequest) -> None:
        """Add or replace a remote, and fetch it if asked to."""
        await self._remotes.add(body)

    @endpoint("DELETE", "/git/remotes/{name}", tag=TAG, status=204, errors=(*WRITE, NotFound))
    async def remove_remote(self, path: wire.RemotePath, query: wire.RepoQuery) -> None:
        """Remove a remote and its remote-tracking branches."""
        await self._remotes.remove(query.path, path.name)

    @endpoint("POST", "/git/reset", tag=TAG, errors=WORKTREE, body_limit=LONG_LISTS)
    async def reset_changes(self, body: wire.GitResetRequest) -> None:
        """Reset HEAD, or some files."""
        await self._working_tree.reset(body)

    @endpoint("POST", "/git/restore", tag=TAG, errors=(*WORKTREE, FileMissing), body_limit=LONG_LISTS)
    async def restore_files(self, body: wire.GitRestoreRequest) -> None:
        """Restore files from the index or from a revision."""
        await self._working_tree.restore(body)

    @endpoint("GET", "/git/config", tag=TAG, errors=READ)
    async def get_config(self, query: wire.GitConfigQuery) -> wire.GitConfigResponse:
        """Read a configuration key in one scope."""
        return await self._configuration.get(query)

    @endpoint("POST", "/git/config", tag=TAG, errors=WRITE)
    async def set_config(self, body: wire.GitSetConfigRequest) -> None:
        """Set a configuration key to one value."""
        await self._configuration.set(body)

    @endpoint("DELETE", "/git/config", tag=TAG, status=204, errors=(*WRITE, NotFound))
    async def unset_config(self, query: wire.GitConfigQuery) -> None:
        """Remove a configuration key from one scope."""
        await self._configuration.unset(query)

    @endpoint("POST", "/git/config/user", tag=TAG, errors=WRITE)
    async def configure_user(self, body: wire.GitConfigureUserRequest) -> None:
        """Set name and address for commits."""
        await self._configuration.set_user(body)

    @endpoint("POST", "/git/credentials", tag=TAG, errors=(BadRequest, InvalidBody, Conflict, FileAccessDenied))
    async def authenticate(self, body: wire.GitAuthenticateRequest) -> None:
        """Store credentials for a host in plain text, for the API and for git in terminals."""
        await self._credential_store.approve(body)

    @endpoint("DELETE", "/git/credentials", tag=TAG, status=204, errors=(BadRequest, Conflict, NotFound))
    async def forget_credentials(self, query: wire.GitForgetQuery) -> None:
        """Forget the credentials for a host."""
        await self._credential_store.reject(query)


async def _follow(
    request: web.BaseRequest, operate: Callable[[ProgressCallback | None], Coroutine[Any, Any, None]]
) -> None:
    """Run an operation to its end, or stream its progress until the client disconnects."""
    media = wanted_stream(request)
    if media is None:
        return await operate(None)
    async with event_stream(request, media) as out:
        await until(disconnected(request), Reporter().run(operate, out.send))
    return cast("None", out.response)


def _ready(response: web.StreamResponse) -> list[wire.GitCommitInfo]:
    """Cast a streamed response to the declared return type, which OpenAPI uses."""
    return cast("list[wire.GitCommitInfo]", response)
