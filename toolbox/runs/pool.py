"""Keep prepared items ready: kernels, desktops, or workers that one supervised child hands out.

``take`` returns a ready item and has the next ones made in the background, one creation at a time.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Pool(Generic[T]):
    """Items of one kind that are ready to be taken; a taken item belongs to its taker.

    ``create`` makes one or more items, none if it cannot; it must end in bounded time and is never cancelled.
    ``retire`` ends an item that is not taken. ``alive`` tells whether an item can still be used. New ones are made
    while fewer than ``keep`` are ready, ``delay`` seconds after a take so that the work does not slow down the taker.
    """

    def __init__(
        self,
        name: str,
        create: Callable[[], Awaitable[Sequence[T]]],
        retire: Callable[[T], Awaitable[None]],
        alive: Callable[[T], bool],
        *,
        keep: int = 1,
        delay: float = 0.0,
    ) -> None:
        self._name = name
        self._create = create
        self._retire = retire
        self._alive = alive
        self._keep = keep
        self._delay = delay
        self._ready: collections.deque[T] = collections.deque()
        self._generation = 0
        self._creation: asyncio.Task[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """Return the number of items that are ready."""
        return len(self._ready)

    async def take(self) -> T | None:
        """Return a ready item, or wait for one to be created; None if none could be, or the pool is closed.

        Raises what ``create`` raises.
        """
        while not self._closed:
            item = self._pop()
            if item is not None:
                self._prepare_later()
                return item
            # A caller that is cancelled must not cancel what others wait for.
            if not await asyncio.shield(self._start_creation()) and not self._ready:
                return None
        return None

    def prepare(self) -> None:
        """Have items made in the background, now, if fewer than ``keep`` are ready."""
        if self._is_short():
            self._start_creation()

    def renew(self) -> None:
        """Begin a new generation: retire what was made, and what is being made, before now."""
        self._generation += 1
        while self._ready:
            self._retire_soon(self._ready.popleft())
        self.prepare()

    async def close(self) -> None:
        """Retire all items; wait for what is being created and retired."""
        self._closed = True
        self._cancel_timer()
        if self._creation is not None:
            await asyncio.wait([self._creation])
        while self._ready:
            self._retire_soon(self._ready.popleft())
        while self._retiring:
            await asyncio.wait(self._retiring)

    def _pop(self) -> T | None:
        while self._ready:
            item = self._ready.popleft()
            if self._alive(item):
                return item
            self._retire_soon(item)
        return None

    def _is_short(self) -> bool:
        return not self._closed and self._creation is None and len(self._ready) < self._keep

    def _prepare_later(self) -> None:
        """Prepare after the delay, also when nothing is left: a taker that comes earlier does not wait for it."""
        if self._timer is None and self._is_short():
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._start_creation)

    def _start_creation(self) -> asyncio.Task[int]:
        """Return the task that creates items now, a new one if there is none."""
        self._cancel_timer()
        if self._creation is None:
            self._creation = asyncio.create_task(self._make(), name=f"create {self._name}")
            # Its error has been logged; asyncio would report it again if no taker waits.
            self._creation.add_done_callback(lambda creation: creation.cancelled() or creation.exception())
        return self._creation

    async def _make(self) -> int:
        """Create items; return how many."""
        generation = self._generation
        try:
            items = await self._create()
        except Exception as error:
            log.warning("%s cannot be prepared: %s", self._name, str(error) or type(error).__name__)
            raise
        finally:
            self._creation = None
        for item in items:
            if generation == self._generation:
                self._ready.append(item)
            else:
                self._retire_soon(item)
        if items:
            self._prepare_later()
        return len(items)

    def _retire_soon(self, item: T) -> None:
        task = asyncio.create_task(self._end(item), name=f"retire {self._name}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end(self, item: T) -> None:
        try:
            await self._retire(item)
        except Exception:
            log.exception("%s cannot be retired", self._name)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
