"""One thread that does things in order, and tells the loop with as few steps in between as possible.

An executor would cost a third more per spawn: a future with a lock, and two more turns of the loop.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]


class Worker:
    """Run blocking calls one after the other; its thread starts with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], T], done: Done[T]) -> None:
        """Run ``call`` in the thread, then ``done`` on the loop with its result or its exception."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                result, error = call(), None
            except BaseException as caught:  # noqa: BLE001 - it belongs to whoever asked
                result, error = None, caught
            loop.call_soon_threadsafe(done, result, error)

        self._queue.put(work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Await a call; a caller that is cancelled does not stop it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        self.submit(call, done)
        return await future

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _run(self) -> None:
        # Children inherit the mask of the thread that makes them.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        while work := self._queue.get():
            work()
