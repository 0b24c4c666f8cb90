"""Prometheus metrics: requests by route, the process, the delay of the event loop, and numbers of other components.

Requests are counted in dictionaries on the event loop; the first scrape imports prometheus-client, in a thread.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import concurrent.futures
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from toolbox.host.worker_pool import WorkerPool

TEXT = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Clients can send any method; a label must have a bounded set of values.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DELAY_LIMIT = 10.0


class _Durations(msgspec.Struct):
    """A histogram of one route."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        bounds = (*map(str, BUCKETS), "+Inf")
        return [(bound, sum(self.counts[: at + 1])) for at, bound in enumerate(bounds)]


class _Sample(msgspec.Struct, frozen=True):
    """One value of a scrape."""

    name: str
    text: str
    value: float
    counter: bool = False


class _Snapshot(msgspec.Struct, eq=False):
    """A copy of the counters for the thread that renders them, as the loop keeps counting."""

    requests: dict[tuple[str, str, int], int]
    durations: dict[tuple[str, str], tuple[list[tuple[str, int]], float]]
    numbers: list[_Sample]

    def collect(self) -> Iterator[Any]:
        """Yield the metric families; prometheus-client calls it."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        text = "requests by route template"
        requests = CounterMetricFamily("toolbox_http_requests", text, labels=["method", "route", "status"])
        for (method, route, status), count in sorted(self.requests.items()):
            requests.add_metric([method, route, str(status)], count)
        yield requests
        text = "time from the request line to the end of the answer"
        durations = HistogramMetricFamily("toolbox_http_request_duration_seconds", text, labels=["method", "route"])
        for key, (buckets, total) in sorted(self.durations.items()):
            durations.add_metric(list(key), buckets, total)
        yield durations
        for number in self.numbers:
            family = CounterMetricFamily if number.counter else GaugeMetricFamily
            yield family(number.name, number.text, number.value)


class PrometheusMetrics:
    """Count requests and render everything as Prometheus text."""

    def __init__(self, workers: WorkerPool, *, proc: str = "/proc") -> None:
        self._workers = workers
        self._proc = proc
        self._requests: collections.Counter[tuple[str, str, int]] = collections.Counter()
        self._durations: collections.defaultdict[tuple[str, str], _Durations] = collections.defaultdict(_Durations)
        self._sources: list[Callable[[], _Sample]] = []

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a finished request."""
        method = method if method in _METHODS else "other"
        self._requests[method, route, status] += 1
        self._durations[method, route].add(seconds)

    def add(self, name: str, text: str, read: Callable[[], float], *, counter: bool = False) -> None:
        """Publish a number as ``toolbox_<name>``; ``read`` runs on the loop at each scrape."""
        self._sources.append(lambda: _Sample(f"toolbox_{name}", text, read(), counter))

    async def render(self) -> bytes:
        """Return the response to one scrape."""
        snapshot = _Snapshot(
            requests=dict(self._requests),
            durations={key: (each.cumulative(), each.total) for key, each in self._durations.items()},
            numbers=[source() for source in self._sources],
        )
        return await self._workers.run(self._render, snapshot, asyncio.get_running_loop())

    def _render(self, snapshot: _Snapshot, loop: asyncio.AbstractEventLoop) -> bytes:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry, proc=self._proc)
        snapshot.numbers.append(_Sample("toolbox_event_loop_delay_seconds", "time to reach the loop", _delay(loop)))
        children = _children(self._proc)
        if children is not None:
            snapshot.numbers.append(_Sample("toolbox_children", "child processes", children))
        registry.register(snapshot)
        return generate_latest(registry)


def _delay(loop: asyncio.AbstractEventLoop) -> float:
    """Measure, from a thread, how long the loop takes to run a callback; once per scrape, without a timer."""
    done: concurrent.futures.Future[float] = concurrent.futures.Future()
    asked = time.perf_counter()
    loop.call_soon_threadsafe(lambda: done.set_result(time.perf_counter() - asked))
    try:
        return done.result(_DELAY_LIMIT)
    except TimeoutError:
        return _DELAY_LIMIT


def _children(proc: str) -> int | None:
    """Count child processes; None if the kernel does not list them (``CONFIG_PROC_CHILDREN``)."""
    count = 0
    try:
        for task in pathlib.Path(proc, "self/task").iterdir():
            count += len((task / "children").read_text(encoding="ascii").split())
    except OSError:
        return None
    return count
