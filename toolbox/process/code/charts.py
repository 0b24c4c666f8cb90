"""Charts of a program: from its rich output, and from the marker lines that wrappers of old SDKs print."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from toolbox import wire
from toolbox.host.launch import file_of
from toolbox.process.code.wire import Chart
from toolbox.runs.exit_info import ExitInfo, Reason
from toolbox.runs.rich_output import RichOutput

log = logging.getLogger(__name__)

# As in ``payload/sink.py``. The program can write to the descriptor too, so that bound alone is not enough.
CAPACITY = 64 * 1024 * 1024
MARKER = "dtn_artifact_k39fd2:"
# Not splitlines, which also splits at form feeds and other separators.
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class ChartFile:
    """A memory file that one program writes rich output to, one MIME bundle per line."""

    def __init__(self) -> None:
        self.fd = file_of(b"")
        self.found: list[Chart] = []

    async def collect(self, end: ExitInfo) -> None:
        """Read the charts of a program that exited by itself; lines without a chart are left out."""
        # lseek on a memory file does not block.
        if end.reason in (Reason.EXITED, Reason.SIGNALED) and os.lseek(self.fd, 0, os.SEEK_END):
            self.found = await asyncio.to_thread(_read, self.fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def _read(fd: int) -> list[Chart]:
    parts, done = [], 0
    while done < CAPACITY and (part := os.pread(fd, CAPACITY - done, done)):
        parts.append(part)
        done += len(part)
    return list(_decoded(b"".join(parts).split(b"\n")))


def _decoded(lines: list[bytes]) -> Iterator[Chart]:
    for line in lines:
        if line:
            try:
                chart = wire.decode(line, RichOutput).chart
                if chart is not None:
                    yield msgspec.convert(chart, Chart)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                log.debug("chart cannot be read: %s", error)


class Markers:
    """Remove marker lines from text that comes in pieces; the marker is at the start of the line."""

    def __init__(self) -> None:
        self.charts: list[Chart] = []
        self._held = ""
        self._line_start = True

    def feed(self, text: str) -> str:
        """Return the text so far without marker lines; the start of a possible marker line is held back."""
        text, self._held = self._held + text, ""
        last = text.rpartition("\n")[2]
        if MARKER not in text and not (last and MARKER.startswith(last)):
            self._line_start = not last if text else self._line_start
            return text
        return "".join(map(self._take, _LINE.findall(text)))

    def finish(self) -> str:
        """Return the held text at the end of the output."""
        held, self._held = self._held, ""
        return "" if self._is_marker(held) else held

    def _take(self, line: str) -> str:
        whole = line.endswith("\n")
        if self._line_start:
            if not whole and (line.startswith(MARKER) or MARKER.startswith(line)):
                self._held = line
                return ""
            if self._is_marker(line):
                return ""
        self._line_start = whole
        return line

    def _is_marker(self, line: str) -> bool:
        if not line.startswith(MARKER):
            return False
        try:
            value = json.loads(line[len(MARKER) :])
            self.charts.append(_from_old_wrapper(value["value"]))
        except (ValueError, KeyError, TypeError, RecursionError, msgspec.MsgspecError) as error:
            log.debug("chart of an old wrapper cannot be read: %s", error)
        return True


def _from_old_wrapper(value: dict[str, Any]) -> Chart:
    """Read a chart as old wrappers wrote it: values of bars as numbers, ticks of dates as text."""
    for name in ("x_ticks", "y_ticks"):
        if not all(isinstance(tick, (int, float)) for tick in value.get(name) or ()):
            del value[name]
    for element in value.get("elements") or ():
        if "value" in element and not isinstance(element["value"], str):
            element["value"] = f"{element['value']:g}"
    chart: Chart = wire.decode(json.dumps(value, allow_nan=False).encode(), Chart)
    return chart
