"""Say which folder is closed to the user that git runs as: root sees a repository that its owner cannot reach."""

from __future__ import annotations

import os
import re
import stat

from toolbox.host.users import UserIdentity

_DENIED = re.compile(r"permission denied", re.IGNORECASE)
# git quotes the path, except after "cannot mkdir".
_PATH = re.compile(r"'(/[^'\n]+)'|cannot mkdir (/[^\n]+?): ")


def explain(user: UserIdentity | None, output: str) -> str:
    """Return a line to add to what git wrote, empty if no folder above the path it names is closed. Blocks."""
    if user is None or not _DENIED.search(output):
        return ""
    for match in _PATH.finditer(output):
        folder = _closed(match[1] or match[2], user)
        if folder is not None:
            return f"\ngit runs as the owner {user.name}, to whom the folder {folder} is closed"
    return ""


def _closed(path: str, user: UserIdentity) -> str | None:
    """Return the first folder above a path that a user cannot enter."""
    names = path.split("/")[1:-1]
    for count in range(1, len(names) + 1):
        folder = "/" + "/".join(names[:count])
        try:
            status = os.stat(folder)
        except OSError:
            return None
        if not _may_enter(status, user):
            return folder
    return None


def _may_enter(status: os.stat_result, user: UserIdentity) -> bool:
    if user.uid == status.st_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in (user.gid, *user.groups):
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
