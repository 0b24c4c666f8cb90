"""Resolve file names from clients: literal names first, patterns only if no file has that name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from toolbox.errors import BadRequest, FileMissing
from toolbox.git.repository import Repo

_GLOB = frozenset("*?[")


def inside(repo: Repo, files: list[str]) -> list[str]:
    """Return paths relative to the root of the repository; refuse paths outside it. Blocks."""
    return [_relative(repo, name) for name in files]


def _relative(repo: Repo, name: str) -> str:
    if not name or "\0" in name:
        raise BadRequest("bad request: file name is empty or contains a NUL byte")
    path = os.path.normpath(os.path.join(repo.path, name))
    # An absolute path may contain symbolic links that the repository's path does not.
    if os.path.isabs(name) and not _within(path, repo.path):
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not _within(path, repo.path):
        raise BadRequest(f"bad request: '{name}' is outside repository at '{repo.path}'")
    relative = os.path.relpath(path, repo.path)
    if relative == ".git" or relative.startswith(".git/"):
        raise BadRequest(f"bad request: '{name}' belongs to git itself")
    return relative


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def nul_list(names: list[str]) -> bytes:
    """Encode names for git's standard input, NUL-separated. git takes an empty list for all files."""
    if not names:
        raise ValueError("git takes an empty list for everything")
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def literal(name: str) -> str:
    """Return a pathspec that matches exactly one path and what is below it."""
    return f":(top,literal){'' if name == '.' else name}"


class StagePlan(msgspec.Struct):
    """What to stage: ``files`` by name, directories and patterns as pathspecs; ``absent`` are names not on disk."""

    files: list[str]
    specs: list[str]
    absent: list[str]

    def find_absent(self, listed: list[str]) -> None:
        """Look up absent names in the index: deleted files, deleted directories, else patterns."""
        known = set(listed)
        folders = {parent for name in listed for parent in _parents(name)}
        for name in self.absent:
            if name in known:
                self.files.append(name)
            elif name in folders:
                self.specs.append(literal(name))
            elif not _GLOB.isdisjoint(name):
                self.specs.append(f":(top,glob){name}")
            else:
                raise FileMissing(f"not found: pathspec '{name}' did not match any files")


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def sort(repo: Repo, names: list[str]) -> StagePlan:
    """Sort names into files, directories and absent ones. Blocks."""
    plan = StagePlan([], [], [])
    for name in names:
        try:
            mode = os.lstat(os.path.join(repo.path, name)).st_mode
        except OSError:
            plan.absent.append(name)
            continue
        if stat.S_ISDIR(mode):
            plan.specs.append(literal(name))
        else:
            plan.files.append(name)
    return plan
