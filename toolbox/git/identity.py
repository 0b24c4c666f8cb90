"""Author and committer of commits."""

from __future__ import annotations

import re
from typing import NamedTuple

from toolbox.errors import BadRequest

_UNUSABLE = re.compile(r"[<>\n\r\0]")
# git strips these from the ends of a name, and refuses a name that consists of nothing else.
_CRUD = " .,:;<>\"\\'\t"


class CommitIdentity(NamedTuple):
    """Name and address for a commit."""

    name: str
    email: str

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that set author and committer."""
        return {
            "GIT_AUTHOR_NAME": self.name,
            "GIT_AUTHOR_EMAIL": self.email,
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": self.email,
        }


# For objects that need an identity where neither the request nor the configuration has one.
FALLBACK = CommitIdentity("toolbox", "toolbox@localhost")


def identity(name: str, email: str) -> CommitIdentity:
    """Return a name and an address that git accepts."""
    found = CommitIdentity(_UNUSABLE.sub("", name), _UNUSABLE.sub("", email))
    if not all(part.strip(_CRUD) for part in found):
        raise BadRequest("bad request: name consists only of disallowed characters")
    return found
