"""Wait until a terminal shows or wrote a text, or has no output for a while."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Literal

from toolbox.errors import TooManyRequests
from toolbox.process.terminals.matching import Matcher, plain
from toolbox.process.terminals.screens import MOST, Screens
from toolbox.process.terminals.terminal import Terminal
from toolbox.process.terminals.wire import WaitRequest, WaitResponse

MAX_WAITS = 32
TIMEOUT = 30.0
QUIET = 0.5
# Output arrives in many pieces: drawing the screen for each would take longer than this.
SETTLE = 0.02


class Waits:
    """Serve requests that wait for a terminal."""

    def __init__(self, screens: Screens) -> None:
        self._screens = screens
        self._running = 0

    async def wait(self, terminal: Terminal, request: WaitRequest) -> WaitResponse:
        """Wait for the first condition of a request that is true."""
        if self._running >= MAX_WAITS:
            raise TooManyRequests(f"terminals: {MAX_WAITS} requests wait already")
        self._running += 1
        wait = _Wait(self._screens, terminal, request)
        watch = asyncio.create_task(wait.watch(), name="terminal activity")
        try:
            with terminal.holding():
                return await wait.run()
        finally:
            self._running -= 1
            watch.cancel()
            await asyncio.wait([watch])


class _Wait:
    """One request, with the time of the last output of its terminal and an event for new output."""

    def __init__(self, screens: Screens, terminal: Terminal, request: WaitRequest) -> None:
        self._screens = screens
        self._terminal = terminal
        self._request = request
        self._changed = asyncio.Event()
        self._last = asyncio.get_running_loop().time()
        self._ended = False
        self._since = terminal.output.size if request.since is None else request.since
        timeout = TIMEOUT if request.timeout_ms is None else request.timeout_ms / 1000
        self._deadline = self._last + timeout
        self._matches = request.text is not None or request.regex is not None
        if request.quiet_ms is not None:
            self._quiet = request.quiet_ms / 1000
        else:
            self._quiet = math.inf if self._matches else QUIET

    async def watch(self) -> None:
        """Follow the output to its end."""
        output = self._terminal.output
        async with contextlib.aclosing(output.follow(output.size)) as chunks:
            async for _ in chunks:
                self._last = asyncio.get_running_loop().time()
                self._changed.set()
        self._ended = True
        self._changed.set()

    async def run(self) -> WaitResponse:
        """Check the conditions, then wait for new output, until one is true."""
        matcher = await self._screens.workers.run(Matcher, self._request.text, self._request.regex)
        while True:
            # Before the search, which then covers all output if it has ended.
            ended = self._ended
            answer = await self._search(matcher) if self._matches else None
            if answer is not None:
                return answer
            if ended:
                return await self._answer("exited")
            quiet = self._last + self._quiet
            if not await self._more(min(self._deadline, quiet)):
                return await self._answer("quiet" if quiet < self._deadline else "timeout")
            if self._matches:
                await asyncio.sleep(SETTLE)

    async def _more(self, until: float) -> bool:
        """Wait for new output or the end of it; return False if the time ``until`` comes first."""
        try:
            async with asyncio.timeout_at(until if until < math.inf else None):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _search(self, matcher: Matcher) -> WaitResponse | None:
        screen = await self._screens.show(self._terminal)
        where = screen.text if self._request.on != "output" else await self._output()
        found = await self._screens.workers.run(matcher.search, where)
        return None if found is None else WaitResponse(reason="match", matched=found, screen=screen)

    async def _answer(self, reason: Literal["quiet", "exited", "timeout"]) -> WaitResponse:
        return WaitResponse(reason=reason, screen=await self._screens.show(self._terminal))

    async def _output(self) -> str:
        output = self._terminal.output
        start = max(self._since, output.size - MOST)
        data = b"".join([chunk.data async for chunk in output.chunks(start)])
        return await self._screens.workers.run(plain, data)
