"""Branches as they lie in the repository: a file each, or lines of ``packed-refs``.

Reading them here takes a third of the time of libgit2, which opens the repository and every branch to give their names.
Everything blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from toolbox.git.repository import Repo

_HEADS = b"refs/heads/"
_POINTER_BYTES = 4096


def branches(repo: Repo) -> tuple[list[str], str] | None:
    """Return the local branches by name, and the current one, made or not; None if they are kept in another way."""
    common = os.fsencode(repo.common)
    if os.path.exists(os.path.join(common, b"reftable")):
        return None
    found = {*_loose(os.path.join(common, _HEADS)), *_packed(os.path.join(common, b"packed-refs"))}
    return [name.decode("utf-8", "replace") for name in sorted(found)], _current(os.fsencode(repo.gitdir))


def _loose(top: bytes) -> Iterator[bytes]:
    waiting = [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.name.endswith(b".lock") and _filled(entry):
                        yield entry.path[len(top) :]
        except (FileNotFoundError, NotADirectoryError):  # no branch yet, or the last one in a folder went
            continue


def _filled(entry: os.DirEntry[bytes]) -> bool:
    """Tell whether there is something in a file; an empty one is what a crash left of a branch, git skips it too."""
    try:
        return entry.stat().st_size > 0
    except FileNotFoundError:
        return False


def _packed(path: bytes) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            for line in file:
                name = line.rstrip(b"\n").partition(b" ")[2]
                if name.startswith(_HEADS) and not line.startswith((b"#", b"^")):
                    yield name[len(_HEADS) :]
    except FileNotFoundError:
        return


def _current(gitdir: bytes) -> str:
    with open(os.path.join(gitdir, b"HEAD"), "rb") as file:
        kind, _, target = file.read(_POINTER_BYTES).partition(b":")
    name = target.strip().removeprefix(_HEADS) if kind == b"ref" else b""
    return name.decode("utf-8", "surrogateescape")
