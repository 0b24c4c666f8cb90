"""Remove files and trees of any depth without following symbolic links.

``shutil.rmtree`` recurses and holds a descriptor per level, so deep trees fail. Here at most two directories are open:
the way up is ``openat("..")``, whose inode must be the one that was left. Without that check a directory moved
during the removal would lead it outside the tree.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: bytes, *, recursive: bool) -> None:
    """Unlink a file or symbolic link, or remove a directory tree.

    An error does not stop the removal of siblings; the first one is raised at the end.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    if not recursive:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    failure = _TreeRemover(path).run()
    try:
        os.rmdir(path)
    except OSError as error:
        raise failure or error from None


class _TreeRemover:
    """Empty a directory, depth first."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._fd = os.open(path, _DIR)
        self._above: list[tuple[tuple[int, int], bytes, list[bytes]]] = []
        self._failure: OSError | None = None

    def run(self) -> OSError | None:
        """Remove everything that can be removed; return the first error."""
        try:
            names = self._clear()
            while True:
                if names:
                    names = self._enter(names)
                elif self._above:
                    names = self._leave()
                else:
                    return self._failure
        finally:
            os.close(self._fd)

    def _enter(self, names: list[bytes]) -> list[bytes]:
        name = names.pop()
        try:
            inner = os.open(name, _DIR, dir_fd=self._fd)
        except OSError as error:
            self._failed(error, name)
            self._try(os.rmdir, name)
            return names
        self._above.append((_identity(self._fd), name, names))
        os.close(self._fd)
        self._fd = inner
        return self._clear()

    def _leave(self) -> list[bytes]:
        identity, name, names = self._above.pop()
        outer = os.open(b"..", _DIR, dir_fd=self._fd)
        os.close(self._fd)
        self._fd = outer
        if _identity(outer) != identity:
            raise OSError(errno.ESTALE, "directory was moved during its removal", self._path)
        self._try(os.rmdir, name)
        return names

    def _clear(self) -> list[bytes]:
        """Unlink all entries of the current directory but subdirectories; return those."""
        directories: list[bytes] = []
        try:
            with os.scandir(self._fd) as entries:
                found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self._failed(error, b"")
            return directories
        for name, is_dir in found:
            if is_dir:
                directories.append(name)
            else:
                self._try(os.unlink, name)
        return directories

    def _try(self, call: Callable[..., None], name: bytes) -> None:
        try:
            call(name, dir_fd=self._fd)
        except OSError as error:
            self._failed(error, name)

    def _failed(self, error: OSError, name: bytes) -> None:
        if self._failure is None and error.errno != errno.ENOENT:
            names = [above[1] for above in self._above]
            error.filename = os.path.join(self._path, *names, name)
            self._failure = error


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
