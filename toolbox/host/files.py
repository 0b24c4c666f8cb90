"""Read regular files without hanging on a FIFO or device, and replace files atomically.

New content is written to an unnamed file (``O_TMPFILE``) where the file system supports it, so that a killed daemon
leaves nothing behind. Elsewhere it has a temporary name that the journal records. Everything here blocks: call it in a
worker pool.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable

from toolbox.errors import InvalidPath
from toolbox.host.journal import Journal, temporary_name
from toolbox.host.paths import naming, show

HEAD = 64 * 1024
BLOCK = 1024 * 1024
# Errors of file systems that cannot rename, link or change owners; the content is then copied in place.
_REFUSALS = (errno.EPERM, errno.EACCES, errno.EBUSY, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EINVAL)


class Source:
    """A regular file open for reading, with its first block and its size at the time of opening.

    ``size`` is None where only reading shows it (``/proc``): such a file is read until its end.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        check_regular(path, os.stat(path))
        # Between stat and open the name may be replaced by a FIFO: with O_NONBLOCK open does not wait for a writer.
        # O_NOCTTY: a terminal must not become the daemon's controlling one.
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            self.status = os.fstat(self.fd)
            check_regular(path, self.status)
            self.head, self.size = self._measure(self.status.st_size)
        except BaseException:
            os.close(self.fd)
            raise

    def _measure(self, size: int) -> tuple[bytes, int | None]:
        """Read small files whole: stat reports 4096 bytes for every file in /sys and 0 in /proc."""
        if size > HEAD:
            return b"", size
        with naming(self.path):
            head = os.pread(self.fd, HEAD + 1, 0)
            if len(head) > HEAD:
                return head, None
            more = os.pread(self.fd, HEAD, len(head))
        return (head + more, None) if more else (head, len(head))

    def read(self, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at ``offset``."""
        with naming(self.path):
            return os.pread(self.fd, size, offset)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


def check_regular(path: bytes, status: os.stat_result) -> None:
    """Refuse anything but a regular file: reading a FIFO or a device may never end."""
    if stat.S_ISDIR(status.st_mode):
        raise InvalidPath(f"bad request: path must be a file: {show(path)} is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidPath(f"invalid file path: not a regular file: {show(path)}")


class Draft:
    """The next content of a file, invisible until ``commit``; until then the old content stays intact.

    Follows symbolic links, keeps mode, owner and extended attributes of an existing file, creates missing parent
    directories and removes them on ``abort``.
    """

    def __init__(
        self, path: bytes, journal: Journal, *, expected: int = 0, mode: int = 0o666, durable: bool = False
    ) -> None:
        self._journal = journal
        self._durable = durable
        self._fd = -1
        self._name: bytes | None = None
        self.size = 0
        self._target, old = _resolve(path)
        self._parents = make_parents(os.path.dirname(self._target))
        try:
            with naming(path):
                self._check_space(expected)
                self._open(0o600 if old is not None else mode, replaces=old is not None)
        except BaseException:
            self.abort()
            raise

    def _check_space(self, expected: int) -> None:
        volume = os.statvfs(os.path.dirname(self._target))
        # f_bavail excludes the blocks that are reserved for root.
        free = (volume.f_bfree if os.geteuid() == 0 else volume.f_bavail) * volume.f_frsize
        if volume.f_blocks and expected > free:
            raise OSError(errno.ENOSPC, f"no space left on device: {expected} bytes needed, {free} are free")

    def _open(self, mode: int, *, replaces: bool) -> None:
        directory = os.path.dirname(self._target)
        try:
            self._create(directory, mode)
        except OSError as error:
            # The file may be writable in a directory that is not: stage the content elsewhere, then copy it in place.
            if not replaces or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._create(os.fsencode(tempfile.gettempdir()), mode)

    def _create(self, directory: bytes, mode: int) -> None:
        try:
            self._fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
        # Record first: a SIGKILL between the two steps then leaves a stale record instead of a stale file.
        name = os.path.join(directory, temporary_name())
        self._journal.add(name)
        self._name = name
        self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        left = memoryview(data).cast("B")
        self.size += len(left)
        with naming(self._target):
            while left:
                left = left[os.write(self._fd, left) :]

    def commit(self) -> int:
        """Replace the file's content in one step; return its size."""
        try:
            with naming(self._target):
                if self._durable:
                    os.fsync(self._fd)
                self._publish()
        except BaseException:
            self.abort()
            raise
        self._parents = []
        self._release()
        return self.size

    def _publish(self) -> None:
        try:
            old = os.lstat(self._target)
        except FileNotFoundError:
            old = None
        if old is None:
            self._appear()
        elif old.st_nlink > 1 or not (_permitted(lambda: self._take_over(old)) and _permitted(self._replace)):
            self._overwrite(old.st_size)
        if self._durable:
            _sync_directory(os.path.dirname(self._target))

    def _appear(self) -> None:
        """Link the draft to a name that does not exist yet."""
        if self._name is None:
            try:
                self._link(self._target)
                return
            except FileExistsError:
                pass  # created concurrently: the last writer wins
        if not _permitted(self._replace):
            raise OSError(errno.EPERM, "file system refuses to rename", self._target)

    def _take_over(self, old: os.stat_result) -> None:
        """Copy owner, mode and extended attributes of the old file."""
        new = os.fstat(self._fd)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(self._fd, old.st_uid, old.st_gid)
        os.fchmod(self._fd, stat.S_IMODE(old.st_mode))
        copy_attributes(self._target, self._fd)

    def _replace(self) -> None:
        # linkat cannot replace an existing name, rename can: an unnamed file is linked to a temporary name first.
        if self._name is None:
            name = os.path.join(os.path.dirname(self._target), temporary_name())
            self._journal.add(name)
            self._name = name
            self._link(name)
        os.rename(self._name, self._target)
        self._journal.drop(self._name)
        self._name = None

    def _link(self, name: bytes) -> None:
        # linkat names an unnamed file by its /proc link, with AT_SYMLINK_FOLLOW. os.link passes that flag only if a
        # directory descriptor is given, which an absolute path makes meaningless.
        os.link(b"/proc/self/fd/%d" % self._fd, name, src_dir_fd=self._fd)

    def _overwrite(self, old_size: int) -> None:
        """Copy into the existing file, where rename would break a hard link or is refused (mount points, owners)."""
        target = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if self.size > old_size:
                _reserve(target, self.size, old_size)
            offset = 0
            while offset < self.size:
                offset += os.sendfile(target, self._fd, offset, self.size - offset)
            os.ftruncate(target, self.size)
            if self._durable:
                os.fsync(target)
        finally:
            os.close(target)

    def abort(self) -> None:
        """Remove the draft and created directories; does nothing after ``commit``."""
        self._release()
        for directory in reversed(self._parents):
            try:
                os.rmdir(directory)
            except OSError:
                break
        self._parents = []

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._name is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name)
            self._journal.drop(self._name)
            self._name = None


def _permitted(step: Callable[[], None]) -> bool:
    """Run a step; False if the file system refuses it."""
    try:
        step()
    except OSError as error:
        if error.errno in _REFUSALS:
            return False
        raise
    return True


def _resolve(path: bytes) -> tuple[bytes, os.stat_result | None]:
    """Resolve symbolic links; return path and status of the target, and refuse one that is not writable."""
    if path.endswith(b"/"):
        raise InvalidPath(f"path must be a file: {show(path)} ends with a slash")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return (os.path.realpath(path) if os.path.islink(path) else path), None
    if stat.S_ISDIR(status.st_mode):
        raise InvalidPath(f"path must be a file: {show(path)} is a directory")
    check_regular(path, status)
    if not os.access(path, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return (os.path.realpath(path) if os.path.islink(path) else path), status


def make_parents(directory: bytes, mode: int = 0o755) -> list[bytes]:
    """Create missing directories; return those created, outermost first."""
    created: list[bytes] = []
    missing: list[bytes] = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        try:
            os.mkdir(path, mode)
            created.append(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    return created


def copy_attributes(source: bytes | int, target: bytes | int) -> None:
    """Copy extended attributes, including ACLs, except ``security.*``: file capabilities are for the old content."""
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            return
        raise
    for name in names:
        if not name.startswith("security."):
            os.setxattr(target, name, os.getxattr(source, name))


def _reserve(fd: int, size: int, old_size: int) -> None:
    """Allocate space before overwriting, so that a full disk is detected while the old content is intact."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return
        os.ftruncate(fd, old_size)
        raise


def _sync_directory(path: bytes) -> None:
    # fsync of a file makes its content durable; its name is data of the directory.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def scratch(directory: str | os.PathLike[str] | None = None) -> int:
    """Open an unnamed temporary file (``O_TMPFILE``, or unlinked at once), which the kernel frees on close."""
    with tempfile.TemporaryFile(dir=directory) as file:
        return os.dup(file.fileno())


def write_at(fd: int, data: memoryview | bytes, position: int) -> None:
    """Write all of ``data`` at a position of a file, without moving the descriptor's own."""
    data = memoryview(data)
    while data:
        written = os.pwrite(fd, data, position)
        data, position = data[written:], position + written
