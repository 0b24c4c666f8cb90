"""Requests and responses of the git endpoints: requests are snake_case on the wire, responses camelCase.

In optional fields an empty string means the same as none: published examples send empty strings everywhere.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from toolbox.wire import Flag, Needed, Wire

Filled = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of bodies: field names as written."""


class RepoQuery(Wire, kw_only=True):
    """Name a repository."""

    path: Needed = ""


class StatusQuery(RepoQuery, kw_only=True):
    """Name a repository; ``filters`` runs the filters that the repository itself configures."""

    filters: Flag | None = None


class RepoRequest(Request, kw_only=True):
    """Name a repository in a body."""

    path: Filled


class GitCloneRequest(RepoRequest, kw_only=True):
    """Clone a repository; ``commit_id`` may be abbreviated, ``depth`` 0 means the whole history."""

    url: Filled
    branch: str | None = None
    commit_id: str | None = None
    username: str | None = None
    password: str | None = None
    insecure_skip_tls: bool | None = None
    depth: Count | None = None


class GitInitRequest(RepoRequest, kw_only=True):
    """Make a repository."""

    bare: bool | None = None
    initial_branch: str | None = None


class GitAddRequest(RepoRequest, kw_only=True):
    """Files to stage; ``.`` is everything."""

    files: list[str]


class GitCommitRequest(RepoRequest, kw_only=True):
    """Commit the index."""

    message: Filled
    author: Filled
    email: Filled
    allow_empty: bool | None = None


class GitCommitResponse(Wire, kw_only=True):
    """The new commit."""

    hash: str


class RemoteRequest(RepoRequest, kw_only=True):
    """A remote, a branch and credentials."""

    username: str | None = None
    password: str | None = None
    branch: str | None = None
    remote: str | None = None


class GitPushRequest(RemoteRequest, kw_only=True):
    """Push one branch."""

    set_upstream: bool | None = None


class GitPullRequest(RemoteRequest, kw_only=True):
    """Fetch and fast-forward."""


class GitFetchRequest(RemoteRequest, kw_only=True):
    """Fetch one branch, or what the remote is configured for."""

    prune: bool | None = None


class FileStatus(Wire, kw_only=True):
    """Describe a changed file; ``extra`` is the old name of a renamed or copied file."""

    name: str
    extra: str
    staging: str
    worktree: str


class GitStatus(Wire, kw_only=True):
    """Describe a working tree; ``state`` is the operation in progress: merge, rebase, ..."""

    additive: ClassVar[frozenset[str]] = frozenset({"detached", "upstream", "state"})

    current_branch: str
    file_status: list[FileStatus]
    branch_published: bool
    ahead: int
    behind: int
    detached: bool
    upstream: str
    state: str = ""

    def wire_size(self) -> int:
        """Estimate the length of the JSON."""
        return 150 * len(self.file_status)


class ListBranchResponse(Wire, kw_only=True):
    """List local branches by name."""

    additive: ClassVar[frozenset[str]] = frozenset({"current"})

    branches: list[str]
    current: str


class GitBranchRequest(RepoRequest, kw_only=True):
    """A branch to create."""

    name: Filled


class GitDeleteBranchRequest(Request, kw_only=True):
    """A branch to delete, here or in the query."""

    path: Needed = ""
    name: Needed = ""


class DeleteBranchQuery(Wire, kw_only=True):
    """A branch to delete, for clients behind proxies that drop the body of DELETE."""

    path: str = ""
    name: str = ""


class GitCheckoutRequest(RepoRequest, kw_only=True):
    """Name a branch, tag or commit."""

    branch: Filled


class GitCommitInfo(Wire, kw_only=True):
    """Describe a commit; ``timestamp`` is the author's, in the author's zone."""

    hash: str
    author: str
    email: str
    message: str
    timestamp: str


class HistoryQuery(Wire, kw_only=True):
    """Page through history: of a revision, of a file, by an author, since a date."""

    path: Needed = ""
    limit: Count | None = None
    skip: Count | None = None
    ref: str | None = None
    file: str | None = None
    author: str | None = None
    since: str | None = None


class GitRemote(Wire, kw_only=True):
    """Describe a remote; its URL is as configured."""

    name: str
    url: str


class ListRemotesResponse(Wire, kw_only=True):
    """List remotes by name."""

    remotes: list[GitRemote]


class GitAddRemoteRequest(RepoRequest, kw_only=True):
    """Describe a remote to add."""

    name: Filled
    url: Filled
    fetch: bool | None = None
    overwrite: bool | None = None


class GitResetRequest(RepoRequest, kw_only=True):
    """Reset HEAD or files: soft, mixed, hard, merge or keep."""

    mode: str | None = None
    target: str | None = None
    files: list[str] | None = None


class GitRestoreRequest(RepoRequest, kw_only=True):
    """Name files to restore, and where."""

    files: Annotated[list[str], msgspec.Meta(min_length=1)]
    staged: bool | None = None
    worktree: bool | None = None
    source: str | None = None


class GitConfigQuery(Wire, kw_only=True):
    """Name a configuration key: global, local or system."""

    key: Needed = ""
    scope: str | None = None
    path: str | None = None


class GitConfigResponse(Wire, kw_only=True):
    """A configured value; null if there is none."""

    value: str | None


class GitSetConfigRequest(Request, kw_only=True):
    """Set a configuration key to one value."""

    key: Filled
    value: str
    scope: str | None = None
    path: str | None = None


class GitConfigureUserRequest(Request, kw_only=True):
    """Set the configured identity, which commits in terminals use."""

    name: Filled
    email: Filled
    scope: str | None = None
    path: str | None = None


class GitAuthenticateRequest(Request, kw_only=True):
    """Store credentials for a host in git's credential store, in plain text."""

    username: Filled
    password: Filled
    host: str | None = None
    protocol: str | None = None


class GitForgetQuery(Wire, kw_only=True):
    """Name stored credentials: those of one user of a host, or of all."""

    host: str | None = None
    protocol: str | None = None
    username: str | None = None


class RemotePath(Wire, kw_only=True):
    """Name a remote in a path."""

    name: str


class Progress(Wire, kw_only=True):
    """Progress of an operation."""

    phase: str
    percent: int = 0
    current: int = 0
    total: int = 0
    transferred: str = ""


class RemoteLine(Wire, kw_only=True):
    """A line that the remote printed."""

    line: str


class Result(Wire, kw_only=True):
    """The last event of a successful operation."""

    status: str


class Failure(Wire, kw_only=True):
    """The last event of a failed operation."""

    status_code: int
    code: str
    message: str
