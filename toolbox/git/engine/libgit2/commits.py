"""Create and list commits."""

from __future__ import annotations

from typing import Any

import pygit2  # noqa: TID253 - only imported in the engine's own process
from pygit2.enums import SortMode  # noqa: TID253

from toolbox.errors import Conflict, GitMergeConflict, Unprocessable
from toolbox.git.commits import stamp
from toolbox.git.engine.libgit2.repositories import ADVICE, opened, writable


def commit(path: str, message: str, author: str, email: str, *, allow_empty: bool, **_: Any) -> str:
    """Commit the index; a merge in progress is concluded with all its parents."""
    repo = writable(path)
    if "commit.gpgSign" in repo.config and repo.config.get_bool("commit.gpgSign"):
        raise Unprocessable(f"commits are to be signed: {ADVICE}")
    index = repo.index
    if index.conflicts is not None:
        raise GitMergeConflict("conflict: committing is not possible because you have unmerged files")
    tree = index.write_tree()
    parents = [] if repo.head_is_unborn else [repo.head.target]
    merged = _merge_heads(repo)
    same = repo.head.peel(pygit2.Tree).id == tree if parents else not len(index)
    if same and not merged and not allow_empty:
        raise Conflict("conflict: nothing to commit")
    who = pygit2.Signature(author, email)
    made = repo.create_commit("HEAD", who, who, message, tree, [*parents, *merged])
    repo.state_cleanup()
    return str(made)


def _merge_heads(repo: pygit2.Repository) -> list[pygit2.Oid]:
    try:
        with open(f"{repo.path}MERGE_HEAD", encoding="ascii") as source:
            return [pygit2.Oid(hex=line.strip()) for line in source]
    except FileNotFoundError:
        return []


def history(path: str, limit: int, skip: int, **_: Any) -> list[dict[str, str]]:
    """List commits, the newest first."""
    repo = opened(path)
    found: list[dict[str, str]] = []
    if repo.head_is_unborn:
        return found
    for number, one in enumerate(repo.walk(repo.head.target, SortMode.NONE)):
        if limit and len(found) == limit:
            break
        if number >= skip:
            found.append(
                {
                    "hash": str(one.id),
                    "author": one.author.raw_name.decode("utf-8", "replace"),
                    "email": one.author.raw_email.decode("utf-8", "replace"),
                    "message": one.raw_message.decode("utf-8", "replace"),
                    "timestamp": stamp(one.author.time, one.author.offset),
                }
            )
    return found
