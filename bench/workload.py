"""What a workload is: a name, a unit, and a coroutine that takes one sample or a batch of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import aiohttp


@dataclasses.dataclass(slots=True)
class Server:
    """A server under measurement; ``pid`` is known only if this run started it."""

    name: str
    url: str
    pid: int | None = None
    session: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """Return the open session."""
        if self.session is None:
            raise RuntimeError(f"no session for {self.name}")
        return self.session


Sample = Callable[[Server], Awaitable[list[float]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """One row. ``sample`` returns a list of values in ``unit``; it is called ``rounds`` times, servers in turn.

    ``per_second`` turns the mean into a rate: how many units of work one sample stands for.
    ``against`` names the baseline it is divided by, ``limit`` what that ratio may be.
    ``baseline`` rows ignore the server and measure the bare machine. ``needs_pid`` rows need a server of our own.
    """

    name: str
    sample: Sample
    unit: str = "ms"
    rounds: int = 5
    per_second: float | None = None
    baseline: bool = False
    needs_pid: bool = False
    against: str = ""
    limit: float | None = None
