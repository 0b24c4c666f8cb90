"""Actions on registered processes: find, write, signal, wait, resize, delete."""

from __future__ import annotations

import asyncio
import base64
import binascii
import signal

from toolbox.errors import (
    BadRequest,
    Conflict,
    ProcessEnded,
    ProtectedProcess,
    StdinClosed,
    StdinUnavailable,
    UnsupportedOperation,
)
from toolbox.host.procs import Procs
from toolbox.host.survivors import Survivor
from toolbox.process.processes import describe, logs, wire
from toolbox.process.processes.launcher import Launcher
from toolbox.runs import output
from toolbox.runs.registry import Entry, Kind, Registry
from toolbox.runs.wire import SignalRequest
from toolbox.wire import text


class Processes:
    """Serve the process API from the registry."""

    def __init__(self, registry: Registry, launcher: Launcher, procs: Procs) -> None:
        self._registry = registry
        self._procs = procs
        self._launcher = launcher
        self._escalations: set[asyncio.Task[None]] = set()

    async def create(self, request: wire.CreateProcessRequest) -> wire.Process:
        """Start a process."""
        return describe.process(await self._launcher.start(request))

    def select(self, query: wire.ListQuery) -> list[wire.Process]:
        """Describe the processes that match a query, the oldest first."""
        return [describe.process(entry) for entry in self._registry if _chosen(entry, query)]

    def find(self, process_id: str) -> Entry:
        """Return the entry of one process."""
        return self._registry.get(process_id)

    async def get(self, process_id: str) -> wire.Process:
        """Describe one process; of an ended one also the processes it left in the background."""
        entry = self._registry.get(process_id)
        return describe.process(entry, await self._survivors(entry))

    def delete(self, process_id: str) -> None:
        """Delete a process that has ended, with its output."""
        entry = self._registry.get(process_id)
        _refuse_protected(entry)
        if entry.running:
            raise Conflict(f"process is running: {process_id}")
        self._registry.discard(entry)

    async def page(self, process_id: str, query: wire.LogsQuery) -> wire.ProcessLogPage:
        """Return recorded output."""
        entry = self._registry.get(process_id)
        return await logs.page(
            entry, query.cursor, limit=query.limit or logs.PAGE_FRAMES, text=query.encoding != "base64"
        )

    def follow(self, process_id: str, query: wire.LogsQuery, last: str | None) -> logs.Events:
        """Return events as they occur; an unknown process or cursor raises at once."""
        entry = self._registry.get(process_id)
        cursor = last or query.cursor
        output.read_cursor(entry.output, cursor)
        return logs.follow(entry, cursor, text=query.encoding != "base64")

    async def write(self, process_id: str, request: wire.StdinRequest) -> None:
        """Write to standard input, and close it on ``eof``; return once all of it is written."""
        entry = _running(self._registry.get(process_id))
        _refuse_protected(entry)
        if entry.controls.write is None or entry.controls.end_input is None:
            raise StdinUnavailable(f"process has no standard input: {process_id}")
        try:
            if request.data:
                await entry.controls.write(_decoded(request))
            if request.eof:
                await entry.controls.end_input()
        except BrokenPipeError as error:
            raise StdinClosed(f"standard input is closed: {process_id}") from error

    async def signal(self, process_id: str, request: SignalRequest) -> None:
        """Send a signal; an escalation follows in the background."""
        entry = _running(self._registry.get(process_id))
        _refuse_protected(entry)
        number = signal_number(request.signal)
        second = signal_number(request.escalate_to if request.escalate_to is not None else "SIGKILL")
        if entry.controls.signal is None:
            raise UnsupportedOperation(f"process takes no signals: {process_id}")
        if not await entry.controls.signal(number):
            raise ProcessEnded(f"process has ended: {process_id}")
        if request.escalate_after_ms is not None:
            task = asyncio.create_task(_escalate(entry, second, request.escalate_after_ms / 1000), name="escalation")
            self._escalations.add(task)
            task.add_done_callback(self._escalations.discard)

    async def resize(self, process_id: str, request: wire.ResizeRequest) -> wire.Process:
        """Change the size of a terminal."""
        entry = self._registry.get(process_id)
        if entry.kind is not Kind.PTY or entry.controls.resize is None:
            raise UnsupportedOperation(f"process has no terminal: {process_id}")
        await _running(entry).controls.resize(request.cols, request.rows)  # type: ignore[misc]
        entry.size = (request.cols, request.rows)
        return describe.process(entry)

    async def wait(self, process_id: str, timeout_ms: int | None) -> wire.ProcessResult:
        """Wait for the exit; without one within the timeout the reason is ``timed_out``."""
        entry = self._registry.get(process_id)
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                end = await entry.wait()
        except TimeoutError:
            return wire.ProcessResult(reason="timed_out")
        details = entry.details(await self._survivors(entry))
        return wire.ProcessResult(reason=end.reason.value, exit_code=end.code, signal=end.signal, details=details)

    async def _survivors(self, entry: Entry) -> list[Survivor] | None:
        return None if entry.running or entry.pid is None else await self._procs.exit_reporter.survivors(entry.pid)

    async def close(self) -> None:
        """Cancel escalations; the daemon kills their processes."""
        for task in self._escalations:
            task.cancel()
        if self._escalations:
            await asyncio.wait(list(self._escalations))


def signal_number(given: str | int) -> int:
    """Read a signal: ``SIGTERM``, ``TERM``, ``15``."""
    if isinstance(given, int) or (given.isascii() and given.isdecimal() and len(given) < 4):
        number = int(given)
    else:
        name = given.upper() if given.upper().startswith("SIG") else f"SIG{given.upper()}"
        number = signal.Signals[name].value if name in signal.Signals.__members__ else 0
    # 32 and 33 belong to the C library.
    if not 0 < number < signal.NSIG or number in (32, 33):
        raise BadRequest(f"bad request: unknown signal: {text(str(given))}")
    return number


async def _escalate(entry: Entry, number: int, delay: float) -> None:
    try:
        async with asyncio.timeout(delay):
            await entry.wait()
    except TimeoutError:
        if entry.controls.signal is not None:
            await entry.controls.signal(number)


def _decoded(request: wire.StdinRequest) -> bytes:
    data = request.data or ""
    if request.encoding != "base64":
        return data.encode()
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("bad request: data is not base64") from error


def _running(entry: Entry) -> Entry:
    if not entry.running:
        raise ProcessEnded(f"process has ended: {entry.id}")
    return entry


def _refuse_protected(entry: Entry) -> None:
    if entry.protected:
        raise ProtectedProcess(f"process belongs to the sandbox: {entry.id}")


def _chosen(entry: Entry, query: wire.ListQuery) -> bool:
    wanted = (
        (query.state, "running" if entry.running else "terminal"),
        (query.kind, entry.kind.value),
        (query.session_id, entry.session_id),
        (query.name, entry.name),
        (query.pid, entry.pid),
    )
    return all(value is None or value == actual for value, actual in wanted)
