"""A journal of temporary files, from which a start after SIGKILL removes what the killed daemon left.

Each path is appended before the file is created; the journal is truncated whenever no file is pending. The daemon holds
an ``flock`` on its journal, which the kernel releases when the process ends: a journal that can be locked is stale. See
ADR 10.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import threading

from toolbox.host.removal import remove

log = logging.getLogger(__name__)

_OURS = re.compile(rb"\.toolbox-[0-9a-f]{16}\.tmp")
_JOURNALS = 64


def temporary_name() -> bytes:
    """Return a new random name that the removal of stale files recognises."""
    return b".toolbox-%s.tmp" % secrets.token_hex(8).encode()


class Journal:
    """Record temporary paths in ``directory``; usable from any thread."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._live: set[bytes] = set()
        self._fd: int | None = None
        self._opened = False

    def start(self) -> int:
        """Lock a journal and remove the files of stale ones; return the number of removed paths."""
        with self._lock:
            return self._open()

    def _open(self) -> int:
        if self._opened:
            return 0
        self._opened = True
        try:
            os.makedirs(self._directory, 0o755, exist_ok=True)
            return self._take()
        except OSError as error:
            log.warning("journal of temporary files is not writable: %s: %s", self._directory, error.strerror)
            return 0

    def _take(self) -> int:
        removed = 0
        for number in range(_JOURNALS):
            path = os.path.join(self._directory, f"temporary-{number}.journal")
            if self._fd is not None and not os.path.exists(path):
                break
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                continue
            removed += _sweep(fd)
            if self._fd is None:
                self._fd = fd
            else:
                os.close(fd)
        return removed

    def add(self, path: bytes) -> None:
        """Record a path before it is created."""
        with self._lock:
            self._open()
            self._live.add(path)
            if self._fd is not None:
                os.write(self._fd, path + b"\0")

    def drop(self, path: bytes) -> None:
        """Remove the record of a path that was deleted or renamed."""
        with self._lock:
            self._live.discard(path)
            if not self._live and self._fd is not None:
                os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Remove the files still recorded: their writers were cut off by a shutdown that ran out of time."""
        with self._lock:
            for path in self._live:
                _discard(path)
            self._live.clear()
            if self._fd is not None:
                os.ftruncate(self._fd, 0)
                os.close(self._fd)
            self._fd, self._opened = None, False


def _sweep(fd: int) -> int:
    removed = 0
    for path in os.pread(fd, os.fstat(fd).st_size, 0).split(b"\0"):
        if os.path.isabs(path) and _OURS.fullmatch(os.path.basename(path)):
            removed += _discard(path)
    os.ftruncate(fd, 0)
    return removed


def _discard(path: bytes) -> bool:
    try:
        remove(path, recursive=True)
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("temporary file cannot be removed: %s", error)
        return False
    log.info("temporary file removed: %s", path.decode("utf-8", "replace"))
    return True
