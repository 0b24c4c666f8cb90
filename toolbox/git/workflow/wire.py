"""Requests and responses of the endpoints that the SDKs have no methods for."""

from __future__ import annotations

from typing import Annotated

import msgspec

from toolbox.git.wire import Count, Filled, RepoRequest
from toolbox.wire import Flag, Needed, Wire


class DiffQuery(Wire, kw_only=True):
    """Choose what to compare: the working tree with the index, ``staged`` with HEAD, or revisions."""

    path: Needed = ""
    base: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    staged: Flag | None = None
    format: str | None = None
    paths: list[str] | None = None
    context: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    filters: Flag | None = None


class DiffFile(Wire, kw_only=True):
    """Describe one changed file; counts are absent for binary files."""

    path: str
    old_path: str = ""
    status: str = ""
    additions: int | None = None
    deletions: int | None = None


class GitDiff(Wire, kw_only=True):
    """The changed files, and the patch with ``format=patch``."""

    files: list[DiffFile]
    patch: str = ""
    truncated: bool = False


class ShowQuery(Wire, kw_only=True):
    """Name a file of a revision, HEAD by default."""

    path: Needed = ""
    file: Needed = ""
    ref: str | None = None


class ChangesQuery(Wire, kw_only=True):
    """Compare with the merge base of HEAD and ``base``, by default the default branch of origin."""

    path: Needed = ""
    base: str | None = None
    filters: Flag | None = None


class GitChanges(Wire, kw_only=True):
    """Changes since the merge base, committed or not; ``base`` is the commit compared with."""

    base: str
    files: list[DiffFile]


class ApplyRequest(RepoRequest, kw_only=True):
    """Apply a patch to the files; ``index`` stages it too, ``check`` only tests it."""

    patch: Filled
    check: bool | None = None
    index: bool | None = None
    reverse: bool | None = None
    three_way: bool | None = None


class PatchedFile(Wire, kw_only=True):
    """A file of a patch; without counts it is binary."""

    path: str
    additions: int | None = None
    deletions: int | None = None


class GitApplied(Wire, kw_only=True):
    """The files of a patch."""

    files: list[PatchedFile]


class CleanRequest(RepoRequest, kw_only=True):
    """Remove untracked files: all, or those below ``files``."""

    files: list[str] | None = None
    directories: bool | None = None
    ignored: bool | None = None
    dry_run: bool | None = None


class GitCleaned(Wire, kw_only=True):
    """Files removed, or that would be; directories end with a slash."""

    files: list[str]


class IgnoreQuery(Wire, kw_only=True):
    """Name files that may be ignored."""

    path: Needed = ""
    files: list[str] | None = None


class IgnoredFile(Wire, kw_only=True):
    """An ignored file, and the rule that matches it."""

    path: str
    source: str
    line: int
    pattern: str


class GitIgnored(Wire, kw_only=True):
    """The files that are ignored."""

    files: list[IgnoredFile]


class RemoteQuery(Wire, kw_only=True):
    """Name a remote of a repository."""

    path: Needed = ""
    remote: str | None = None


class GitRef(Wire, kw_only=True):
    """A reference of a remote."""

    name: str
    hash: str


class ListRefsResponse(Wire, kw_only=True):
    """References of a remote; ``head`` is its default branch, if it has one."""

    head: str = ""
    refs: list[GitRef]


class BlameQuery(Wire, kw_only=True):
    """Choose a file, a revision, and lines (``10,20``)."""

    path: Needed = ""
    file: Needed = ""
    ref: str | None = None
    lines: str | None = None
    filters: Flag | None = None


class BlameLine(Wire, kw_only=True):
    """A line with its commit."""

    line: int
    hash: str
    original_line: int
    author: str
    email: str
    timestamp: int
    summary: str
    content: str


class GitBlame(Wire, kw_only=True):
    """The lines of a file with their commits."""

    lines: list[BlameLine]


class StashEntry(Wire, kw_only=True):
    """Describe a stash."""

    index: int
    hash: str
    message: str
    timestamp: str


class ListStashResponse(Wire, kw_only=True):
    """List stashes, the newest first."""

    stashes: list[StashEntry]


class StashPushRequest(RepoRequest, kw_only=True):
    """Stash local changes."""

    message: str | None = None
    untracked: bool | None = None


class StashRequest(RepoRequest, kw_only=True):
    """Name a stash; 0 is the newest."""

    index: Count | None = None


class GitTag(Wire, kw_only=True):
    """Describe a tag; ``commit`` is the commit it points to."""

    name: str
    commit: str
    message: str = ""


class ListTagsResponse(Wire, kw_only=True):
    """List tags by name."""

    tags: list[GitTag]


class GitTagRequest(RepoRequest, kw_only=True):
    """A tag to create; with a message it is annotated and needs an identity."""

    name: Filled
    target: str | None = None
    message: str | None = None
    author: str | None = None
    email: str | None = None


class TagQuery(Wire, kw_only=True):
    """Name a tag."""

    path: Needed = ""
    name: Needed = ""


class SequenceRequest(RepoRequest, kw_only=True):
    """Start an operation that may stop on conflicts, or ``continue``, ``skip`` or ``abort`` it."""

    action: str | None = None
    author: str | None = None
    email: str | None = None


class GitMergeRequest(SequenceRequest, kw_only=True):
    """Merge a branch; ``skip`` does not apply."""

    branch: str | None = None
    message: str | None = None
    fast_forward_only: bool | None = None


class GitRebaseRequest(SequenceRequest, kw_only=True):
    """Rebase the commits that ``upstream`` does not have onto it, or onto ``onto``."""

    upstream: str | None = None
    onto: str | None = None
    autostash: bool | None = None


class GitPickRequest(SequenceRequest, kw_only=True):
    """Apply or revert commits in order; ``mainline`` is the parent number of a merge, from 1."""

    commits: list[str] | None = None
    mainline: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None


class GitMergeResponse(Wire, kw_only=True):
    """HEAD after the operation, and whether it moved."""

    hash: str
    changed: bool


class GitWorktree(Wire, kw_only=True):
    """Describe a worktree of a repository."""

    path: str
    hash: str = ""
    branch: str = ""
    bare: bool = False
    detached: bool = False
    locked: bool = False


class GitWorktreeRequest(RepoRequest, kw_only=True):
    """Add a worktree at ``worktree`` on ``branch``, which is created at ``ref`` if it does not exist."""

    worktree: Filled
    branch: str | None = None
    ref: str | None = None


class WorktreeQuery(Wire, kw_only=True):
    """Name a worktree of a repository."""

    path: Needed = ""
    worktree: Needed = ""
    force: Flag | None = None


class ListWorktreesResponse(Wire, kw_only=True):
    """List worktrees, the main one first."""

    worktrees: list[GitWorktree]
