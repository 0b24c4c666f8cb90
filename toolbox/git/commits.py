"""Convert commits from git's log or from libgit2 to the wire format."""

from __future__ import annotations

import time

from toolbox.git.wire import GitCommitInfo

FORMAT = "%H%x00%an%x00%ae%x00%aI%x00%B%x00"
_FIELDS = 5
FIRST = "1970-01-01T00:00:00Z"


def stamp(seconds: int, offset: int) -> str:
    """Format a time as Go does (RFC 3339). A time outside years 1 to 9999 becomes the epoch, as in git."""
    offset = offset if abs(offset) < 1440 else 0
    try:
        year, month, day, hour, minute, second, *_ = time.gmtime(seconds + 60 * offset)
    except (OverflowError, OSError, ValueError):
        return FIRST
    if not 0 < year <= 9999:
        return FIRST
    hours, minutes = divmod(abs(offset), 60)
    zone = f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}" if offset else "Z"
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"


class LogParser:
    """Parse chunks of ``git log -z`` with ``FORMAT``; chunks may end anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: list[bytes] = []

    def feed(self, data: bytes) -> list[GitCommitInfo]:
        """Return the commits completed by this chunk."""
        *fields, self._rest = (self._rest + data).split(b"\0")
        found = []
        for field in fields:
            # -z ends each record with one more NUL: an empty field where an id would be.
            if self._fields or field:
                self._fields.append(field)
            if len(self._fields) == _FIELDS:
                found.append(_info(self._fields))
                self._fields = []
        return found


def _info(fields: list[bytes]) -> GitCommitInfo:
    name, author, email, moment, message = (field.decode("utf-8", "replace") for field in fields)
    return GitCommitInfo(
        hash=name, author=author, email=email, message=message, timestamp=moment.replace("+00:00", "Z")
    )
