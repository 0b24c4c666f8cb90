"""What is told about a process."""

from __future__ import annotations

import datetime as dt
from typing import Any

from toolbox import wire
from toolbox.host import survivors
from toolbox.host.output_log import OutputLog
from toolbox.process.processes.wire import Process, Terminal
from toolbox.runs.registry import Entry
from toolbox.runs.wire import Details, Survivor


def process(entry: Entry, left: list[survivors.Survivor] | None = None) -> Process:
    """Describe one process."""
    return Process(**{**fields(entry), "details": details(entry, left)})


def details(entry: Entry, left: list[survivors.Survivor] | None = None) -> Details | None:
    """Describe the end of a process, if it has ended."""
    if entry.exit is None:
        return None
    end, usage = entry.exit, entry.exit.usage
    return Details(
        reason=end.reason.value,
        cause=None if end.cause is None else end.cause.value,
        signal=end.signal,
        duration_ms=round((end.ended - (entry.started or entry.created)) * 1000),
        cpu_ms=None if usage is None else round(usage.cpu_seconds * 1000),
        peak_memory_bytes=None if usage is None else usage.peak_memory,
        survivors=[Survivor(pid=item.pid, command=item.command, ports=list(item.ports)) for item in left or ()] or None,
    )


def fields(entry: Entry) -> dict[str, Any]:
    """Return the fields of a description."""
    return {**_identity(entry), **_request(entry), **_life(entry), **_output(entry)}


def _identity(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind.value,
        "state": "running" if entry.running else "terminal",
        "created_at": moment(entry.created),
        "name": entry.name or None,
        "session_id": entry.session_id or None,
        "system": True if entry.protected else None,
    }


def _request(entry: Entry) -> dict[str, Any]:
    return {
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
    }


def _life(entry: Entry) -> dict[str, Any]:
    facts: dict[str, Any] = {"pid": entry.pid, "started_at": None if entry.started is None else moment(entry.started)}
    if entry.exit is not None:
        facts |= {
            "exited_at": moment(entry.exit.ended),
            "exit_code": entry.exit.code,
            "signal": entry.exit.signal,
            "reason": entry.exit.reason.value,
            "details": details(entry),
        }
    return facts


def _output(entry: Entry) -> dict[str, Any]:
    return {
        "first_available_cursor": str(first_available(entry.output)),
        "last_cursor": str(entry.output.size),
        "truncated_head": entry.output.gap is not None,
    }


def first_available(output: OutputLog) -> int:
    """Return the offset of the first byte that is kept."""
    gap = output.gap
    return gap[1] if gap is not None and gap[0] == 0 else 0


def moment(seconds: float) -> str:
    """Format seconds since 1970."""
    return wire.timestamp(dt.datetime.fromtimestamp(seconds, dt.UTC))
