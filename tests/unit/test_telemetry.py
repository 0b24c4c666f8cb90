"""Telemetry with a real collector on loopback, with one that hangs, and without one."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.timing import bare_spawn
from toolbox.host.env import Environment
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.system.api import Identity
from toolbox.system.component import SystemComponent
from toolbox.telemetry import EXPORT_TIMEOUT, Intervals, RequestRecord, Telemetry

QUICK = Intervals(traces=0.05, metrics=0.05, logs=0.05)
RESOURCE = {"service.name": "sandbox-box", "daytona_region_id": "eu"}
NAMES = {
    "cpu.utilization": 12.5,
    "cpu.limit": 2.0,
    "memory.utilization": 50.0,
    "memory.usage": 1024.0,
    "memory.limit": 2048.0,
    "memory.cache": 10.0,
    "filesystem.utilization": 25.0,
    "filesystem.usage": 25.0,
    "filesystem.available": 70.0,
    "filesystem.total": 100.0,
}
# An export that hangs is reported after the last test, when nothing is captured any more.
logging.getLogger("toolbox.telemetry").addHandler(logging.NullHandler())
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """An OTLP/HTTP collector that records what it receives and answers 200."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, ExportTraceServiceRequest]] = []
        self.metrics: list[tuple[str, ExportMetricsServiceRequest]] = []
        self.logs: list[tuple[str, ExportLogsServiceRequest]] = []
        self.changed = asyncio.Condition()
        self._runner = web.AppRunner(self._app())
        self.url = ""

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/base/v1/{signal}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        kinds = {
            "traces": (self.spans, ExportTraceServiceRequest),
            "metrics": (self.metrics, ExportMetricsServiceRequest),
            "logs": (self.logs, ExportLogsServiceRequest),
        }
        kept, kind = kinds[request.match_info["signal"]]
        kept.append((request.headers["sandbox-auth-token"], kind.FromString(await request.read())))  # type: ignore[attr-defined]
        async with self.changed:
            self.changed.notify_all()
        return web.Response()

    async def until(self, done: object) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(done)  # type: ignore[arg-type]

    def all_spans(self) -> list[object]:
        return [
            span
            for _, batch in self.spans
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def all_lines(self) -> list[object]:
        return [
            line
            for _, batch in self.logs
            for resource in batch.resource_logs
            for scope in resource.scope_logs
            for line in scope.log_records
        ]

    async def __aenter__(self) -> Collector:
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self._runner, listener).start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/base/"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as collector:
        yield collector


@pytest.fixture
async def telemetry(collector: Collector) -> AsyncIterator[Telemetry]:
    telemetry = Telemetry(collector.url, RESOURCE, lambda: NAMES, intervals=QUICK)
    yield telemetry
    await telemetry.close()


@pytest.fixture
def hole() -> Iterator[str]:
    """Return the URL of a collector that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def record(status: int = 200, headers: dict[str, str] | None = None) -> RequestRecord:
    return RequestRecord("GET", "/port/{port}/in-use", "/port/80/in-use", status, 10**18, 0.25, headers or {})


def plain(attributes: object) -> dict[str, object]:
    values = {}
    for item in attributes:  # type: ignore[attr-defined]
        values[item.key] = getattr(item.value, item.value.WhichOneof("value"))
    return values


async def ready(telemetry: Telemetry, token: str = "secret") -> None:
    telemetry.configure(token)
    await telemetry.settled()
    assert telemetry.active


async def test_request_becomes_a_span_below_the_trace_of_the_client(collector: Collector, telemetry: Telemetry) -> None:
    await ready(telemetry)
    telemetry.request(record(headers={"Traceparent": f"00-{TRACE}-{PARENT}-01", "Tracestate": "a=b"}))
    await collector.until(lambda: collector.spans)
    token, batch = collector.spans[0]
    assert token == "secret"
    assert plain(batch.resource_spans[0].resource.attributes).items() >= RESOURCE.items()
    (span,) = batch.resource_spans[0].scope_spans[0].spans
    assert span.name == "GET /port/{port}/in-use"
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "a=b")
    assert span.kind == 2
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert plain(span.attributes) == {
        "http.request.method": "GET",
        "http.route": "/port/{port}/in-use",
        "http.response.status_code": 200,
        "url.path": "/port/80/in-use",
    }


@pytest.mark.parametrize(("status", "code"), [(404, 0), (500, 2)])
async def test_only_server_errors_are_errors(
    collector: Collector, telemetry: Telemetry, status: int, code: int
) -> None:
    await ready(telemetry)
    telemetry.request(record(status))
    await collector.until(collector.all_spans)
    assert collector.all_spans()[0].status.code == code  # type: ignore[attr-defined]


async def test_gauges_have_the_names_the_sdk_reads(collector: Collector, telemetry: Telemetry) -> None:
    await ready(telemetry)
    await collector.until(lambda: collector.metrics)
    metrics = collector.metrics[0][1].resource_metrics[0].scope_metrics[0].metrics
    points = {metric.name: metric.gauge.data_points[0] for metric in metrics}
    assert {name: point.as_double for name, point in points.items()} == {
        f"daytona.sandbox.{name}": value for name, value in NAMES.items()
    }
    assert plain(points["daytona.sandbox.filesystem.usage"].attributes) == {"device": "/"}
    assert plain(points["daytona.sandbox.memory.usage"].attributes) == {}


async def test_log_lines_and_entrypoint_output_are_sent(collector: Collector, telemetry: Telemetry) -> None:
    await ready(telemetry)
    line = logging.LogRecord("toolbox.x", logging.WARNING, "", 0, "disk is %s", ("full",), None)
    line.request_id = "r1"
    telemetry.handler.handle(line)
    telemetry.handler.handle(logging.LogRecord("urllib3.pool", logging.INFO, "", 0, "feedback", (), None))
    telemetry.entrypoint("hello")
    telemetry.entrypoint("oops", error=True)
    await collector.until(lambda: len(collector.all_lines()) >= 3)
    # Each batch is a request of its own, and of two the later may be served first.
    found = [(line.body.string_value, line.severity_text, plain(line.attributes)) for line in collector.all_lines()]  # type: ignore[attr-defined]
    assert sorted(found) == [
        ("disk is full", "WARNING", {"logger": "toolbox.x", "request_id": "r1"}),
        ("hello", "INFO", {"daytona-entrypoint": "true"}),
        ("oops", "ERROR", {"daytona-entrypoint": "true"}),
    ]


async def test_new_token_replaces_the_exporters(collector: Collector, telemetry: Telemetry) -> None:
    for token in ("first", "second"):
        await ready(telemetry, token)
        telemetry.request(record())
    await collector.until(lambda: len(collector.all_spans()) >= 2)
    assert sorted(token for token, _ in collector.spans) == ["first", "second"]
    # The first one goes on until its turn to be closed comes; while it does, the two of them alternate.
    await collector.until(lambda: [token for token, _ in collector.metrics[-5:]] == ["second"] * 5)


async def test_without_an_endpoint_nothing_is_imported_or_started() -> None:
    code = (
        "import asyncio, sys\n"
        "from toolbox.telemetry import Telemetry\n"
        "async def main():\n"
        "    telemetry = Telemetry('', {}, dict)\n"
        "    telemetry.configure('t')\n"
        "    await telemetry.settled()\n"
        "    await telemetry.close()\n"
        "    print(telemetry.active, any(name.startswith('opentelemetry') for name in sys.modules))\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    assert out.decode().split() == ["False", "False"]


async def test_close_gives_a_collector_that_hangs_one_second(hole: str) -> None:
    telemetry = Telemetry(hole, RESOURCE, lambda: NAMES, intervals=QUICK)
    await ready(telemetry)
    telemetry.request(record())
    async with asyncio.timeout(EXPORT_TIMEOUT / 2):
        await telemetry.close()


async def test_close_flushes_what_is_queued(collector: Collector) -> None:
    telemetry = Telemetry(collector.url, RESOURCE, lambda: NAMES, intervals=Intervals(60, 60, 60))
    await ready(telemetry)
    telemetry.request(record())
    telemetry.entrypoint("last words")
    await telemetry.close()
    # On a slow machine the second that closing takes at most may pass before they arrive.
    await collector.until(lambda: collector.all_spans() and collector.all_lines())
    assert len(collector.all_spans()) == 1
    assert [line.body.string_value for line in collector.all_lines()] == ["last words"]  # type: ignore[attr-defined]


async def test_collector_that_refuses_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        telemetry = Telemetry(f"http://127.0.0.1:{unused.getsockname()[1]}", RESOURCE, lambda: NAMES, intervals=QUICK)
        with caplog.at_level(logging.INFO):
            await ready(telemetry)
            for _ in range(3):
                telemetry.request(record())
            await telemetry.close()
    logged = [line.getMessage() for line in caplog.records if "telemetry export" in line.getMessage()]
    assert len(logged) == len(set(logged))
    assert [line for line in caplog.records if line.name.startswith("opentelemetry")] == []


async def test_gauges_that_fail_turn_telemetry_off_and_nothing_else(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, float]:
        raise OSError("no /proc here")

    telemetry = Telemetry(collector.url, RESOURCE, broken, intervals=QUICK)
    telemetry.configure("t")
    await telemetry.settled()
    telemetry.request(record())
    await telemetry.close()
    assert "telemetry not started: no /proc here" in caplog.text


class Served:
    """The system component with telemetry, served on a port."""

    def __init__(self, endpoint: str) -> None:
        keys = SigningKeys()
        identity = Identity(version="1", home="/", workdir="/")
        self.component = SystemComponent(identity=identity, env=Environment({}), keys=keys, otel_endpoint=endpoint)
        self.server = HttpServer(collect(*self.component.apis), Access(keys), sandbox_id="box")
        self.server.observers.append(self.component.observe)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def __aenter__(self) -> Served:
        await self.server.start([self.listener])
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.server.drain(1)
        await self.server.close()
        await self.component.close()


async def test_init_over_http_answers_at_once_and_requests_are_traced(collector: Collector) -> None:
    async with Served(collector.url) as served, aiohttp.ClientSession(served.url) as http:
        bare = bare_spawn()
        started = time.monotonic()
        async with http.post("/init", data=b'{"token": "from init"}') as answer:
            assert answer.status == 200
        assert time.monotonic() - started < 100 * bare
        await served.component.telemetry.settled()
        async with http.get("/work-dir", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}):
            pass
    await collector.until(collector.all_spans)  # closing flushes
    spans = collector.all_spans()
    assert [span.name for span in spans] == ["GET /work-dir"]  # type: ignore[attr-defined]
    assert spans[0].trace_id.hex() == TRACE  # type: ignore[attr-defined]
    assert collector.spans[0][0] == "from init"


async def test_hanging_collector_slows_no_request(hole: str) -> None:
    async with Served(hole) as served, aiohttp.ClientSession(served.url) as http:

        async def seconds() -> float:
            started = time.monotonic()
            for _ in range(300):
                async with http.get("/version"):
                    pass
            return time.monotonic() - started

        without = await seconds()
        async with http.post("/init", data=b'{"token": "t"}'):
            pass
        await served.component.telemetry.settled()
        # A single request that waited for the collector would cost five seconds.
        assert await seconds() < 8 * without
