"""System calls that the standard library lacks. ``ctypes`` is imported on first use, in the calling thread."""

from __future__ import annotations

import errno
import functools
import os
import stat
from typing import Any

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


@functools.cache
def _renameat2() -> Any:
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def rename_new(source: bytes, destination: bytes) -> None:
    """Rename without replacing; raise ``FileExistsError`` if the destination exists."""
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
    """Rename where the flag is unsupported: atomic for files, with a race of microseconds for directories."""
    if stat.S_ISDIR(os.lstat(source).st_mode):
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)
        os.rename(source, destination)
        return
    # link fails if the destination exists, rename does not. Directories cannot be linked.
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
