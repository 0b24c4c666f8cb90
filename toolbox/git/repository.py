"""Find a repository at exactly the given path, determine its owner, and serialise changes to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import stat
import weakref
from collections.abc import AsyncIterator

import msgspec

from toolbox.errors import BadRequest, Conflict, GitRepoNotFound
from toolbox.host.paths import Workdir, decode, show
from toolbox.host.users import UserIdentity
from toolbox.host.worker_pool import WorkerPool

_POINTER_BYTES = 4096
_STATE_FILES = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


class Repo(msgspec.Struct, frozen=True):
    """A repository: ``path`` as resolved, ``gitdir`` of this worktree, ``common`` of all of them.

    ``user`` is the owner if it is not the daemon's user. git runs as the owner: filters of the repository do not gain
    the daemon's rights, and the owner keeps access to new objects.
    """

    path: str
    gitdir: str
    common: str
    bare: bool
    user: UserIdentity | None = None

    @property
    def ceiling(self) -> str:
        """Return the folder at which git's search for a repository ends."""
        return os.path.dirname(self.path)

    def with_files(self) -> Repo:
        """Return the repository; raise if it has no working tree."""
        if self.bare:
            raise BadRequest("bad request: repository is bare, it must be run in a work tree")
        return self


class Repositories:
    """Open repositories, and hold a lock for each."""

    def __init__(self, workdir: str, home: str, workers: WorkerPool) -> None:
        self.workdir = workdir
        self.home = home
        self._root = Workdir(workdir)
        self._workers = workers
        # A lock lives as long as an operation holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def resolve(self, text: str) -> str:
        """Return an absolute path; ``~`` is the home directory."""
        if text == "~" or text.startswith("~/"):
            text = self.home + text[1:]
        return os.path.normpath(decode(self._root.resolve(text)))

    async def open(self, text: str) -> Repo:
        """Return the repository at a path, never one in a folder above."""
        return await self._workers.run(find, self.resolve(text))

    @contextlib.asynccontextmanager
    async def changing(self, key: str, *, wait: bool = True) -> AsyncIterator[None]:
        """Hold the lock of ``key``; without ``wait`` a held lock raises ``Conflict``."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        if lock.locked() and not wait:
            raise Conflict(f"conflict: another operation is under way: {key}")
        async with lock:
            yield


def find(path: str) -> Repo:
    """Return the repository at exactly ``path``. Blocks."""
    raw = os.fsencode(path)
    try:
        real = os.path.realpath(raw, strict=True)
        status = os.stat(real)
    except OSError as error:
        raise _missing(path) from error
    if not stat.S_ISDIR(status.st_mode):
        raise _missing(path)
    inner = os.path.join(real, b".git")
    gitdir = _pointed(inner) if os.path.isfile(inner) else inner
    bare = not os.path.isdir(gitdir)
    if bare:
        gitdir = real
    common = _common(gitdir)
    if not (os.path.lexists(os.path.join(gitdir, b"HEAD")) and os.path.isdir(os.path.join(common, b"objects"))):
        raise _missing(path)
    return Repo(decode(real), decode(gitdir), decode(common), bare, owner(status))


def unfinished(repo: Repo) -> str:
    """Return the name of the operation in progress, empty if there is none. Blocks."""
    return next((name for mark, name in _STATE_FILES.items() if os.path.exists(os.path.join(repo.gitdir, mark))), "")


def _missing(path: str) -> GitRepoNotFound:
    return GitRepoNotFound(f"not found: not a git repository: {show(os.fsencode(path))}")


def _pointed(file: bytes) -> bytes:
    """Return the git directory a ``.git`` file of a worktree or submodule points to."""
    with open(file, "rb") as source:
        line = source.read(_POINTER_BYTES).partition(b"\n")[0]
    target = line.removeprefix(b"gitdir:").strip()
    return os.path.realpath(os.path.join(os.path.dirname(file), target))


def _common(gitdir: bytes) -> bytes:
    try:
        with open(os.path.join(gitdir, b"commondir"), "rb") as source:
            text = source.read(_POINTER_BYTES).strip()
    except OSError:
        return os.path.realpath(gitdir)
    return os.path.realpath(os.path.join(gitdir, text))


def owner(status: os.stat_result) -> UserIdentity | None:
    """Return the user to run git as, None for the daemon's own. Blocks."""
    if os.geteuid() != 0 or status.st_uid == 0:
        return None
    try:
        found = pwd.getpwuid(status.st_uid)
    except KeyError:
        return UserIdentity(status.st_uid, status.st_gid, (), str(status.st_uid), "/")
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return UserIdentity(found.pw_uid, found.pw_gid, groups, found.pw_name, found.pw_dir)
