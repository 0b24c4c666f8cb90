"""Change mode, owner and group, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator

from toolbox.errors import BadRequest, FileAccessDenied, FileMissing
from toolbox.host.paths import show

_OCTAL = re.compile(r"(0o)?[0-7]{1,5}")
_MAX_ID = 2**32 - 2  # chown takes 2**32 - 1, which is -1, for "leave unchanged"


def parse_mode(text: str) -> int:
    """Parse an octal mode, setuid, setgid and sticky bit included."""
    if not _OCTAL.fullmatch(text) or int(text, 8) > 0o7777:
        raise BadRequest(f"bad request: invalid mode format: {text!r} is not octal like 0755")
    return int(text, 8)


def change_permissions(path: bytes, mode: int | None, owner: str, group: str) -> None:
    """Change what is given; if one value is invalid, nothing is changed."""
    os.stat(path)
    uid = _number(owner, "user", lambda name: pwd.getpwnam(name).pw_uid)
    gid = _number(group, "group", lambda name: grp.getgrnam(name).gr_gid)
    # chown clears setuid and setgid, so chmod comes second.
    if uid != -1 or gid != -1:
        with _prefixed_errors(f"failed to change ownership for {show(path)}"):
            os.chown(path, uid, gid)
    if mode is not None:
        with _prefixed_errors(f"failed to change mode for {show(path)}"):
            os.chmod(path, mode)


@contextlib.contextmanager
def _prefixed_errors(what: str) -> Iterator[None]:
    """Put the failed step in front of the reason, in the wording of the reference server."""
    try:
        yield
    except OSError as error:
        message = f"{what}: {(error.strerror or 'input/output error').lower()}"
        if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
            raise FileAccessDenied(message) from error
        if error.errno == errno.ENOENT:
            raise FileMissing(message) from error
        raise BadRequest(message) from error


def _number(text: str, kind: str, lookup: Callable[[str], int]) -> int:
    """Return the number of a user or group given by number or name; -1 for an empty text."""
    if not text:
        return -1
    try:
        if not (text.isascii() and text.isdecimal()):
            return lookup(text)
        if len(text) <= 10 and int(text) <= _MAX_ID:
            return int(text)
        raise KeyError(text)
    except (KeyError, ValueError, UnicodeError) as error:
        raise BadRequest(f"bad request: {kind} not found: {text!r}") from error
