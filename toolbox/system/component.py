"""The system component: thread pool, services and API."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from toolbox.host.env import Environment
from toolbox.host.metrics import Metrics, Probe
from toolbox.host.ports import Ports
from toolbox.host.worker_pool import WorkerPool
from toolbox.http.server import Finished
from toolbox.http.signing import SigningKeys
from toolbox.system.api import Identity, SystemApi
from toolbox.system.counters import PrometheusMetrics
from toolbox.system.health import Health
from toolbox.system.usage import Gauges
from toolbox.telemetry import RequestRecord, Telemetry

# A proxied request belongs to the program behind the port, which exports its own traces.
_UNTRACED = "/proxy/"


class SystemComponent:
    """Own what serves the endpoints of the sandbox itself, and telemetry."""

    def __init__(
        self,
        *,
        identity: Identity,
        env: Environment,
        keys: SigningKeys,
        otel_endpoint: str = "",
        resource: Mapping[str, str] | None = None,
    ) -> None:
        self._workers = WorkerPool("system", 2)
        self.health = Health()
        self.counters = PrometheusMetrics(self._workers)
        self.telemetry = Telemetry(otel_endpoint, resource or {}, Gauges(Probe()))
        api = SystemApi(
            identity=identity,
            env=env,
            keys=keys,
            metrics=Metrics(Probe(), self._workers),
            ports=Ports(self._workers),
            health=self.health,
            counters=self.counters,
            telemetry=self.telemetry,
        )
        self.apis = (api,)

    def listening(self, sockets: Iterable[socket.socket]) -> None:
        """Record the addresses of the API for the health report."""
        self.health.listening("api", ", ".join(_address(sock) for sock in sockets))

    def observe(self, done: Finished) -> None:
        """Count and trace a finished request; an observer of the HTTP server."""
        self.counters.count(done.method, done.route, done.status, done.seconds)
        if self.telemetry.active and not done.route.startswith(_UNTRACED):
            self.telemetry.request(
                RequestRecord(
                    method=done.method,
                    route=done.route,
                    path=done.request.path,
                    status=done.status,
                    started_ns=done.started_ns,
                    seconds=done.seconds,
                    headers=done.request.headers,
                )
            )

    async def close(self) -> None:
        """Flush telemetry and stop the thread pool."""
        await self.telemetry.close()
        await self._workers.close()


def _address(sock: socket.socket) -> str:
    name = sock.getsockname()
    return str(name) if isinstance(name, (str, bytes)) else f"{name[0]}:{name[1]}"
