"""The ``/git`` endpoints that the SDKs have no methods for."""

from __future__ import annotations

from aiohttp import web

from toolbox.errors import (
    FileMissing,
    Forbidden,
    GitAuthFailed,
    GitBranchNotFound,
    GitDirtyWorktree,
    GitMergeConflict,
    GitTransportFailed,
    NotFound,
)
from toolbox.git.api import READ, TAG, WORKTREE, WRITE
from toolbox.git.context import GitContext
from toolbox.git.engine.interface import Engines
from toolbox.git.wire import RepoQuery
from toolbox.git.workflow import wire
from toolbox.git.workflow.cleaning import Cleaning
from toolbox.git.workflow.comparing import Comparing
from toolbox.git.workflow.content import Content
from toolbox.git.workflow.patching import Patching
from toolbox.git.workflow.references import References
from toolbox.git.workflow.sequencing import Sequencing
from toolbox.git.workflow.stashes import Stashes
from toolbox.git.workflow.tags import Tags
from toolbox.git.workflow.worktrees import Worktrees
from toolbox.http.bodies import OCTETS, send_stream
from toolbox.http.disconnect import while_connected
from toolbox.http.endpoint import MIB, Request, endpoint


class WorkflowApi:
    """Endpoints that the SDKs have no methods for."""

    def __init__(self, context: GitContext, engines: Engines) -> None:
        self._comparing = Comparing(context)
        self._content = Content(context)
        self._patching = Patching(context)
        self._cleaning = Cleaning(context)
        self._references = References(context, engines)
        self._stashes = Stashes(context)
        self._tags = Tags(context)
        self._sequencing = Sequencing(context)
        self._worktrees = Worktrees(context)

    @endpoint("GET", "/git/diff", tag=TAG, errors=(*READ, GitBranchNotFound))
    async def get_diff(self, query: wire.DiffQuery, request: Request) -> wire.GitDiff:
        """Compare files, the index and revisions: names with counts, or the patch with ``format=patch``."""
        return await while_connected(request, self._comparing.diff(query))

    @endpoint("GET", "/git/changes", tag=TAG, errors=(*READ, GitBranchNotFound))
    async def get_changes(self, query: wire.ChangesQuery, request: Request) -> wire.GitChanges:
        """List what has changed since the branch left another one: in commits, in files, and new files."""
        return await while_connected(request, self._comparing.changes(query))

    @endpoint("GET", "/git/show", tag=TAG, errors=(*READ, GitBranchNotFound, FileMissing), media=OCTETS)
    async def show_file(self, query: wire.ShowQuery, request: Request) -> web.StreamResponse:
        """Download a file of a revision."""
        blob = await self._content.find(query)
        return await send_stream(request, blob.name, self._content.read(blob), size=blob.size)

    @endpoint("POST", "/git/apply", tag=TAG, errors=(*WRITE, GitMergeConflict, GitDirtyWorktree), body_limit=64 * MIB)
    async def apply_patch(self, body: wire.ApplyRequest) -> wire.GitApplied:
        """Apply a patch, all or nothing; ``three_way`` leaves conflicts in the files."""
        return await self._patching.apply(body)

    @endpoint("POST", "/git/clean", tag=TAG, errors=WRITE)
    async def clean_files(self, body: wire.CleanRequest) -> wire.GitCleaned:
        """Remove untracked files."""
        return await self._cleaning.clean(body)

    @endpoint("GET", "/git/check-ignore", tag=TAG, errors=READ)
    async def check_ignored(self, query: wire.IgnoreQuery) -> wire.GitIgnored:
        """Return which files are ignored, and by which rule."""
        return await self._cleaning.ignored(query)

    @endpoint("GET", "/git/ls-remote", tag=TAG, errors=(*READ, NotFound, GitAuthFailed, Forbidden, GitTransportFailed))
    async def list_remote_refs(self, query: wire.RemoteQuery, request: Request) -> wire.ListRefsResponse:
        """List the branches and tags of a remote."""
        return await while_connected(request, self._references.list_all(query))

    @endpoint("GET", "/git/blame", tag=TAG, errors=(*READ, GitBranchNotFound, FileMissing))
    async def get_blame(self, query: wire.BlameQuery, request: Request) -> wire.GitBlame:
        """Return the commit of each line of a file."""
        return await while_connected(request, self._comparing.blame(query))

    @endpoint("GET", "/git/stash", tag=TAG, errors=READ)
    async def list_stashes(self, query: RepoQuery) -> wire.ListStashResponse:
        """List stashes, the newest first."""
        return await self._stashes.list_all(query.path)

    @endpoint("POST", "/git/stash/push", tag=TAG, errors=WORKTREE)
    async def push_stash(self, body: wire.StashPushRequest) -> None:
        """Stash local changes."""
        await self._stashes.push(body)

    @endpoint("POST", "/git/stash/apply", tag=TAG, errors=(*WORKTREE, NotFound))
    async def apply_stash(self, body: wire.StashRequest) -> None:
        """Apply a stash and keep it."""
        await self._stashes.take(body, "apply")

    @endpoint("POST", "/git/stash/pop", tag=TAG, errors=(*WORKTREE, NotFound))
    async def pop_stash(self, body: wire.StashRequest) -> None:
        """Apply a stash and remove it."""
        await self._stashes.take(body, "pop")

    @endpoint("POST", "/git/stash/drop", tag=TAG, errors=(*WRITE, NotFound))
    async def drop_stash(self, body: wire.StashRequest) -> None:
        """Remove a stash."""
        await self._stashes.take(body, "drop")

    @endpoint("GET", "/git/tags", tag=TAG, errors=READ)
    async def list_tags(self, query: RepoQuery) -> wire.ListTagsResponse:
        """List tags with their commits."""
        return await self._tags.list_all(query.path)

    @endpoint("POST", "/git/tags", tag=TAG, status=201, errors=(*WRITE, GitBranchNotFound))
    async def create_tag(self, body: wire.GitTagRequest) -> None:
        """Create a tag; with a message it is annotated."""
        await self._tags.create(body)

    @endpoint("DELETE", "/git/tags", tag=TAG, status=204, errors=(*READ, GitBranchNotFound))
    async def delete_tag(self, query: wire.TagQuery) -> None:
        """Delete a tag."""
        await self._tags.delete(query)

    @endpoint("POST", "/git/merge", tag=TAG, errors=WORKTREE)
    async def merge_branch(self, body: wire.GitMergeRequest) -> wire.GitMergeResponse:
        """Merge a branch; ``action`` continues or aborts a stopped merge.

        A conflict answers 409 with the files in ``conflicts``; the merge stays in progress (``state`` in the status).
        """
        return await self._sequencing.merge(body)

    @endpoint("POST", "/git/rebase", tag=TAG, errors=WORKTREE)
    async def rebase_branch(self, body: wire.GitRebaseRequest) -> wire.GitMergeResponse:
        """Rebase the current branch; ``action`` continues, skips a commit of, or aborts a stopped rebase."""
        return await self._sequencing.rebase(body)

    @endpoint("POST", "/git/cherry-pick", tag=TAG, errors=WORKTREE)
    async def cherry_pick_commits(self, body: wire.GitPickRequest) -> wire.GitMergeResponse:
        """Apply existing commits on the current branch; ``action`` continues, skips or aborts a stopped cherry-pick."""
        return await self._sequencing.cherry_pick(body)

    @endpoint("POST", "/git/revert", tag=TAG, errors=WORKTREE)
    async def revert_commits(self, body: wire.GitPickRequest) -> wire.GitMergeResponse:
        """Revert commits by new commits; ``action`` continues, skips or aborts a stopped revert."""
        return await self._sequencing.revert(body)

    @endpoint("GET", "/git/worktrees", tag=TAG, errors=READ)
    async def list_worktrees(self, query: RepoQuery) -> wire.ListWorktreesResponse:
        """List the worktrees of a repository, the main one first."""
        return await self._worktrees.list_all(query.path)

    @endpoint("POST", "/git/worktrees", tag=TAG, status=201, errors=(*WRITE, GitBranchNotFound))
    async def add_worktree(self, body: wire.GitWorktreeRequest) -> wire.GitWorktree:
        """Make a worktree, on a branch or at a revision."""
        return await self._worktrees.add(body)

    @endpoint("DELETE", "/git/worktrees", tag=TAG, status=204, errors=(*WRITE, NotFound, GitDirtyWorktree))
    async def remove_worktree(self, query: wire.WorktreeQuery) -> None:
        """Remove a worktree."""
        await self._worktrees.remove(query)
