"""Requests and answers of ``/processes``: the announced API and our additions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from toolbox.runs.wire import Details, LimitsReport, LimitsRequest
from toolbox.wire import Flag, Wire

Size = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Argument = Annotated[str, msgspec.Meta(max_length=1024 * 1024)]


class Terminal(Wire, kw_only=True):
    """Describe a terminal; ``term`` becomes the variable TERM."""

    cols: Size = 80
    rows: Size = 24
    term: str | None = None


class CreateProcessRequest(Wire, kw_only=True):
    """Start one process, given as ``argv`` or ``shellCommand``."""

    argv: Annotated[list[Argument], msgspec.Meta(max_length=65536)] | None = None
    shell_command: str | None = None
    shell: Literal["auto", "sh", "bash", "zsh"] | None = None
    login: bool | None = None
    name: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None
    user: str | None = None
    stdin: Literal["none", "pipe"] | None = None
    timeout_ms: Milliseconds | None = None
    kill_grace_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] | None = None
    kind: Literal["exec", "pty", "code"] | None = None
    terminal: Terminal | None = None
    keep_logs: Literal["until_cleanup", "on_exit_ttl", "none"] | None = None
    max_log_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**30)] | None = None
    limits: LimitsRequest | None = None


class Process(Wire, kw_only=True):
    """Describe a process; fields without a value are left out."""

    id: str
    kind: Literal["exec", "pty", "code"]
    state: Literal["running", "terminal"]
    created_at: str
    argv: list[str] | None = None
    shell_command: str | None = None
    resolved_shell: str | None = None
    login: bool | None = None
    name: str | None = None
    session_id: str | None = None
    cwd: str | None = None
    user: str | None = None
    stdin: Literal["none", "pipe"] | None = None
    timeout_ms: int | None = None
    terminal: Terminal | None = None
    keep_logs: Literal["until_cleanup", "on_exit_ttl", "none"] | None = None
    pid: int | None = None
    started_at: str | None = None
    exited_at: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    first_available_cursor: str | None = None
    last_cursor: str | None = None
    truncated_head: bool | None = None
    system: bool | None = None
    limits: LimitsReport | None = None
    details: Details | None = None


class ProcessLogFrame(Wire, kw_only=True):
    """Output of one channel; ``seq`` is the offset of its first byte, ``cursor`` the offset after its last."""

    channel: Literal["stdout", "stderr", "pty", "system"]
    cursor: str
    seq: int
    timestamp: str
    data: str
    encoding: Literal["text", "base64"]


class ProcessLogPage(Wire, kw_only=True):
    """Output up to ``nextCursor``; with ``eof`` the process has ended and there is no more."""

    frames: list[ProcessLogFrame]
    next_cursor: str
    eof: bool
    truncated_head: bool
    first_available_cursor: str


class StateEvent(Process, kw_only=True):
    """State of a process at an offset of its output."""

    cursor: str


class WarningEvent(Wire, kw_only=True):
    """Output was lost; the stream continues at ``firstAvailableCursor``."""

    message: str
    cursor: str
    first_available_cursor: str


class EofEvent(Wire, kw_only=True):
    """The process has ended and all of its output was sent."""

    cursor: str


class ProcessResult(Wire, kw_only=True):
    """How a process ended; ``timed_out`` without an exit code means that it still runs."""

    reason: str
    exit_code: int | None = None
    signal: str | None = None
    details: Details | None = None


class StdinRequest(Wire, kw_only=True):
    """Write to standard input, close it, or both."""

    data: str | None = None
    encoding: Literal["text", "base64"] | None = None
    eof: bool | None = None


class ResizeRequest(Wire, kw_only=True):
    """Change the size of the terminal."""

    cols: Size
    rows: Size


class ProcessPath(Wire, kw_only=True):
    """Path of one process."""

    id: str


class ListQuery(Wire, kw_only=True):
    """Filter the list of processes."""

    state: Literal["running", "terminal"] | None = None
    kind: Literal["exec", "pty", "code"] | None = None
    session_id: str | None = None
    name: str | None = None
    pid: int | None = None


class LogsQuery(Wire, kw_only=True):
    """Where to read from: ``start`` or a cursor of an earlier answer; ``limit`` counts frames."""

    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    encoding: Literal["text", "base64"] | None = None
    follow: Flag | None = None


class LogsHeaders(msgspec.Struct, kw_only=True):
    """Resume a stream of server-sent events, as browsers do."""

    last_event_id: str | None = msgspec.field(name="Last-Event-ID", default=None)


class AttachQuery(Wire, kw_only=True):
    """Where to start: at the oldest output by default, at a cursor, or at ``end``."""

    cursor: str | None = None


class WaitQuery(Wire, kw_only=True):
    """Limit a wait."""

    timeout_ms: Milliseconds | None = None
