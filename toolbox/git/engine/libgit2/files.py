"""The index and the files: status, add, checkout, reset, restore."""

from __future__ import annotations

import os
from typing import Any

import pygit2  # noqa: TID253 - only imported in the engine's own process
from pygit2.enums import CheckoutNotify, CheckoutStrategy, FileStatus, ResetMode  # noqa: TID253

from toolbox.errors import Conflict, FileMissing, GitBranchNotFound, GitDirtyWorktree, GitMergeConflict, Unprocessable
from toolbox.git.collisions import refuse_branch
from toolbox.git.engine.libgit2.repositories import ADVICE, current, refuse_filters, writable

_INDEX = (
    (FileStatus.INDEX_NEW, "Added"),
    (FileStatus.INDEX_MODIFIED, "Modified"),
    (FileStatus.INDEX_DELETED, "Deleted"),
    (FileStatus.INDEX_RENAMED, "Renamed"),
    (FileStatus.INDEX_TYPECHANGE, "Modified"),
)
_WORKTREE = (
    (FileStatus.WT_NEW, "Untracked"),
    (FileStatus.WT_MODIFIED, "Modified"),
    (FileStatus.WT_DELETED, "Deleted"),
    (FileStatus.WT_TYPECHANGE, "Modified"),
    (FileStatus.WT_RENAMED, "Renamed"),
)
_RESETS = {"soft": ResetMode.SOFT, "mixed": ResetMode.MIXED, "hard": ResetMode.HARD}


def status(path: str, **_: Any) -> dict[str, Any]:
    """Return the changed files and the branch."""
    repo = writable(path)
    found = repo.status(untracked_files="all", ignored=False)
    files = [_file(name, FileStatus(flags)) for name, flags in sorted(found.items()) if flags]
    return {"file_status": files, **_branch(repo)}


def _file(name: str, flags: FileStatus) -> dict[str, str]:
    if flags & FileStatus.CONFLICTED:
        staging = worktree = "Updated but unmerged"
    else:
        worktree = next((word for flag, word in _WORKTREE if flags & flag), "Unmodified")
        staging = next((word for flag, word in _INDEX if flags & flag), "Unmodified")
        if staging == "Unmodified" and worktree == "Untracked":
            staging = "Untracked"
    return {"name": name, "extra": "", "staging": staging, "worktree": worktree}


def _branch(repo: pygit2.Repository) -> dict[str, Any]:
    name = current(repo)
    facts: dict[str, Any] = {"ahead": 0, "behind": 0, "branch_published": False, "upstream": "", "detached": not name}
    facts["current_branch"] = name or "HEAD"
    branch: pygit2.Branch | None = repo.lookup_branch(name) if name else None
    if branch is None:
        return facts
    upstream: pygit2.Branch | None = branch.upstream
    if upstream is not None:
        facts["upstream"] = upstream.shorthand
    key = f"branch.{name}.remote"
    remote = next(iter(repo.config.get_multivar(key)), "origin") if key in repo.config else "origin"
    reference = repo.references.get(upstream.name if upstream is not None else f"refs/remotes/{remote}/{name}")
    if reference is not None:
        ahead, behind = repo.ahead_behind(branch.target, reference.target)
        facts |= {"branch_published": True, "ahead": ahead, "behind": behind}
    return facts


def add(path: str, files: list[str], **_: Any) -> None:
    """Stage files as they are on disk, all or nothing."""
    repo = writable(path)
    index = repo.index
    touched = [name for wanted in files for name in _touched(repo, wanted)]
    refuse_filters(repo, touched)
    for name in touched:
        if os.path.lexists(os.path.join(path, name)):
            index.add(name)
        elif name in index:
            index.remove(name)
    index.write()


def _touched(repo: pygit2.Repository, wanted: str) -> list[str]:
    full = os.path.join(repo.workdir, wanted)
    if os.path.lexists(full) and (os.path.islink(full) or not os.path.isdir(full)):
        return [wanted]
    below = "" if wanted == "." else f"{wanted}/"
    changed = [name for name in repo.status() if name.startswith(below) or name == wanted]
    known = os.path.isdir(full) or any(entry.path == wanted or entry.path.startswith(below) for entry in repo.index)
    if not known:
        raise FileMissing(f"not found: pathspec '{wanted}' did not match any files")
    return changed


class _Clashes(pygit2.CheckoutCallbacks):
    """Collect the paths that block a checkout."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def checkout_notify_flags(self) -> CheckoutNotify:
        return CheckoutNotify.CONFLICT

    def checkout_notify(self, why: Any, path: str | None, baseline: Any, target: Any, workdir: Any) -> None:  # noqa: ARG002
        self.names.append(path or "")


def to_commit(repo: pygit2.Repository, commit: pygit2.Commit) -> None:
    """Check out the files of a commit; local changes that would be overwritten fail it before anything changed."""
    clashes = _Clashes()
    try:
        repo.checkout_tree(commit, strategy=CheckoutStrategy.SAFE, callbacks=clashes)  # type: ignore[no-untyped-call]
    except pygit2.GitError as error:
        if clashes.names:
            listed = ", ".join(sorted(clashes.names)[:20])
            raise GitDirtyWorktree(f"conflict: local changes would be overwritten by checkout: {listed}") from error
        raise


def checkout(path: str, name: str, **_: Any) -> None:
    """Switch to a branch, a branch of a remote, a tag or a commit."""
    repo = writable(path)
    if os.path.exists(os.path.join(repo.path, "MERGE_HEAD")):
        raise GitMergeConflict("conflict: cannot switch branch while merging")
    branch: pygit2.Branch | None = repo.lookup_branch(name)
    if branch is None:
        branch = _from_remote(repo, name)
    if branch is not None:
        to_commit(repo, branch.peel(pygit2.Commit))
        repo.set_head(branch.name)
        return
    commit = resolve(repo, name)
    to_commit(repo, commit)
    repo.set_head(commit.id)


def _from_remote(repo: pygit2.Repository, name: str) -> pygit2.Branch | None:
    """Create a local branch from the one remote branch of that name."""
    found = [remote for remote in repo.remotes.names() if remote and f"{remote}/{name}" in repo.branches.remote]
    if len(found) > 1:
        raise Conflict(f"conflict: '{name}' matches several remote branches: {', '.join(map(str, found))}")
    if not found:
        return None
    refuse_branch(name, repo.branches.local)
    remote = repo.branches.remote[f"{found[0]}/{name}"]
    commit = remote.peel(pygit2.Commit)
    to_commit(repo, commit)
    branch = repo.branches.local.create(name, commit)
    branch.upstream = remote
    return branch


def resolve(repo: pygit2.Repository, revision: str) -> pygit2.Commit:
    """Return the commit of a revision."""
    try:
        return repo.revparse_single(revision).peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise GitBranchNotFound(f"not found: unknown revision '{revision}'") from error


def reset(path: str, mode: str, target: str, files: list[str], **_: Any) -> None:
    """Reset HEAD, or some files."""
    repo = writable(path)
    if mode not in _RESETS:
        raise Unprocessable(f"reset mode {mode}: {ADVICE}")
    if repo.head_is_unborn and target == "HEAD":
        repo.index.clear()
        repo.index.write()
        return
    commit = resolve(repo, target)
    if not files:
        if mode == "hard":
            refuse_filters(repo, [entry.path for entry in repo.index])
        repo.reset(commit.id, _RESETS[mode])
        return
    _unstage(repo, commit, files)
    if mode == "hard":
        _to_worktree(repo, commit, files)


def restore(path: str, files: list[str], *, staged: bool, worktree: bool, source: str, **_: Any) -> None:
    """Restore files from the index or from a revision."""
    repo = writable(path)
    commit = resolve(repo, source) if source else None
    if staged:
        if commit is None and not repo.head_is_unborn:
            commit = resolve(repo, "HEAD")
        _known(repo, commit, files)
        _unstage(repo, commit, files)
    if worktree:
        _known(repo, commit, files)
        _to_worktree(repo, commit, files)


def _below(name: str, wanted: str) -> bool:
    return wanted in (".", name) or name.startswith(f"{wanted}/")


def _known(repo: pygit2.Repository, commit: pygit2.Commit | None, files: list[str]) -> None:
    listed = {entry.path for entry in repo.index} | _tree(commit).keys()
    for wanted in files:
        if not any(_below(name, wanted) for name in listed):
            raise FileMissing(f"not found: pathspec '{wanted}' did not match any file known to git")


def _tree(commit: pygit2.Commit | None) -> dict[str, tuple[Any, Any]]:
    """Return the files of a commit."""
    if commit is None:
        return {}
    index = pygit2.Index()
    index.read_tree(commit.tree)
    return {entry.path: (entry.id, entry.mode) for entry in index}


def _unstage(repo: pygit2.Repository, commit: pygit2.Commit | None, files: list[str]) -> None:
    """Reset index entries to those of a commit."""
    index, tree = repo.index, _tree(commit)
    for name in {entry.path for entry in index} | tree.keys():
        if any(_below(name, wanted) for wanted in files):
            if name in tree:
                index.add(pygit2.IndexEntry(name, *tree[name]))
            else:
                index.remove(name)
    index.write()


def _to_worktree(repo: pygit2.Repository, commit: pygit2.Commit | None, files: list[str]) -> None:
    """Write files from a commit or from the index; remove those that the commit does not have."""
    tree = _tree(commit)
    listed = {entry.path for entry in repo.index}
    wanted = [name for name in listed | tree.keys() if any(_below(name, one) for one in files)]
    refuse_filters(repo, wanted)
    strategy = CheckoutStrategy.FORCE | CheckoutStrategy.DISABLE_PATHSPEC_MATCH | CheckoutStrategy.DONT_UPDATE_INDEX
    present = [name for name in wanted if commit is None or name in tree]
    if present and commit is None:
        repo.checkout_index(strategy=strategy, paths=present)  # type: ignore[no-untyped-call]
    elif present and commit is not None:
        repo.checkout_tree(commit, strategy=strategy, paths=present)  # type: ignore[no-untyped-call]
    for name in set(wanted) - set(present):
        full = os.path.join(repo.workdir, name)
        if os.path.lexists(full):
            os.unlink(full)
