"""Named, bounded thread pools, one per kind of blocking work.

Calls that hang on a dead network mount use up the threads of their own pool only. A thread cannot be interrupted, so a
cancelled caller waits until its call has returned: clean-up code never runs at the same time as the call.

``ThreadPoolExecutor`` with ``run_in_executor`` costs two futures, a lock and three more loop iterations per call:
0.5 ms, for calls that mostly take 0.2 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]


class _Work(NamedTuple):
    call: Callable[[], Any]
    done: Done[Any]
    loop: asyncio.AbstractEventLoop


class WorkerPool:
    """Run blocking calls in order of arrival on at most ``size`` threads, which start on demand."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Calls queued or running; used on the loop only.
        self._open = 0
        self._closed = False

    def submit(self, call: Callable[[], T], done: Done[T]) -> None:
        """Run ``call`` in a thread, then ``done`` on the loop with its result or its exception."""

        def finished(result: T | None, error: BaseException | None) -> None:
            self._open -= 1
            done(result, error)

        if self._closed:
            raise RuntimeError(f"worker pool is closed: {self._name}")
        self._queue.put(_Work(call, finished, asyncio.get_running_loop()))
        self._open += 1
        if self._open > len(self._threads) < self._size:
            number = len(self._threads)
            thread = threading.Thread(target=self._work, name=f"{self._name}_{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a blocking call."""
        return await self._wait(functools.partial(call, *args, **kwargs), None)

    async def run_until(self, stop: threading.Event, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a long call that checks ``stop``, an event that is set when the caller is cancelled."""
        return await self._wait(functools.partial(call, *args, **kwargs), stop)

    async def _wait(self, call: Callable[[], T], stop: threading.Event | None) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        returned = loop.create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            if not returned.done():
                returned.set_result(None)
            if answer.done():
                return
            if isinstance(error, asyncio.CancelledError):
                answer.cancel()
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        self.submit(call, done)
        try:
            return await answer
        except asyncio.CancelledError:
            if stop is not None:
                stop.set()
            await returned
            raise

    async def close(self) -> None:
        """Cancel queued calls and wait for running ones."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while work := self._queue.get_nowait():
                work.done(None, asyncio.CancelledError())
        threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        if threads:
            await _joined(threads)

    def _work(self) -> None:
        # Children inherit the signal mask of the thread that forks them.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        while work := self._queue.get():
            result, error = None, None
            try:
                result = work.call()
            except BaseException as caught:  # noqa: BLE001 - raised again in the caller
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
                work.loop.call_soon_threadsafe(work.done, result, error)
            # Otherwise these locals keep the result alive until the next call.
            del work, result, error


async def _joined(threads: list[threading.Thread]) -> None:
    """Join threads in another thread: ``join`` blocks."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def join() -> None:
        for thread in threads:
            thread.join()
        loop.call_soon_threadsafe(ended.set_result, None)

    threading.Thread(target=join, name="worker-pool-join", daemon=True).start()
    await ended
