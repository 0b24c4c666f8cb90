"""Watch files for changes: clients share feeds, each with its own filters, and can resume after a disconnect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from toolbox.errors import TooManyRequests
from toolbox.fs.globs import Glob
from toolbox.fs.info import base_name
from toolbox.fs.watch_feed import Change, WatchFeed
from toolbox.fs.wire import WatchEvent, WatchQuery
from toolbox.host.paths import Workdir, clean, decode, encode, raw, show
from toolbox.host.worker_pool import WorkerPool
from toolbox.wire import now

MAX_FEEDS = 32
# Seconds that a feed without readers is kept for a client that reconnects with a cursor.
LINGER = 60.0

_Key = tuple[bytes, bool, int]


class Watches:
    """Own the feeds: one thread each, shared by all clients with the same directory, depth and debounce interval."""

    def __init__(self, workdir: Workdir, workers: WorkerPool) -> None:
        self._workdir = workdir
        self._workers = workers
        self._feeds: dict[_Key, WatchFeed] = {}
        self._timers: dict[_Key, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def watch(self, query: WatchQuery, cursor: str | None) -> AsyncGenerator[WatchEvent]:
        """Return the events: READY, then the changes since ``cursor``, or from now on without one."""
        root, is_dir = await self._workers.run(_real, self._workdir.resolve(query.path))
        subscription = _Subscription(root, query, is_dir=is_dir)
        key = (subscription.watched, query.recursive != "false", query.debounce)
        feed = await self._feed(key)
        return self._events(key, feed, subscription, cursor)

    async def _feed(self, key: _Key) -> WatchFeed:
        async with self._lock:
            feed = self._feeds.get(key)
            if feed is None or feed.ended:
                self._make_room()
                feed = WatchFeed(key[0], self._workers, recursive=key[1], debounce=key[2])
                await feed.start()
                self._feeds[key] = feed
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
            feed.readers += 1
            return feed

    def _make_room(self) -> None:
        if len(self._feeds) < MAX_FEEDS:
            return
        idle = next(iter(self._timers), None)
        if idle is None:
            raise TooManyRequests(f"too many watched directories: limit is {MAX_FEEDS}")
        self._close_feed(idle)

    def _close_feed(self, key: _Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        task = asyncio.create_task(self._feeds.pop(key).close(), name="close watch")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _events(
        self, key: _Key, feed: WatchFeed, subscription: _Subscription, cursor: str | None
    ) -> AsyncGenerator[WatchEvent]:
        try:
            position, known = _position(feed, cursor)
            yield subscription.notice("READY" if known else "OVERFLOW", f"{feed.token}-{position}")
            while not feed.ended:
                found = await feed.after(position)
                if found is None:
                    position = feed.latest
                    yield subscription.notice("OVERFLOW", f"{feed.token}-{position}")
                    continue
                first = position + 1
                position, changes = found
                for number, change in enumerate(changes, first):
                    if subscription.shows(change):
                        yield subscription.event(change, f"{feed.token}-{number}")
        finally:
            self._leave(key, feed)

    def _leave(self, key: _Key, feed: WatchFeed) -> None:
        feed.readers -= 1
        if not feed.readers and self._feeds.get(key) is feed:
            self._timers[key] = asyncio.get_running_loop().call_later(LINGER, self._close_feed, key)

    async def close(self) -> None:
        """Close all feeds."""
        for key in list(self._feeds):
            self._close_feed(key)
        if self._closing:
            await asyncio.wait(self._closing)


def _real(path: bytes) -> tuple[bytes, bool]:
    """Return the resolved path, which is how events name it, and whether it is a directory."""
    os.stat(path)
    return os.path.realpath(path), os.path.isdir(path)


def _position(feed: WatchFeed, cursor: str | None) -> tuple[int, bool]:
    """Return the position to read from, and False if changes since the cursor are lost."""
    if not cursor:
        return feed.latest, True
    token, _, number = cursor.partition("-")
    if token == feed.token and number.isascii() and number.isdecimal() and feed.knows(int(number[:18])):
        return int(number), True
    return feed.latest, False


class _Subscription:
    """The filters of one client, and the form in which it gets paths."""

    def __init__(self, root: bytes, query: WatchQuery, *, is_dir: bool) -> None:
        # A file is watched through its directory: editors replace files, and an inotify watch stays on the old inode.
        self.watched = root if is_dir else os.path.dirname(root)
        self._only = None if is_dir else root
        self._written = encode(query.path)
        self._cut = len(os.path.join(root, b""))
        self._include = [Glob(pattern) for pattern in query.include or []]
        self._exclude = [Glob(pattern) for pattern in query.exclude or []]

    def shows(self, change: Change) -> bool:
        """Tell whether a change passes the filters."""
        if self._only is not None and change.path != self._only:
            return False
        name, relative = decode(base_name(change.path)), decode(change.path[self._cut :])
        if any(glob.matches(name, relative) for glob in self._exclude):
            return False
        return not self._include or any(glob.matches(name, relative) for glob in self._include)

    def event(self, change: Change, number: str) -> WatchEvent:
        """Return the event of a change."""
        shown = clean(self._written, change.path[self._cut :])
        return WatchEvent(
            id=number,
            type=change.kind,
            path=show(shown),
            name=show(base_name(change.path)),
            is_dir=change.is_dir,
            timestamp=change.time,
            raw_path=raw(shown),
        )

    def notice(self, kind: str, number: str) -> WatchEvent:
        """Return an event about the watch itself."""
        return WatchEvent(
            id=number,
            type="READY" if kind == "READY" else "OVERFLOW",
            path=show(self._written),
            name=show(base_name(self._written)),
            is_dir=self._only is None,
            timestamp=now(),
        )
