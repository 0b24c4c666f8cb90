"""OpenTelemetry traces, metrics and logs over OTLP/HTTP; without an endpoint disabled and not imported.

Recording appends to a bounded queue. Import, export and flush are slow and run in daemon threads, so a collector that
hangs delays neither a request nor the exit of the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

log = logging.getLogger(__name__)

HEADER = "sandbox-auth-token"
PREFIX = "daytona.sandbox."
FLUSH_SECONDS = 1.0
EXPORT_TIMEOUT = 5.0
# Loggers not exported: exporting a record logs through them, which would be an endless loop.
_OWN_LOGGERS = ("opentelemetry", "urllib3", "requests", "toolbox.telemetry")
_UNITS = {"utilization": "%", "limit": "By", "usage": "By", "cache": "By", "available": "By", "total": "By"}

Gauges = Callable[[], Mapping[str, float]]


class RequestRecord(msgspec.Struct, frozen=True):
    """The values of a finished request that its span needs."""

    method: str
    route: str
    path: str
    status: int
    started_ns: int
    seconds: float
    headers: Mapping[str, str]


class Intervals(msgspec.Struct, frozen=True):
    """Seconds between two exports of each signal."""

    traces: float = 5.0
    metrics: float = 10.0
    logs: float = 1.0


class Telemetry:
    """Own the current exporters, if any; ``configure`` replaces them."""

    def __init__(
        self,
        endpoint: str,
        resource: Mapping[str, str],
        gauges: Gauges,
        *,
        intervals: Intervals | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._resource = dict(resource)
        self._gauges = gauges
        self._intervals = intervals or Intervals()
        self._exporters: _Exporters | None = None
        self._token: str | None = None
        self._task: asyncio.Task[None] | None = None
        self.handler: logging.Handler = _LogExport(self)

    @property
    def active(self) -> bool:
        """Tell whether exporters are running."""
        return self._exporters is not None

    def configure(self, token: str) -> None:
        """Export with this token from now on; return at once and set up in the background."""
        if not self._endpoint:
            return
        self._token = token
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._set_up(), name="telemetry set-up")

    async def settled(self) -> None:
        """Wait until the latest ``configure`` has taken effect."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _set_up(self) -> None:
        # A loop: configure() may store another token while the exporters of this one are built.
        while self._token is not None:
            token, self._token = self._token, None
            try:
                fresh = await _in_thread(
                    _Exporters, self._endpoint, token, self._resource, self._gauges, self._intervals
                )
            except Exception as error:  # noqa: BLE001 - a fault of telemetry must not fail anything else
                log.warning("telemetry not started: %s", error)
                continue
            old, self._exporters = self._exporters, fresh
            if old is not None:
                _in_thread(old.close)
            log.info("telemetry started", extra={"endpoint": self._endpoint})

    def request(self, record: RequestRecord) -> None:
        """Record a finished request as a span."""
        if self._exporters is not None:
            self._exporters.span(record)

    def entrypoint(self, text: str, *, error: bool = False) -> None:
        """Record output of the entrypoint command as a log line: INFO from stdout, ERROR from stderr."""
        self.line(logging.ERROR if error else logging.INFO, text, {"daytona-entrypoint": "true"})

    def line(self, level: int, text: str, attributes: dict[str, str]) -> None:
        """Record a log line."""
        if self._exporters is not None:
            self._exporters.line(level, text, attributes)

    async def close(self) -> None:
        """Flush the queues, for at most ``FLUSH_SECONDS``."""
        if self._task is not None:
            self._token = None
            self._task.cancel()
            await asyncio.wait([self._task])
        exporters, self._exporters = self._exporters, None
        if exporters is not None:
            await asyncio.wait([_in_thread(exporters.close)], timeout=FLUSH_SECONDS)
            log.info("telemetry stopped")


class _LogExport(logging.Handler):
    """Export the log records of the daemon; called in the thread of the log listener."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        if self._telemetry.active and not record.name.startswith(_OWN_LOGGERS):
            attributes = {"logger": record.name}
            if getattr(record, "request_id", ""):
                attributes["request_id"] = record.__dict__["request_id"]
            self._telemetry.line(record.levelno, self.format(record), attributes)


class _Exporters:
    """The providers of the three signals for one token; built and closed in a thread, because both block."""

    def __init__(
        self, endpoint: str, token: str, resource: Mapping[str, str], gauges: Gauges, intervals: Intervals
    ) -> None:
        from opentelemetry.baggage.propagation import W3CBaggagePropagator
        from opentelemetry.propagators.composite import CompositePropagator
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # It logs every failed export; we log each change between failing and working (see _log_changes).
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._headers = {HEADER: token}
        self._endpoint = endpoint
        self._context = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
        # Not Resource.create: it reads OTEL_* variables, which are meant for the programs of the user.
        attributes = Resource({"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python", **resource})
        self._traces = self._make_traces(attributes, intervals.traces)
        self._tracer = self._traces.get_tracer("toolbox")
        self._metrics = self._make_metrics(attributes, intervals.metrics, _GaugeCache(gauges))
        self._logs = self._make_logs(attributes, intervals.logs)
        self._logger = self._logs.get_logger("toolbox")

    def _make_traces(self, resource: Any, interval: float) -> Any:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        exporter = OTLPSpanExporter(f"{self._endpoint}/v1/traces", headers=self._headers, timeout=EXPORT_TIMEOUT)
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        batches = BatchSpanProcessor(
            _log_changes(exporter, "traces"), 2048, interval * 1000, 512, EXPORT_TIMEOUT * 1000
        )
        provider.add_span_processor(batches)
        return provider

    def _make_metrics(self, resource: Any, interval: float, cache: _GaugeCache) -> Any:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        exporter = OTLPMetricExporter(f"{self._endpoint}/v1/metrics", headers=self._headers, timeout=EXPORT_TIMEOUT)
        reader = PeriodicExportingMetricReader(
            _log_changes(exporter, "metrics"), interval * 1000, EXPORT_TIMEOUT * 1000
        )
        provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = provider.get_meter("toolbox")
        for name in cache.names():
            meter.create_observable_gauge(PREFIX + name, callbacks=[cache.callback(name)], unit=_unit(name))
        return provider

    def _make_logs(self, resource: Any, interval: float) -> Any:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        exporter = OTLPLogExporter(f"{self._endpoint}/v1/logs", headers=self._headers, timeout=EXPORT_TIMEOUT)
        provider = LoggerProvider(resource, shutdown_on_exit=False)
        batches = BatchLogRecordProcessor(
            _log_changes(exporter, "logs"), interval * 1000, 512, EXPORT_TIMEOUT * 1000, 2048
        )
        provider.add_log_record_processor(batches)
        return provider

    def span(self, record: RequestRecord) -> None:
        """Queue the span of a finished request as a child of the trace context in its headers."""
        from opentelemetry.trace import SpanKind, StatusCode

        span = self._tracer.start_span(
            f"{record.method} {record.route}",
            context=self._context.extract({name.lower(): value for name, value in record.headers.items()}),
            kind=SpanKind.SERVER,
            start_time=record.started_ns,
            attributes={
                "http.request.method": record.method,
                "http.route": record.route,
                "http.response.status_code": record.status,
                "url.path": record.path,
            },
        )
        if record.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(record.started_ns + int(record.seconds * 1e9))

    def line(self, level: int, text: str, attributes: dict[str, str]) -> None:
        """Queue a log line."""
        from opentelemetry._logs import LogRecord, SeverityNumber

        # Python levels are 10 (debug) to 50 in steps of 10; OpenTelemetry has 5 (debug) to 21 (fatal) in steps of 4.
        severity = SeverityNumber(min(21, max(1, level // 10 * 4 + 1)))
        name = logging.getLevelName(level)
        record = LogRecord(
            timestamp=time.time_ns(), severity_text=name, severity_number=severity, body=text, attributes=attributes
        )
        self._logger.emit(record)

    def close(self) -> None:
        """Flush the queues and stop the threads of the exporters."""
        for provider in (self._traces, self._logs, self._metrics):
            provider.shutdown()


class _GaugeCache:
    """One reading for all gauges of an export: OpenTelemetry calls each gauge separately."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges
        self._values = dict(gauges())
        self._read_at = time.monotonic()

    def names(self) -> list[str]:
        return list(self._values)

    def callback(self, name: str) -> Callable[[Any], Iterable[Any]]:
        from opentelemetry.metrics import Observation

        attributes = {"device": "/"} if name.startswith("filesystem.") else {}

        def observe(_options: Any) -> Iterable[Any]:
            if time.monotonic() - self._read_at > 0.5:
                self._values = dict(self._gauges())
                self._read_at = time.monotonic()
            return [Observation(self._values[name], attributes)]

        return observe


def _unit(name: str) -> str:
    return "{cpu}" if name == "cpu.limit" else _UNITS[name.rpartition(".")[2]]


def _log_changes(exporter: Any, signal: str) -> Any:
    """Log when the export of a signal starts to fail and when it recovers, not every failed attempt."""
    send = exporter.export
    failing = False

    def export(*args: Any, **kwargs: Any) -> Any:
        nonlocal failing
        result = send(*args, **kwargs)
        if (result.name != "SUCCESS") != failing:
            failing = not failing
            level = logging.WARNING if failing else logging.INFO
            log.log(level, "telemetry export %s: %s", "failing" if failing else "recovered", signal)
        return result

    exporter.export = export
    return exporter


def _in_thread(call: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    """Run a call in a daemon thread: unlike the threads of an executor, it is not joined at exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def finish(result: Any, error: BaseException | None) -> None:
        if not done.cancelled():
            done.set_exception(error) if error is not None else done.set_result(result)

    def run() -> None:
        result, failure = None, None
        try:
            result = call(*args)
        except Exception as error:  # noqa: BLE001 - set as exception of the future
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=run, name="telemetry", daemon=True).start()
    return done
