"""The target folder of a clone, and how to restore its previous state. Everything here blocks."""

from __future__ import annotations

import contextlib
import os

from toolbox.errors import Conflict
from toolbox.git.repository import owner
from toolbox.host import removal
from toolbox.host.users import UserIdentity


class Target:
    """A folder that may not exist yet; ``undo`` removes everything created since."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._made = _make_parents(os.path.dirname(path))
        self.user = owner(os.stat(path if os.path.isdir(path) else os.path.dirname(path)))
        self.existed = os.path.lexists(path)
        self._before = self._list() if self.existed else set()

    @property
    def empty(self) -> bool:
        """Return whether ``git clone`` accepts the folder."""
        return not self._before

    def _list(self) -> set[str]:
        if not os.path.isdir(self.path):
            raise Conflict(f"conflict: destination path '{self.path}' already exists and is not a directory")
        if os.path.lexists(os.path.join(self.path, ".git")):
            raise Conflict(f"conflict: destination path '{self.path}' is already a repository")
        return {path for path, _ in _walk(self.path)}

    def undo(self) -> None:
        """Restore the previous state."""
        with contextlib.suppress(FileNotFoundError):
            if self.existed:
                self._remove_new()
            else:
                removal.remove(os.fsencode(self.path), recursive=True)
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _remove_new(self) -> None:
        git = os.path.join(self.path, ".git")
        if os.path.lexists(git):
            removal.remove(os.fsencode(git), recursive=True)
        for path, is_dir in sorted(_walk(self.path), reverse=True):
            if path not in self._before:
                with contextlib.suppress(OSError):
                    (os.rmdir if is_dir else os.unlink)(path)


def _walk(root: str) -> list[tuple[str, bool]]:
    found = []
    for folder, directories, files in os.walk(root):
        found += [(os.path.join(folder, name), not os.path.islink(os.path.join(folder, name))) for name in directories]
        found += [(os.path.join(folder, name), False) for name in files]
    return found


def _make_parents(folder: str) -> list[str]:
    """Make missing parent folders and return them."""
    missing: list[str] = []
    while not os.path.lexists(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise Conflict(f"conflict: '{folder}' already exists and is not a directory")
    user = owner(os.stat(folder))
    for path in missing:
        os.mkdir(path)
        if user is not None:
            os.chown(path, user.uid, user.gid)
    return missing


def prepare(path: str) -> UserIdentity | None:
    """Make the folder of a new repository; return its owner, None for the daemon's user."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise Conflict(f"conflict: '{path}' already exists and is not a directory")
    if not os.path.isdir(path):
        _make_parents(path)
    return owner(os.stat(path))
