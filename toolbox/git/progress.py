"""Parse git's progress: lines such as ``Receiving objects:  44% (34260/77863), 23.45 MiB | 46.89 MiB/s``."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from toolbox.errors import ToolboxError, from_os_error
from toolbox.git.wire import Failure, Progress, RemoteLine, Result

_LINE = re.compile(
    r"(?P<remote>remote: )?(?P<phase>[A-Z][A-Za-z ]+): +(?P<percent>\d+)% \((?P<current>\d+)/(?P<total>\d+)\)"
    r"(?:, (?P<transferred>[\d.]+ [KMGi]*(?:B|bytes) \| [\d.]+ [KMGi]*B/s))?(?P<done>, done)?"
)
# Seconds between progress events; the end of a phase (100 %) is always sent.
INTERVAL = 0.2
# Queue size; with a slow reader further events are dropped.
WAITING = 256

Operate = Callable[[Callable[[str], None]], Coroutine[Any, Any, None]]
Send = Callable[[str, Any], Awaitable[None]]


def parse(line: str) -> Progress | RemoteLine | None:
    """Return the event for a line, None for lines that clients do not need."""
    match = _LINE.search(line)
    if match is not None:
        return Progress(
            phase=match["phase"],
            percent=int(match["percent"]),
            current=int(match["current"]),
            total=int(match["total"]),
            transferred=match["transferred"] or "",
        )
    if line.startswith("remote: ") and line.removeprefix("remote: ").strip():
        return RemoteLine(line=line.removeprefix("remote: ").rstrip())
    return None


class Reporter:
    """Run an operation and send its events: progress and remote lines, last a result or an error."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Progress | RemoteLine | None] = asyncio.Queue()
        self._last = 0.0
        self._sent = ("", -1)

    def say(self, line: str) -> None:
        """Queue the event of a line of git; too frequent events are dropped."""
        event = parse(line)
        if event is not None and self._events.qsize() < WAITING and self._passes(event):
            self._events.put_nowait(event)

    def _passes(self, event: Progress | RemoteLine) -> bool:
        now = time.monotonic()
        if isinstance(event, Progress):
            here = (event.phase, event.percent)
            if here == self._sent or (event.percent < 100 and now - self._last < INTERVAL):
                return False
            self._sent = here
        self._last = now
        return True

    async def run(self, operate: Operate, send: Send) -> None:
        """Run to the end. Cancelling the caller cancels the operation and waits for its cleanup."""
        work = asyncio.ensure_future(operate(self.say))
        work.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                await send("progress" if isinstance(event, Progress) else "remote", event)
            await send(*_end(work))
        finally:
            work.cancel()
            await asyncio.wait([work])


def _end(work: asyncio.Future[None]) -> tuple[str, Result | Failure]:
    error = work.exception()
    if error is None:
        return "result", Result(status="ok")
    if isinstance(error, OSError):
        error = from_os_error(error)
    if not isinstance(error, ToolboxError):
        raise error
    return "error", Failure(status_code=error.status, code=str(error.code), message=error.message)
