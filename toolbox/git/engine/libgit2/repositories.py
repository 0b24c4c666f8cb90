"""Open a repository for work that libgit2 can do without harm."""

from __future__ import annotations

import pygit2  # noqa: TID253 - only imported in the engine's own process
from pygit2.enums import RepositoryOpenFlag  # noqa: TID253

from toolbox.errors import Unprocessable

ADVICE = "libgit2 cannot do this safely, install git"


def opened(path: str) -> pygit2.Repository:
    """Open exactly the repository at ``path``."""
    return pygit2.Repository(path, RepositoryOpenFlag.NO_SEARCH)


def writable(path: str) -> pygit2.Repository:
    """Open a repository to change its files."""
    repo = opened(path)
    if "core.sparseCheckout" in repo.config and repo.config.get_bool("core.sparseCheckout"):
        raise Unprocessable(f"repository has a sparse working tree: {ADVICE}")
    return repo


def refuse_filters(repo: pygit2.Repository, names: list[str]) -> None:
    """Refuse paths whose content goes through a program, which libgit2 leaves out without a word."""
    for name in names:
        for attribute in ("filter", "working-tree-encoding"):
            if isinstance(repo.get_attr(name, attribute), str):
                raise Unprocessable(f"'{name}' has the attribute {attribute}: {ADVICE}")


def current(repo: pygit2.Repository) -> str:
    """Return the branch HEAD is on, made or not; empty if it is on none."""
    target = repo.lookup_reference("HEAD").raw_target
    return target.removeprefix(b"refs/heads/").decode("utf-8", "surrogateescape") if isinstance(target, bytes) else ""
