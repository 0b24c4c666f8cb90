"""Unpack archives: all or nothing, and nothing outside the destination.

An archive is unpacked into a new staging directory inside the destination, which contains no links but its own, and
moved into place when it is complete. A full disk or a damaged archive changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator

from toolbox.errors import BadRequest, Conflict, InvalidPath
from toolbox.fs.members import ArchiveMember, damage_as_bad_request, members
from toolbox.fs.tree import entries
from toolbox.fs.wire import ExtractQuery, ExtractResponse
from toolbox.host.files import BLOCK, make_parents, scratch
from toolbox.host.journal import Journal, temporary_name
from toolbox.host.paths import naming, show
from toolbox.host.removal import remove


class Extraction:
    """Spool an archive to disk (the directory of a zip is at its end), then unpack it."""

    def __init__(self, destination: bytes, query: ExtractQuery, journal: Journal) -> None:
        self._destination = destination
        self._format = query.format
        self._overwrite = bool(query.overwrite)
        self._journal = journal
        self._spool: int | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Spool the next bytes."""
        if self._spool is None:
            self._spool = scratch()
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self._spool, view) :]

    def finish(self) -> ExtractResponse:
        """Unpack the spooled archive."""
        if self._spool is None:
            raise BadRequest("bad request: archive is empty")
        try:
            return self._unpack(self._spool)
        finally:
            self._close()

    def abort(self, error: BaseException) -> BaseException:
        """Discard the archive; return the error unchanged."""
        self._close()
        return error

    def _close(self) -> None:
        if self._spool is not None:
            os.close(self._spool)
            self._spool = None

    def _unpack(self, spool: int) -> ExtractResponse:
        created = make_parents(self._destination)
        staging = os.path.join(self._destination, temporary_name())
        self._journal.add(staging)
        try:
            os.mkdir(staging, 0o700)
            unpacked = _Staging(staging)
            with damage_as_bad_request(), contextlib.closing(members(spool, self._format)) as found:
                unpacked.fill(found)
            _check_conflicts(staging, self._destination, overwrite=self._overwrite)
            _merge(staging, self._destination)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                remove(staging, recursive=True)
            for directory in reversed(created):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
            raise
        finally:
            self._journal.drop(staging)
        return ExtractResponse(files=unpacked.files, bytes=unpacked.size)


class _Staging:
    """A new directory tree; as we created every entry of it, no path in it leads through a foreign link."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._made: dict[bytes, ArchiveMember | None] = {b"": None}
        self._regular: set[bytes] = set()
        self._links: list[bytes] = []
        self.files = 0
        self.size = 0

    def fill(self, found: Iterator[ArchiveMember]) -> None:
        """Unpack all members, then check the links; a link may come before its target."""
        for member in found:
            name = _inside(member.name)
            with naming(os.path.join(self._root, name)):
                self._add(name, member)
        self._check_links()
        for name, directory in reversed(self._made.items()):
            if directory is not None:
                self._finish(name, directory)

    def _add(self, name: bytes, member: ArchiveMember) -> None:
        if member.kind == "directory":
            self._directory(name, member)
            return
        if member.kind not in ("file", "symlink", "hardlink") or not name:
            raise BadRequest(f"bad request: archive contains a {member.kind}, not supported: {show(member.name)}")
        self._directory(os.path.dirname(name), None)
        path = os.path.join(self._root, name)
        if name in self._made:
            raise BadRequest(f"bad request: archive contains a directory and a file of one name: {show(member.name)}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of two members with one name the later wins, as in tar(1)
        self._regular.discard(name)
        getattr(self, f"_{member.kind}")(name, path, member)
        self.files += 1

    def _directory(self, name: bytes, member: ArchiveMember | None) -> None:
        missing, parent = [], name
        while parent not in self._made:
            missing.append(parent)
            parent = os.path.dirname(parent)
        for directory in reversed(missing):
            try:
                os.mkdir(os.path.join(self._root, directory), 0o700)
            except FileExistsError as error:
                raise BadRequest(
                    f"bad request: archive path leads through a file or link: {show(directory)}"
                ) from error
            self._made[directory] = None
        self._made[name] = member or self._made[name]

    def _file(self, name: bytes, path: bytes, member: ArchiveMember) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as file:
            source = member.open()
            while block := source.read(BLOCK):
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
                self.size += len(block)
        self._regular.add(name)
        self._finish(name, member)

    def _symlink(self, name: bytes, path: bytes, member: ArchiveMember) -> None:
        if member.target.startswith(b"/") or not member.target:
            raise BadRequest(f"bad request: link in the archive leads outside: {show(member.name)}")
        os.symlink(member.target, path)
        self._links.append(name)

    def _hardlink(self, name: bytes, path: bytes, member: ArchiveMember) -> None:
        target = _inside(member.target)
        if target not in self._regular:
            raise BadRequest(f"bad request: hard link to a file outside the archive: {show(member.name)}")
        os.link(os.path.join(self._root, target), path, follow_symlinks=False)
        self._regular.add(name)

    def _check_links(self) -> None:
        """Resolve every link after all are created: a chain of links can lead outside, each of them harmless."""
        root = os.path.join(os.path.realpath(self._root), b"")
        for name in self._links:
            path = os.path.join(self._root, name)
            try:
                real = os.path.realpath(path, strict=True)
            except FileNotFoundError:
                real = os.path.realpath(path)
            except OSError as error:
                raise BadRequest(f"bad request: link in the archive cannot be followed: {show(name)}") from error
            if not os.path.join(real, b"").startswith(root):
                raise BadRequest(f"bad request: link in the archive leads outside: {show(name)}")

    def _finish(self, name: bytes, member: ArchiveMember) -> None:
        path = os.path.join(self._root, name)
        if name:
            os.chmod(path, member.mode & 0o777)
            try:
                os.utime(path, (member.mtime, member.mtime))
            except (OverflowError, ValueError) as error:  # a PAX header can say 1e300, inf or nan
                raise BadRequest(
                    f"bad request: time in the archive is no time: {show(name)}: {member.mtime}"
                ) from error


def _inside(name: bytes) -> bytes:
    """Return the name of a member without ``.`` and empty parts; refuse a name that leads outside."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts or b"\0" in name:
        raise BadRequest(f"bad request: path in the archive leads outside: {show(name)}")
    return b"/".join(parts)


def _pairs(staging: bytes, destination: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield (source, target, merges); ``merges`` is True for a directory whose target exists."""
    waiting = [(staging, destination)]
    while waiting:
        source, target = waiting.pop()
        for entry in entries(source):
            target_path = os.path.join(target, entry.name)
            merges = entry.is_dir(follow_symlinks=False) and os.path.lexists(target_path)
            yield entry.path, target_path, merges
            if merges:
                waiting.append((entry.path, target_path))


def _check_conflicts(staging: bytes, destination: bytes, *, overwrite: bool) -> None:
    """Detect every conflict with existing files before the first move, so that a refusal changes nothing."""
    for _, target_path, merges in _pairs(staging, destination):
        if not os.path.lexists(target_path):
            continue
        is_dir = stat.S_ISDIR(os.lstat(target_path).st_mode)
        if merges != is_dir:
            raise InvalidPath(f"{show(target_path)}: exists and is a {'directory' if is_dir else 'file'}")
        if not merges and not overwrite:
            raise Conflict(f"conflict: destination already exists: {show(target_path)}")


def _merge(staging: bytes, destination: bytes) -> None:
    for source, target_path, merges in _pairs(staging, destination):
        if not merges:
            os.rename(source, target_path)
    shutil.rmtree(staging)
