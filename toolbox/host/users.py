"""User accounts that processes can run as."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

from toolbox.errors import BadRequest, Forbidden


class UserIdentity(NamedTuple):
    """The user and groups that a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables that a login sets."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def find(name: str) -> UserIdentity | None:
    """Look up a user by name or number; None for the daemon's own user. Blocks."""
    try:
        found = pwd.getpwuid(int(name)) if name.isascii() and name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError) as error:
        raise BadRequest(f"bad request: unknown user: {name}") from error
    if found.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise Forbidden(f"processes cannot run as {found.pw_name}: the daemon is not root")
    # The supplementary groups are not implied by the uid: without them the child keeps those of root.
    groups = os.getgrouplist(found.pw_name, found.pw_gid)
    return UserIdentity(found.pw_uid, found.pw_gid, tuple(groups), found.pw_name, found.pw_dir)
