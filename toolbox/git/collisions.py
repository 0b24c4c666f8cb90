"""Find names that cannot exist beside each other: references and remotes are files and folders of one tree."""

from __future__ import annotations

import os
from collections.abc import Iterable

from toolbox.errors import GitBranchExists
from toolbox.git.repository import Repo


def in_the_way(name: str, existing: Iterable[str], *, ignore_case: bool = False) -> str | None:
    """Return the name that ``name`` equals, is a folder of, or lies below; None if there is none."""
    wanted = name.casefold() if ignore_case else name
    for other in existing:
        compared = other.casefold() if ignore_case else other
        if compared == wanted or compared.startswith(f"{wanted}/") or wanted.startswith(f"{compared}/"):
            return other
    return None


def ignores_case(repo: Repo) -> bool:
    """Return whether the file system of a repository ignores case, by the same probe as ``git init``. Blocks."""
    return os.path.exists(os.path.join(repo.common, "CoNfIg"))


def refuse_branch(name: str, existing: Iterable[str], *, ignore_case: bool = False) -> None:
    """Raise an error that names the branch in the way of a new one."""
    other = in_the_way(name, existing, ignore_case=ignore_case)
    if other == name:
        raise GitBranchExists(f"conflict: a branch named '{name}' already exists")
    if other is not None:
        raise GitBranchExists(f"conflict: branch '{name}' cannot be created, branch '{other}' exists")
