"""Copy files and trees with holes, mode, times, owner and extended attributes; symbolic links are copied as links.

A copy is written under a temporary name in the directory of its destination and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading

import msgspec

from toolbox.errors import InvalidPath
from toolbox.fs.tree import entries
from toolbox.host.files import copy_attributes
from toolbox.host.journal import Journal, temporary_name
from toolbox.host.paths import naming, show
from toolbox.host.removal import remove
from toolbox.host.syscalls import rename_new

# sendfile cannot be interrupted; after each chunk the copy can be cancelled.
_CHUNK = 16 * 1024 * 1024


class CopyCancelled(Exception):
    """The request was cancelled; no client receives this."""


class Totals(msgspec.Struct):
    """What was copied; ``size`` in bytes of data, holes not counted."""

    files: int = 0
    size: int = 0
    skipped: list[bytes] = msgspec.field(default_factory=list)


class Copier:
    """Copy one file or tree."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.totals = Totals()

    def copy(self, source: bytes, target: bytes) -> None:
        """Copy ``source`` to ``target``, which must not exist."""
        if not self._one(source, target):
            return
        # Directories get mode and times last: a read-only one could not be filled, and filling it sets its mtime.
        waiting = [(source, target)]
        made = []
        while waiting:
            directory = waiting.pop()
            made.append(directory)
            waiting += self._children(*directory)
        for inner_source, inner_target in reversed(made):
            _metadata(inner_source, inner_target, os.lstat(inner_source))

    def _children(self, source: bytes, target: bytes) -> list[tuple[bytes, bytes]]:
        found = [(entry.path, os.path.join(target, entry.name)) for entry in entries(source)]
        return [pair for pair in found if self._one(*pair)]

    def _one(self, source: bytes, target: bytes) -> bool:
        """Copy one entry; return True for a directory, which is created empty."""
        if self._stop.is_set():
            raise CopyCancelled
        status = os.lstat(source)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(target, 0o700)
            return True
        if kind == stat.S_IFREG:
            self._content(source, target)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(source), target)
        elif kind == stat.S_IFIFO:
            os.mkfifo(target, 0o600)
        else:
            self.totals.skipped.append(source)
            return False
        _metadata(source, target, status)
        self.totals.files += 1
        return False

    def _content(self, source: bytes, target: bytes) -> None:
        with naming(source):
            reader = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with naming(target):
                    self._extents(reader, writer, os.fstat(reader).st_size)
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    def _extents(self, reader: int, writer: int, size: int) -> None:
        """Copy the data extents; what lies between them stays a hole."""
        offset = 0
        while offset < size:
            start, end = _extent(reader, offset, size)
            offset = start
            while offset < end:
                offset = self._chunk(reader, writer, offset, end)
        os.ftruncate(writer, size)

    def _chunk(self, reader: int, writer: int, offset: int, end: int) -> int:
        if self._stop.is_set():
            raise CopyCancelled
        os.lseek(writer, offset, os.SEEK_SET)
        done = os.sendfile(writer, reader, offset, min(_CHUNK, end - offset))
        if not done:
            raise OSError(errno.EIO, "file became shorter while it was copied")
        self.totals.size += done
        return offset + done


def _extent(fd: int, offset: int, size: int) -> tuple[int, int]:
    """Return the next extent of data as (start, end); an empty one at the end of the file."""
    try:
        start = os.lseek(fd, offset, os.SEEK_DATA)
        return start, min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole is left
            return size, size
        return offset, size  # the file system does not know SEEK_DATA: everything is data


def _metadata(source: bytes, target: bytes, status: os.stat_result) -> None:
    is_link = stat.S_ISLNK(status.st_mode)
    with contextlib.suppress(PermissionError):  # only root may change the owner
        os.lchown(target, status.st_uid, status.st_gid)
    if not is_link:
        copy_attributes(source, target)
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def place_copy(
    source: bytes, destination: bytes, journal: Journal, stop: threading.Event, *, overwrite: bool
) -> Totals:
    """Copy to a temporary name beside the destination, then rename; a failure removes the incomplete copy."""
    copier = Copier(stop)
    temporary = os.path.join(os.path.dirname(destination), temporary_name())
    journal.add(temporary)
    try:
        copier.copy(source, temporary)
        if overwrite:
            os.rename(temporary, destination)
        else:
            rename_new(temporary, destination)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            remove(temporary, recursive=True)
        raise
    finally:
        journal.drop(temporary)
    return copier.totals


def check_apart(source: bytes, destination: bytes) -> None:
    """Refuse to copy a directory into itself: the copy would contain itself, without end."""
    inside = os.path.join(os.path.realpath(os.path.dirname(destination)), b"")
    if stat.S_ISDIR(os.lstat(source).st_mode) and inside.startswith(os.path.join(os.path.realpath(source), b"")):
        raise InvalidPath(f"{show(destination)} is inside {show(source)}")
