"""Request, answer and events of ``POST /process/execute``."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from toolbox.runs.wire import Details, LimitsRequest
from toolbox.wire import Flag, Wire


class ExecuteRequest(Wire, kw_only=True):
    """Run one command; ``timeout`` is in seconds, without one or with 0 there is no limit."""

    command: str
    cwd: str | None = None
    envs: dict[str, str] | None = None
    env: dict[str, str] | None = None  # the name that the public documentation uses
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None
    split_output: bool | None = None
    max_output_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    kill_grace_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] | None = None
    details: bool | None = None
    limits: LimitsRequest | None = None


class ExecuteHeaders(msgspec.Struct, kw_only=True):
    """Switch on extensions without a change of the body."""

    split_output: Flag | None = msgspec.field(name="X-Daytona-Split-Output", default=None)
    kill_on_disconnect: Flag | None = msgspec.field(name="X-Kill-On-Disconnect", default=None)


class ExecuteResponse(Wire, kw_only=True):
    """Report how a command ended; the optional fields are sent on request only."""

    additive: ClassVar[frozenset[str]] = frozenset({"stdout", "stderr", "details"})

    exit_code: int
    result: str
    stdout: str | None = None
    stderr: str | None = None
    details: Details | None = None


class StartEvent(Wire, kw_only=True):
    """The command was started."""

    id: str
    pid: int


class OutputEvent(Wire, kw_only=True):
    """Output; ``offset`` counts bytes of both streams, ``skipped`` those lost before this event."""

    data: str
    offset: int
    skipped: int = 0


class ExitEvent(Wire, kw_only=True):
    """The command ended: ``exited``, ``signaled``, ``timed_out``, ``sandbox_stopped`` or ``failed``."""

    exit_code: int
    reason: str
    signal: str | None = None
    details: Details | None = None
