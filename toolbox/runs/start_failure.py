"""What a shell would say of a program that cannot be started."""

from __future__ import annotations

import errno

_NOT_EXECUTABLE = {errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG, errno.ELOOP, errno.ETXTBSY}


def explain(error: OSError, cwd: str) -> tuple[int, str]:
    """Turn a failure to start into the exit code and text that a shell would give; let lack of resources rise."""
    reason = (error.strerror or str(error)).lower()
    if error.filename == cwd:
        return 1, f"chdir {cwd}: {reason}"
    if error.errno == errno.ENOENT:
        return 127, f"{error.filename}: {reason}"
    if error.errno in _NOT_EXECUTABLE:
        return 126, f"{error.filename}: {reason}"
    raise error
