"""Named, bounded pools of threads: one lane per kind of blocking work.

A scan of a dead network mount fills its own lane and nothing else. A thread cannot be interrupted, so a
cancelled caller still waits until its call has returned: whoever cleans up afterwards never races it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Run blocking calls on at most ``workers`` threads, the rest in a queue."""

    def __init__(self, name: str, workers: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a blocking call."""
        return await self._wait(functools.partial(call, *args, **kwargs), None)

    async def run_until(self, stop: threading.Event, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a long call that looks at ``stop``, which is set if the caller is cancelled."""
        return await self._wait(functools.partial(call, *args, **kwargs), stop)

    async def _wait(self, call: Callable[[], T], stop: threading.Event | None) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if stop is not None:
                stop.set()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # retrieved, so that the loop does not report it as lost
            raise

    async def close(self) -> None:
        """Drop what is queued and wait for what runs."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def stop() -> None:
            self._pool.shutdown(cancel_futures=True)
            loop.call_soon_threadsafe(done.set_result, None)

        threading.Thread(target=stop, name="lane closer", daemon=True).start()
        await done
