"""One watched directory: a thread that waits for changes, and a ring buffer of changes for all clients."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from toolbox.errors import StorageFull
from toolbox.fs.tree import entries
from toolbox.host.paths import encode, show
from toolbox.host.worker_pool import WorkerPool
from toolbox.wire import now

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

log = logging.getLogger(__name__)

# Changes kept for slow and reconnecting clients.
RING = 8192
# Entries at most that are reported from inside a new directory.
_RESCAN = 4096
_FORCE_POLLING, _POLL_MS = False, 300

Kind = Literal["READY", "CREATE", "WRITE", "DELETE", "OVERFLOW"]
_KINDS: dict[int, Kind] = {1: "CREATE", 2: "WRITE", 3: "DELETE"}


class Change(NamedTuple):
    """One change of one path, with the time it was seen."""

    kind: Kind
    path: bytes
    is_dir: bool
    time: str


class WatchFeed:
    """Numbered changes below one path; a reader is a position in the ring buffer, so a slow one delays no other."""

    def __init__(self, path: bytes, workers: WorkerPool, *, recursive: bool, debounce: int) -> None:
        self.path = path
        self.token = secrets.token_hex(6)
        self.readers = 0
        self.latest = 0  # the number of the latest change
        self.ended = False
        self._workers = workers
        self._recursive = recursive
        self._debounce = debounce
        self._ring: collections.deque[Change] = collections.deque(maxlen=RING)
        self._changed = asyncio.Event()
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._thread: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Return when the watch is active: every later change is reported."""
        started: asyncio.Future[None] = self._loop.create_future()
        self._thread = asyncio.ensure_future(self._workers.run_until(self._stop, self._run, started))
        await asyncio.wait([started, self._thread], return_when=asyncio.FIRST_COMPLETED)
        if self._thread.done():
            self._thread.result()
        log.info("watch started", extra={"watch": self.token, "recursive": self._recursive})

    async def after(self, position: int) -> tuple[int, list[Change]] | None:
        """Wait for changes after a position; return None if some are lost, an empty list if the feed has ended."""
        while position >= self.latest and not self.ended:
            changed = self._changed
            await changed.wait()
        missing = self.latest - position
        if missing > len(self._ring):
            return None
        return self.latest, list(self._ring)[len(self._ring) - missing :] if missing else []

    def knows(self, position: int) -> bool:
        """Tell whether every change after a position is still in the ring buffer."""
        return 0 <= self.latest - position <= len(self._ring)

    def _publish(self, changes: list[Change], *, lost: bool = False) -> None:
        if lost:
            self._ring.clear()
            self.latest += 1
        self._ring.extend(changes)
        self.latest += len(changes)
        self._wake()

    def _wake(self) -> None:
        # A new event each time: with clear() a reader that runs later would miss this change.
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Stop the thread and wake all readers."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.wait([self._thread])
            if not self._thread.cancelled() and (error := self._thread.exception()) is not None:
                log.debug("watch failed: %s: %s", show(self.path), error)
        self.ended = True
        self._wake()
        log.info("watch ended", extra={"watch": self.token, "changes": self.latest})

    # The methods below run in the thread.

    def _run(self, started: asyncio.Future[None]) -> None:
        from watchfiles._rust_notify import WatchfilesRustInternalError

        try:
            notify = self._open()
            self._loop.call_soon_threadsafe(_set, started)
            while not self._stop.is_set():
                try:
                    self._wait(notify)
                except WatchfilesRustInternalError as error:
                    # watchfiles stops at a name that is not UTF-8. Changes until the new watch is active are lost.
                    log.debug("watch restarted: %s: %s", show(self.path), error)
                    notify.close()
                    notify = self._open()
                    self._loop.call_soon_threadsafe(lambda: self._publish([], lost=True))
            notify.close()
        finally:
            self.ended = True
            self._loop.call_soon_threadsafe(self._wake)

    def _open(self) -> RustNotify:
        from watchfiles._rust_notify import RustNotify

        os.stat(self.path)
        path = os.fsdecode(self.path)
        # Strict first: when it ignores permission errors, watchfiles hides ENOSPC too, an exhausted limit of watches.
        for lenient in (False, True):
            try:
                return RustNotify([path], False, _FORCE_POLLING, _POLL_MS, self._recursive, lenient)
            except PermissionError:
                if lenient:
                    raise
            except OSError as error:
                if "limit" not in str(error).lower():
                    raise
                raise StorageFull(
                    f"{show(self.path)}: too many watches, raise the sysctl fs.inotify.max_user_watches"
                ) from error
        raise AssertionError("unreachable")

    def _wait(self, notify: RustNotify) -> None:
        batch = notify.watch(self._debounce * 10, self._debounce, 0, self._stop)
        if isinstance(batch, str):
            return
        changes = self._complete({(_KINDS[kind], encode(path)) for kind, path in batch})
        self._loop.call_soon_threadsafe(self._publish, changes)

    def _complete(self, batch: set[tuple[Kind, bytes]]) -> list[Change]:
        """Sort a batch and add what new directories contained before their own watch was active."""
        known = {path for _, path in batch}
        found: list[Change] = []
        for kind, path in sorted(batch, key=lambda item: (item[1], item[0])):
            is_dir = kind != "DELETE" and os.path.isdir(path) and not os.path.islink(path)
            found.append(Change(kind, path, is_dir, now()))
            if kind == "CREATE" and is_dir and self._recursive:
                found += [
                    Change("CREATE", inner, inside, now()) for inner, inside in _below(path) if inner not in known
                ]
        return found


def _below(path: bytes) -> Iterable[tuple[bytes, bool]]:
    """Yield what is in a new directory, up to a bound."""
    waiting, count = [path], 0
    while waiting and count < _RESCAN:
        with contextlib.suppress(OSError):
            for entry in entries(waiting.pop()):
                count += 1
                is_dir = entry.is_dir(follow_symlinks=False)
                yield entry.path, is_dir
                if is_dir:
                    waiting.append(entry.path)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
