"""What is kept on disk of sessions: who they were, their commands and logs; for after a restart of the daemon.

One folder each, named at random: ids come from clients and are never part of a path. ``events`` holds a JSON line per
fact, appended as it happens, so that a crash costs at most the last one. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pathlib
import secrets
import shutil
import time

import msgspec

from toolbox import wire as codec
from toolbox.process.sessions.wire import Record

log = logging.getLogger(__name__)

EVENTS = "events"
MAX_AGE = 7 * 24 * 3600.0
MAX_BYTES = 512 * 1024 * 1024


class Folder:
    """The folder of one session; while it is open no other daemon takes it for one of the past."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._fd = -1

    @classmethod
    def make(cls, root: pathlib.Path) -> Folder:
        """Make a folder with a random name."""
        folder = cls(root / secrets.token_hex(16))
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.path.mkdir(0o700)
        folder._open()
        return folder

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path / EVENTS, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def log_path(self, command_id: str) -> pathlib.Path:
        """Return where the log of a command is; the ids of commands are ours."""
        return self.path / f"{command_id}.log"

    def record(self, record: Record) -> None:
        """Append a fact; a session goes on where that is not possible."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, codec.encode(record) + b"\n")
        except OSError as error:
            log.warning("session cannot be kept for a restart: %s: %s", self.path, error)

    def close(self) -> None:
        """Leave the folder for the next daemon; pipes have no use there."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        for path in self.path.iterdir():
            if path.name != EVENTS and path.suffix != ".log":
                path.unlink()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        shutil.rmtree(self.path, ignore_errors=True)


def restorable(root: pathlib.Path) -> list[tuple[Folder, list[Record]]]:
    """Return the folders that earlier daemons left, eldest first; what is too old or too much goes."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in root.iterdir():
            folder = Folder(path)
            if (records := _read(folder)) is not None:
                found.append(((path / EVENTS).stat().st_mtime, folder, records))
    found.sort(key=lambda item: item[0], reverse=True)
    kept, total = [], 0
    for changed, folder, records in found:
        total += sum(path.stat().st_size for path in folder.path.iterdir())
        if time.time() - changed > MAX_AGE or total > MAX_BYTES or not records:
            folder.remove()
        else:
            kept.append((folder, records))
    return kept[::-1]


def _read(folder: Folder) -> list[Record] | None:
    """Return the facts of a folder, up to one that was cut short; None if it belongs to a daemon that runs."""
    try:
        file = (folder.path / EVENTS).open("rb")
    except OSError as error:
        log.warning("archived session cannot be read: %s: %s", folder.path, error)
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        records: list[Record] = []
        with contextlib.suppress(msgspec.MsgspecError):
            records.extend(msgspec.json.decode(line, type=Record) for line in file)
        return records
