"""What the endpoints beyond the SDKs send and receive, in the style of the others."""

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


class DiffFile(Wire, kw_only=True):
    """Describe one changed file; counts are absent for binary files."""

    path: str
    old_path: str = ""
    status: str = ""
    additions: int | None = None
    deletions: int | None = None


class GitDiff(Wire, kw_only=True):
    """Hold the changed files, and the patch where it was asked for."""

    files: list[DiffFile]
    patch: str = ""
    truncated: bool = False


class BlameQuery(Wire, kw_only=True):
    """Choose a file, a revision, and lines (``10,20``)."""

    path: Needed = ""
    file: Needed = ""
    ref: str | None = None
    lines: str | None = None


class BlameLine(Wire, kw_only=True):
    """Say where a line comes from."""

    line: int
    hash: str
    original_line: int
    author: str
    email: str
    timestamp: int
    summary: str
    content: str


class GitBlame(Wire, kw_only=True):
    """Hold a file line by line."""

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
    """Put local changes away."""

    message: str | None = None
    untracked: bool | None = None


class StashRequest(RepoRequest, kw_only=True):
    """Name a stash; 0 is the newest."""

    index: Count | None = None


class GitTag(Wire, kw_only=True):
    """Describe a tag; ``commit`` is what it leads to."""

    name: str
    commit: str
    message: str = ""


class ListTagsResponse(Wire, kw_only=True):
    """List tags by name."""

    tags: list[GitTag]


class GitTagRequest(RepoRequest, kw_only=True):
    """Describe a tag to make; with a message it is annotated and needs an identity."""

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
    """Begin something that may stop on conflicts, or ``continue``, ``skip`` or ``abort`` it."""

    action: str | None = None
    author: str | None = None
    email: str | None = None


class GitMergeRequest(SequenceRequest, kw_only=True):
    """Merge a branch; a merge has nothing to skip."""

    branch: str | None = None
    message: str | None = None
    fast_forward_only: bool | None = None


class GitRebaseRequest(SequenceRequest, kw_only=True):
    """Put what ``upstream`` does not have on top of it, or on top of ``onto``."""

    upstream: str | None = None
    onto: str | None = None
    autostash: bool | None = None


class GitPickRequest(SequenceRequest, kw_only=True):
    """Take commits in the order given; ``mainline`` is the parent that a merge is compared with, from 1."""

    commits: list[str] | None = None
    mainline: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None


class GitMergeResponse(Wire, kw_only=True):
    """Say where HEAD is after a merge, and whether it moved."""

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


class ListWorktreesResponse(Wire, kw_only=True):
    """List worktrees, the main one first."""

    worktrees: list[GitWorktree]
