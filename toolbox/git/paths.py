"""Which files of a repository a client means: names as they are, patterns only where nothing has that name."""

from __future__ import annotations

import os

from toolbox.errors import BadRequest
from toolbox.git.repository import Repo

_GLOB = frozenset("*?[")


def inside(repo: Repo, files: list[str]) -> list[str]:
    """Return paths relative to the root of the repository; refuse those outside of it. Blocks."""
    return [_relative(repo, name) for name in files]


def _relative(repo: Repo, name: str) -> str:
    if not name or "\0" in name:
        raise BadRequest("bad request: file names must not be empty or hold a nul character")
    path = os.path.normpath(os.path.join(repo.path, name))
    # An absolute path may go through links that the repository's own path does not.
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
    """Write names as git reads them from standard input; an empty list would mean everything."""
    if not names:
        raise ValueError("git takes an empty list for everything")
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def literal(name: str) -> str:
    """Return a pathspec that means exactly one path, and everything below it."""
    return f":(top,literal){'' if name == '.' else name}"


def is_pattern(name: str) -> bool:
    """Tell whether a name may be meant as a pattern."""
    return not _GLOB.isdisjoint(name)


def absent(repo: Repo, names: list[str]) -> list[str]:
    """Return those names that are not on disk. Blocks."""
    return [name for name in names if not os.path.lexists(os.path.join(repo.path, name))]


def files_among(repo: Repo, names: list[str]) -> list[str]:
    """Return those names that are not directories. Blocks."""
    return [name for name in names if not _is_dir(os.path.join(repo.path, name))]


def _is_dir(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
