"""Describe registry entries for the wire."""

from __future__ import annotations

import datetime as dt
from typing import Any

from toolbox import wire
from toolbox.host import survivors
from toolbox.process.processes.wire import Process, Terminal
from toolbox.runs import output
from toolbox.runs.registry import Entry


def process(entry: Entry, left: list[survivors.Survivor] | None = None) -> Process:
    """Describe one process."""
    return Process(**fields(entry, left))


def fields(entry: Entry, left: list[survivors.Survivor] | None = None) -> dict[str, Any]:
    """Return the fields of a description."""
    facts: dict[str, Any] = {
        "id": entry.id,
        "kind": entry.kind.value,
        "state": "running" if entry.running else "terminal",
        "created_at": moment(entry.created),
        "name": entry.name or None,
        "session_id": entry.session_id or None,
        "system": True if entry.protected else None,
        "argv": [wire.text(item) for item in entry.argv] or None,
        "shell_command": wire.text(entry.command) or None,
        "resolved_shell": entry.shell or None,
        "login": entry.login or None,
        "cwd": wire.text(entry.cwd) or None,
        "user": entry.user or None,
        "stdin": "pipe" if entry.controls.write is not None else "none",
        "timeout_ms": None if entry.timeout is None else round(entry.timeout * 1000),
        "terminal": None if entry.size is None else Terminal(cols=entry.size[0], rows=entry.size[1]),
        "keep_logs": entry.keep.value,
        "limits": entry.limits,
        "pid": entry.pid,
        "started_at": None if entry.started is None else moment(entry.started),
        "first_available_cursor": str(output.first_available(entry.output)),
        "last_cursor": str(entry.output.size),
        "truncated_head": entry.output.gap is not None,
        "details": entry.details(left),
    }
    if entry.exit is not None:
        facts |= {
            "exited_at": moment(entry.exit.ended),
            "exit_code": entry.exit.code,
            "signal": entry.exit.signal,
            "reason": entry.exit.reason.value,
        }
    return facts


def moment(seconds: float) -> str:
    """Format seconds since 1970."""
    return wire.timestamp(dt.datetime.fromtimestamp(seconds, dt.UTC))
