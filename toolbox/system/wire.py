"""The requests and responses of the system endpoints."""

from __future__ import annotations

from typing import Annotated

import msgspec

from toolbox import wire

PortText = Annotated[
    str,
    msgspec.Meta(
        description="TCP port, 1 to 65535", extra_json_schema={"type": "integer", "minimum": 1, "maximum": 65535}
    ),
]


class VersionInfo(wire.Wire, kw_only=True):
    """The protocol version that clients compare with, and the version of this implementation."""

    additive = frozenset({"toolboxVersion"})
    version: str
    toolbox_version: str


class InitRequest(wire.Wire, kw_only=True):
    """The telemetry token of this sandbox and, for signed file URLs, the signing key."""

    token: str | None = None
    signing_key: str | None = None


class DirInfo(wire.Wire, kw_only=True):
    """A directory of the sandbox."""

    dir: str


class EnvRequest(wire.Wire, kw_only=True):
    """Changes to the environment of processes started later: prefix removal, then unset, then set."""

    set: dict[str, str] | None = None
    unset: list[str] | None = None
    unset_value_prefix: str | None = None


class EnvNames(wire.Wire, kw_only=True):
    """Names, but not values, of the variables that new processes get."""

    names: list[str]


class SystemMetrics(wire.Wire, kw_only=True):
    """One sample of the usage of the sandbox; sizes in bytes, CPU in percent of the limit."""

    cpu_count: int
    cpu_used_pct: float
    mem_total: int
    mem_used: int
    mem_cache: int
    disk_total: int
    disk_used: int
    disk_free: int
    timestamp: str
    timestamp_unix: int


class PortList(wire.Wire, kw_only=True):
    """TCP ports with a listener, in ascending order."""

    ports: list[int]


class PortPath(wire.Wire, kw_only=True):
    """A TCP port."""

    port: PortText


class PortInUse(wire.Wire, kw_only=True):
    """Whether a port has a listener."""

    is_in_use: bool


class ListenerState(wire.Wire, kw_only=True):
    """One listener of the daemon; ``state`` is ``listening``, ``failed`` or ``off``."""

    state: str
    address: str | None = None
    detail: str | None = None


class HealthInfo(wire.Wire, kw_only=True):
    """``ok``, or ``degraded`` when a listener other than the API has failed."""

    status: str
    uptime_seconds: float
    listeners: dict[str, ListenerState]
