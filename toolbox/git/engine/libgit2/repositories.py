"""Open a repository for operations that libgit2 does correctly."""

from __future__ import annotations

import pygit2  # noqa: TID253 - only imported in the engine's own process
from pygit2.enums import RepositoryOpenFlag  # noqa: TID253

from toolbox.errors import Unprocessable

ADVICE = "libgit2 cannot do this safely, install git"


def opened(path: str) -> pygit2.Repository:
    """Open the repository at exactly ``path``."""
    return pygit2.Repository(path, RepositoryOpenFlag.NO_SEARCH)


def writable(path: str) -> pygit2.Repository:
    """Open a repository to change its files."""
    repo = opened(path)
    if "core.sparseCheckout" in repo.config and repo.config.get_bool("core.sparseCheckout"):
        raise Unprocessable(f"repository has a sparse working tree: {ADVICE}")
    return repo


def refuse_filters(repo: pygit2.Repository, names: list[str]) -> None:
    """Refuse paths with a filter or encoding, which libgit2 silently ignores."""
    for name in names:
        for attribute in ("filter", "working-tree-encoding"):
            if isinstance(repo.get_attr(name, attribute), str):
                raise Unprocessable(f"'{name}' has the attribute {attribute}: {ADVICE}")


def current(repo: pygit2.Repository) -> str:
    """Return the branch of HEAD, which may have no commit yet; empty if HEAD is detached."""
    target = repo.lookup_reference("HEAD").raw_target
    return target.removeprefix(b"refs/heads/").decode("utf-8", "surrogateescape") if isinstance(target, bytes) else ""
