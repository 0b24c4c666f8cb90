"""Read and write metadata with libgit2 in the daemon: references, remotes, configuration, short histories.

The only module of the daemon that imports pygit2; the import runs in a worker thread. These calls run no hook, no
filter and no network, so they may read repositories of other users. The services write as the daemon's user only.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
from collections.abc import Collection, Iterator

import pygit2  # noqa: TID253 - this module itself is imported late, in a thread
from pygit2.enums import RepositoryOpenFlag, SortMode  # noqa: TID253

from toolbox.errors import (
    BadRequest,
    Conflict,
    GitBranchExists,
    GitBranchNotFound,
    InternalError,
    ToolboxError,
    Unprocessable,
)
from toolbox.git.classify import UNUSABLE_CONFIGURATION
from toolbox.git.commits import stamp
from toolbox.git.metadata.unsupported import Unsupported
from toolbox.git.wire import GitCommitInfo

# The owner check protects against programs in the configuration; libgit2 runs none.
pygit2.settings.owner_validation = False
_CONFIGURATION = re.compile("|".join(UNUSABLE_CONFIGURATION))
_FOREIGN = (
    "unsupported extension",
    "unsupported mandatory extension",
    "unknown object format",
    "unsupported repository",
)


@contextlib.contextmanager
def opened(path: str) -> Iterator[pygit2.Repository]:
    """Open the repository at exactly ``path``; close its packs on exit."""
    try:
        repo = pygit2.Repository(path, RepositoryOpenFlag.NO_SEARCH)
    except pygit2.GitError as error:
        if any(text in str(error) for text in _FOREIGN):
            raise Unsupported(str(error)) from error
        raise _unusable(error, "repository cannot be opened: ") from error
    try:
        yield repo
    except (pygit2.GitError, OSError) as error:
        raise _meaning(error) from error
    finally:
        repo.free()


def _meaning(error: Exception) -> ToolboxError:
    text = str(error)
    if isinstance(error, pygit2.InvalidSpecError):
        return BadRequest(f"bad request: {text}")
    if "failed to lock" in text or ".lock'" in text:
        return Conflict(f"conflict: {text}")
    return _unusable(error, "")


def _unusable(error: Exception, text: str) -> ToolboxError:
    """Return 422 for a configuration that cannot be read; it says which file or value."""
    kind = Unprocessable if _CONFIGURATION.search(str(error)) else InternalError
    return kind(f"{text}{error}")


def create_branch(path: str, name: str) -> None:
    """Create a branch at HEAD and switch to it; no file changes."""
    with opened(path) as repo:
        if not repo.head_is_unborn:
            _make(repo, name)
        repo.set_head(f"refs/heads/{name}")


def _make(repo: pygit2.Repository, name: str) -> None:
    try:
        repo.branches.local.create(name, repo.head.peel(pygit2.Commit))
    except pygit2.AlreadyExistsError as error:
        raise GitBranchExists(f"conflict: a branch named '{name}' already exists") from error
    except OSError as error:
        raise GitBranchExists(f"conflict: a branch named like '{name}' already exists: {error}") from error
    except pygit2.GitError as error:
        clash = any(text in str(error) for text in ("parent is not directory", "is a directory", "path to reference"))
        raise (GitBranchExists(f"conflict: {error}") if clash else _meaning(error)) from error


def delete_branch(path: str, name: str) -> None:
    """Delete a branch and its tracking configuration."""
    with opened(path) as repo:
        branch = repo.lookup_branch(name)
        if branch is None:
            raise GitBranchNotFound(f"not found: branch '{name}' not found")
        try:
            branch.delete()
        except pygit2.GitError as error:
            if "checked out" in str(error) or "current HEAD" in str(error):
                raise Conflict(f"conflict: {error}") from error
            raise


def remotes(path: str) -> list[tuple[str, str]]:
    """Return names and first URLs as configured: URLs expanded by ``insteadOf`` often contain tokens."""
    with opened(path) as repo:
        config = repo.config.snapshot()
        return sorted((name, _first(config, f"remote.{name}.url")) for name in repo.remotes.names() if name)


def _first(config: pygit2.Config, key: str) -> str:
    return next((value or "" for value in config.get_multivar(key)), "") if key in config else ""


def head(path: str) -> str:
    """Return the commit id of HEAD, empty if there is no commit."""
    with opened(path) as repo:
        return "" if repo.head_is_unborn else str(repo.head.target)


def init(path: str, *, bare: bool, initial: str) -> None:
    """Make a repository; an existing one is not changed."""
    try:
        pygit2.init_repository(path, bare=bare, initial_head=initial or None).free()
    except (pygit2.GitError, OSError) as error:
        raise InternalError(f"repository cannot be made: {error}") from error


def history(path: str, limit: int, known: Collection[str] = ()) -> tuple[list[GitCommitInfo], str]:
    """Return the newest commits up to a known one, and its id; one more than ``limit`` if there are more.

    Without a known commit the id is empty. The walk stops at a known commit only if no merge came before it: otherwise
    the order of the rest is not that of the known commit's history.
    """
    found: list[GitCommitInfo] = []
    with opened(path) as repo:
        if repo.head_is_unborn:
            return found, ""
        straight = True
        # NONE is git's own order; TIME may put parents before children that have the same second.
        for commit in repo.walk(repo.head.target, SortMode.NONE):
            if straight and str(commit.id) in known:
                return found, str(commit.id)
            found.append(_commit(commit))
            if len(found) > limit:
                break
            straight = straight and bool(known) and len(commit.parent_ids) == 1
    return found, ""


def _commit(commit: pygit2.Commit) -> GitCommitInfo:
    author, encoding = commit.author, _codec(commit.message_encoding)
    name, email, message = (
        raw.decode(encoding, "replace") for raw in (author.raw_name, author.raw_email, commit.raw_message)
    )
    moment = stamp(author.time, author.offset)
    return GitCommitInfo(hash=str(commit.id), author=name, email=email, message=message, timestamp=moment)


def _codec(name: str | None) -> str:
    try:
        return codecs.lookup(name).name if name else "utf-8"
    except LookupError:
        return "utf-8"


def config_get(file: str, key: str) -> str | None:
    """Return the last value of a key in one file; a key without a value is empty."""
    if not os.path.exists(file):
        return None
    with open(file, "rb") as source:
        if b"[include" in source.read().lower():
            raise Unsupported("libgit2 follows includes")
    config = _config(file)
    return (config[key] or "") if key in config else None


def config_set(file: str, values: dict[str, str]) -> None:
    """Set keys to one value each in a file, which is created if missing."""
    with _written(file) as config:
        for key, value in values.items():
            # set_multivar writes line ends unescaped, which corrupts the file.
            if key in config and len(list(config.get_multivar(key))) > 1:
                config.delete_multivar(key, ".*")
            config[key] = value


def config_section(file: str, prefix: str) -> dict[str, list[str]]:
    """Return the values of all keys that begin with ``prefix``, by the rest of the key."""
    found: dict[str, list[str]] = {}
    for entry in _config(file):
        key = entry.name.removeprefix(prefix)
        # A dot: the key of another section, such as ``remote.a.b.url`` for the prefix ``remote.a.``.
        if entry.name.startswith(prefix) and "." not in key:
            found.setdefault(key, []).append(entry.value or "")
    return found


def config_replace(file: str, prefix: str, values: dict[str, list[str]]) -> None:
    """Set keys to exactly these values; a key without values is removed."""
    with _written(file) as config:
        for key, wanted in values.items():
            if f"{prefix}{key}" in config:
                config.delete_multivar(f"{prefix}{key}", ".*")
            for value in wanted:
                config.set_multivar(f"{prefix}{key}", "^$", value)


@contextlib.contextmanager
def _written(file: str) -> Iterator[pygit2.Config]:
    """Open a file to change it; keep its owner."""
    status = os.stat(file) if os.path.exists(file) else None
    os.makedirs(os.path.dirname(file), exist_ok=True)
    try:
        yield _config(file)
    except pygit2.GitError as error:
        raise _meaning(error) from error
    if status is not None and os.geteuid() == 0:
        os.chown(file, status.st_uid, status.st_gid)


def _config(file: str) -> pygit2.Config:
    try:
        return pygit2.Config(file)
    except pygit2.GitError as error:
        raise _unusable(error, "") from error
