"""System calls that the standard library lacks. ``ctypes`` is imported on first use, in whatever thread calls."""

from __future__ import annotations

import errno
import functools
import os
import stat
import struct
from typing import Any

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
# openat2(2), since Linux 5.6, has the same number on every architecture; its flag is from 5.12.
_OPENAT2 = 437
_RESOLVE_CACHED = 0x20


@functools.cache
def _renameat2() -> Any:
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def rename_new(source: bytes, destination: bytes) -> None:
    """Rename without ever replacing anything; raise ``FileExistsError`` instead."""
    import ctypes

    call = _renameat2()
    if call is not None:
        if not call(_AT_FDCWD, source, _AT_FDCWD, destination, _RENAME_NOREPLACE):
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), destination if number == errno.EEXIST else source)
    rename_checked(source, destination)


def rename_checked(source: bytes, destination: bytes) -> None:
    """Do it for file systems without the flag: exact for files, with a gap of microseconds for directories."""
    if stat.S_ISDIR(os.lstat(source).st_mode):
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)
        os.rename(source, destination)
        return
    try:
        os.link(source, destination, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination) from None
        os.rename(source, destination)
        return
    os.unlink(source)


@functools.cache
def _syscall() -> Any:
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    call.restype = ctypes.c_long
    return call


def _open_known(path: str) -> int | None:
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_CACHED)
    fd = _syscall()(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, len(how))
    return None if fd < 0 else int(fd)


def stat_known(path: str) -> os.stat_result | None:
    """Stat a path that the kernel has in memory, in microseconds.

    None if it would have to ask a disk or a network, if there is no such path, or on a kernel older than 5.12.
    """
    fd = _open_known(path)
    if fd is None:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def mount_known(path: str) -> int | None:
    """Return the number of the mount that a path is on; None where ``stat_known`` is."""
    fd = _open_known(path)
    if fd is None:
        return None
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as facts:
            return next((int(line.split()[1]) for line in facts if line.startswith("mnt_id:")), None)
    finally:
        os.close(fd)
