"""Clone, fetch, pull and push. Credentials are sent to their host only, and only once."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pygit2  # noqa: TID253 - only imported in the engine's own process
from pygit2.enums import CredentialType, MergeAnalysis  # noqa: TID253

from toolbox.errors import (
    Conflict,
    GitAuthFailed,
    GitBranchNotFound,
    GitMergeConflict,
    GitRemoteRejected,
    GitRepoNotFound,
    NotFound,
    Unprocessable,
)
from toolbox.git.collisions import in_the_way
from toolbox.git.engine.libgit2.files import resolve, to_commit
from toolbox.git.engine.libgit2.repositories import ADVICE, current, opened, refuse_filters, writable
from toolbox.git.urls import scope_of

_REFERENCE = re.compile(r"refs/[^']+(?=')")


class Guard(pygit2.RemoteCallbacks):
    """Callbacks of libgit2 for credentials and certificates."""

    def __init__(self, credentials: dict[str, str], *, insecure: bool, home: str) -> None:
        super().__init__()
        self._credentials = credentials
        self._insecure = insecure
        self._home = home
        self._asked = 0
        self.refused: list[str] = []

    def credentials(self, url: str, username_from_url: str | None, allowed_types: CredentialType) -> Any:
        """Return credentials once: a second call means that they were refused."""
        self._asked += 1
        if self._asked > 1:
            raise GitAuthFailed("unauthorized: authentication failed, the credentials were refused")
        if allowed_types & CredentialType.SSH_KEY:
            return pygit2.KeypairFromAgent(username_from_url or "git")
        username, password = self._for(url)
        if not (username or password):
            raise GitAuthFailed("unauthorized: authentication required or repository not found")
        return pygit2.UserPass(username, password)

    def _for(self, url: str) -> tuple[str, str]:
        scope = _scope(url)
        if self._credentials["username"] or self._credentials["password"]:
            # After a redirect another host asks for credentials.
            if scope != self._credentials["scope"]:
                return "", ""
            return self._credentials["username"], self._credentials["password"]
        return _stored(self._home, scope)

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: ARG002
        """Accept a certificate that libgit2 trusts, or any if the request says so."""
        return valid or self._insecure

    def push_update_reference(self, refname: str, message: str | None) -> None:
        """Record a rejected reference, for which libgit2 raises nothing."""
        if message is not None:
            self.refused.append(f"{refname}: {message}")


def _scope(url: str) -> str:
    parts = urlsplit(url)
    return scope_of(parts.scheme, parts.hostname or "", parts.port) if parts.scheme in ("http", "https") else ""


def _stored(home: str, scope: str) -> tuple[str, str]:
    """Look up git's credential store, which libgit2 does not read."""
    try:
        with open(os.path.join(home, ".git-credentials"), encoding="utf-8", errors="surrogateescape") as source:
            lines = source.read().splitlines()
    except OSError:
        return "", ""
    for line in lines:
        scheme, _, rest = line.partition("://")
        who, _, host = rest.rpartition("@")
        if _scope(f"{scheme}://{unquote(host)}") == scope:
            username, _, password = who.partition(":")
            return unquote(username), unquote(password)
    return "", ""


def clone(path: str, url: str, branch: str, commit: str, depth: int, **options: Any) -> None:
    """Clone one branch with its tags."""
    if depth and "://" in url and url.startswith("file:"):
        raise Unprocessable(f"shallow clone of a local repository: {ADVICE}")
    _check_local(url)
    repo = pygit2.init_repository(path)
    remote = repo.remotes.create("origin", url)
    heads = {str(head.name): head for head in remote.list_heads(callbacks=Guard(**options), proxy=True)}
    name = branch or _default(heads)
    if not heads:
        return
    tag = f"refs/tags/{name}" if f"refs/heads/{name}" not in heads else ""
    if tag and tag not in heads:
        raise GitBranchNotFound(f"not found: remote branch {name} not found in upstream origin")
    spec = f"+{tag}:{tag}" if tag else f"+refs/heads/{name}:refs/remotes/origin/{name}"
    if not tag:
        repo.config.delete_multivar("remote.origin.fetch", ".*")
        repo.config["remote.origin.fetch"] = spec
    repo.remotes["origin"].fetch([spec], callbacks=Guard(**options), depth=depth, proxy=True)
    _first_checkout(repo, tag or f"refs/remotes/origin/{name}", "" if tag else name, commit)


def _default(heads: dict[str, Any]) -> str:
    target = heads["HEAD"].symref_target if "HEAD" in heads else None
    if target:
        return str(target).removeprefix("refs/heads/")
    return next((name.removeprefix("refs/heads/") for name in heads if name.startswith("refs/heads/")), "")


def _first_checkout(repo: pygit2.Repository, reference: str, branch: str, wanted: str) -> None:
    commit = resolve(repo, wanted or reference)
    index = pygit2.Index()
    index.read_tree(commit.tree)
    to_commit(repo, commit)
    refuse_filters(repo, [entry.path for entry in index])
    if branch:
        local = repo.branches.local.create(branch, resolve(repo, reference))
        local.upstream = repo.branches.remote[f"origin/{branch}"]
    if wanted or not branch:
        repo.set_head(commit.id)
    else:
        repo.set_head(f"refs/heads/{branch}")


def _remote(repo: pygit2.Repository, name: str) -> pygit2.Remote:
    if name not in repo.remotes.names():
        raise NotFound(f"not found: remote '{name}' is not configured")
    remote = repo.remotes[name]
    _check_local(remote.url or "")
    return remote


def _check_local(url: str) -> None:
    """Refuse a path that is no folder, for which libgit2 reports an unsupported protocol."""
    path = url.removeprefix("file://")
    if path.startswith("/") and not os.path.isdir(path):
        raise GitRepoNotFound(f"not found: repository '{path}' does not exist")


def fetch(path: str, remote: str, refspecs: list[str], **options: Any) -> None:
    """Fetch references, those the remote is configured for if none are named."""
    repo = opened(path)
    with _collisions_named(repo):
        _remote(repo, remote).fetch(refspecs or None, callbacks=Guard(**options), proxy=True)


@contextlib.contextmanager
def _collisions_named(repo: pygit2.Repository) -> Iterator[None]:
    """Name the reference in the way of another; libgit2 names only the one that it could not write."""
    try:
        yield
    except (pygit2.GitError, OSError, ValueError) as error:
        written = _REFERENCE.search(str(error))
        other = in_the_way(written[0], repo.references) if written else None
        if written is None or other in (None, written[0]):
            raise
        raise Conflict(f"conflict: '{written[0]}' cannot be created, '{other}' exists") from error


def pull(path: str, remote: str, branch: str, **options: Any) -> None:
    """Fetch a branch and fast-forward to it."""
    repo = writable(path)
    name = branch or _upstream(repo, remote)
    spec = f"+refs/heads/{name}:refs/remotes/{remote}/{name}"
    try:
        with _collisions_named(repo):
            _remote(repo, remote).fetch([spec], callbacks=Guard(**options), proxy=True)
        target = resolve(repo, f"refs/remotes/{remote}/{name}")
    except GitBranchNotFound as error:
        raise GitBranchNotFound(f"not found: couldn't find remote ref {name}") from error
    if repo.head_is_unborn:
        to_commit(repo, target)
        repo.create_reference(f"refs/heads/{current(repo)}", target.id)
        return
    analysis, _ = repo.merge_analysis(target.id)
    if analysis & MergeAnalysis.UP_TO_DATE:
        return
    if not analysis & MergeAnalysis.FASTFORWARD:
        raise GitMergeConflict("conflict: branches have diverged: not possible to fast-forward, merge or rebase first")
    refuse_filters(repo, [delta.new_file.path for delta in repo.diff(repo.head.target, target.id).deltas])
    to_commit(repo, target)
    if repo.head_is_detached:
        repo.set_head(target.id)
    else:
        repo.head.set_target(target.id)


def _upstream(repo: pygit2.Repository, remote: str) -> str:
    name = current(repo)
    if not name:
        raise GitBranchNotFound("not found: not currently on a branch, name the branch to pull")
    merge, where = f"branch.{name}.merge", f"branch.{name}.remote"
    if merge in repo.config and where in repo.config and repo.config[where] == remote:
        return (repo.config[merge] or "").removeprefix("refs/heads/")
    return name


def push(path: str, remote: str, branch: str, *, set_upstream: bool, **options: Any) -> None:
    """Push one branch to the branch of the same name."""
    repo = opened(path)
    name = branch or current(repo)
    if not name or repo.lookup_branch(name) is None:
        raise GitBranchNotFound(f"not found: src refspec {name or 'HEAD'} does not match any local branch")
    guard = Guard(**options)
    _remote(repo, remote).push([f"refs/heads/{name}:refs/heads/{name}"], callbacks=guard, proxy=True)
    if guard.refused:
        raise GitRemoteRejected(f"push refused by the remote: {'; '.join(guard.refused)}")
    if set_upstream:
        repo.branches.local[name].upstream = repo.branches.remote[f"{remote}/{name}"]
