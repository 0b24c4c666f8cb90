"""The endpoints of the sandbox itself: version, directories, environment, metrics, ports, health."""

from __future__ import annotations

import msgspec
from aiohttp import web

from toolbox import __version__
from toolbox.errors import BadRequest
from toolbox.host.env import Environment
from toolbox.host.metrics import Metrics
from toolbox.host.ports import Ports, parse_port
from toolbox.http.endpoint import endpoint
from toolbox.http.signing import SigningKeys
from toolbox.system import wire
from toolbox.system.counters import TEXT, PrometheusMetrics
from toolbox.system.health import Health
from toolbox.system.usage import describe
from toolbox.telemetry import Telemetry


class Identity(msgspec.Struct, frozen=True):
    """Values that do not change after the start."""

    version: str
    home: str
    workdir: str


class SystemApi(msgspec.Struct, frozen=True, kw_only=True):
    """Version, directories, environment, metrics, ports and health of the sandbox."""

    identity: Identity
    env: Environment
    keys: SigningKeys
    metrics: Metrics
    ports: Ports
    health: Health
    counters: PrometheusMetrics
    telemetry: Telemetry

    @endpoint("GET", "/version", tag="info", open=True, quiet=True)
    async def get_version(self) -> wire.VersionInfo:
        """Return the protocol version and the version of the daemon; needs no token."""
        return wire.VersionInfo(version=self.identity.version, toolbox_version=__version__)

    @endpoint("POST", "/init", tag="server")
    async def initialize(self, body: wire.InitRequest) -> dict[str, str]:
        """Set the telemetry token and, if given, the signing key; may be repeated."""
        if body.signing_key is not None:
            self.keys.replace(body.signing_key)
        self.telemetry.configure(body.token or "")
        return {"message": "Auth token set and telemetry initialized successfully"}

    @endpoint("GET", "/user-home-dir", tag="info")
    async def get_user_home_dir(self) -> wire.DirInfo:
        """Return the home directory."""
        return wire.DirInfo(dir=self.identity.home)

    @endpoint("GET", "/project-dir", tag="info")
    async def get_project_dir(self) -> wire.DirInfo:
        """Return the home directory; for old clients."""
        return wire.DirInfo(dir=self.identity.home)

    @endpoint("GET", "/work-dir", tag="info")
    async def get_work_dir(self) -> wire.DirInfo:
        """Return the base directory of relative paths."""
        return wire.DirInfo(dir=self.identity.workdir)

    @endpoint("POST", "/env", tag="server", errors=(BadRequest,))
    async def update_env(self, body: wire.EnvRequest) -> dict[str, str]:
        """Change the environment of processes started later."""
        self.env.update(body.set or {}, unset=body.unset or (), unset_value_prefix=body.unset_value_prefix or "")
        return {"message": "Environment updated successfully"}

    @endpoint("GET", "/env", tag="server")
    async def list_env(self) -> wire.EnvNames:
        """List the names of the variables that new processes get."""
        return wire.EnvNames(names=sorted(self.env.merged()))

    @endpoint("GET", "/system/metrics", tag="system", quiet=True)
    async def get_system_metrics(self) -> wire.SystemMetrics:
        """Return the CPU, memory and disk usage of the sandbox."""
        return describe(*await self.metrics.latest())

    @endpoint("GET", "/port", tag="port", quiet=True)
    async def get_ports(self) -> wire.PortList:
        """List the TCP ports with a listener."""
        return wire.PortList(ports=await self.ports.listening())

    @endpoint("GET", "/port/{port}/in-use", tag="port", errors=(BadRequest,), quiet=True)
    async def is_port_in_use(self, path: wire.PortPath) -> wire.PortInUse:
        """Tell whether a TCP port has a listener."""
        return wire.PortInUse(is_in_use=await self.ports.in_use(parse_port(path.port)))

    @endpoint("GET", "/healthz", tag="server", open=True, quiet=True)
    async def get_health(self) -> wire.HealthInfo:
        """Return the state of every listener; needs no token."""
        return self.health.report()

    @endpoint("GET", "/metrics", tag="server", quiet=True, media="text/plain")
    async def get_metrics(self) -> web.Response:
        """Return the metrics of the daemon in the Prometheus text format."""
        return web.Response(body=await self.counters.render(), headers={"Content-Type": TEXT})
