"""Commits as the wire wants them, from git's log or from libgit2."""

from __future__ import annotations

import datetime as dt

import msgspec

from toolbox.git.wire import GitCommitInfo

FORMAT = "%H%x00%an%x00%ae%x00%aI%x00%B%x00"
_FIELDS = 5


class Commit(msgspec.Struct, frozen=True):
    """A commit; ``time`` in seconds, ``offset`` of the author's zone in minutes."""

    hash: str
    author: str
    email: str
    message: str
    time: int
    offset: int

    def info(self) -> GitCommitInfo:
        """Return what goes over the wire."""
        moment = stamp(self.time, self.offset)
        return GitCommitInfo(
            hash=self.hash, author=self.author, email=self.email, message=self.message, timestamp=moment
        )


def stamp(seconds: int, offset: int) -> str:
    """Format a time in a zone, the way Go does."""
    zone = dt.timezone(dt.timedelta(minutes=offset)) if offset and abs(offset) < 1440 else dt.UTC
    return dt.datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds").replace("+00:00", "Z")


class LogParser:
    """Turn pieces of ``git log -z`` with ``FORMAT`` into commits; any split of the input gives the same."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: list[bytes] = []

    def feed(self, data: bytes) -> list[GitCommitInfo]:
        """Return the commits that are complete."""
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
