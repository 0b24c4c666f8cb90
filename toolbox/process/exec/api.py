"""``POST /process/execute``: one JSON answer, or a stream of events."""

from __future__ import annotations

import contextlib
from typing import cast

import msgspec
from aiohttp import web

from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.http.binding import is_strict
from toolbox.http.disconnect import gone, while_connected
from toolbox.http.endpoint import MIB, Reply, endpoint
from toolbox.http.pages import LateAnswers, Pages
from toolbox.http.streams import event_stream, wanted_stream
from toolbox.process.exec.commands import Command, Commands, Outcome
from toolbox.process.exec.wire import ExecuteHeaders, ExecuteRequest, ExecuteResponse
from toolbox.runs.run import Run


class ExecApi:
    """Run a shell command."""

    def __init__(self, commands: Commands, late: LateAnswers | None = None) -> None:
        self._commands = commands
        self._late = late or LateAnswers()

    @endpoint(
        "POST",
        "/process/execute",
        tag="process",
        errors=(InvalidBody, BadRequest, ExecutionTimeout, Unavailable),
        body_limit=64 * MIB,
    )
    async def execute(
        self, request: web.BaseRequest, headers: ExecuteHeaders, body: ExecuteRequest
    ) -> Reply[ExecuteResponse]:
        """Run a shell command and return its exit code and its output.

        With ``Accept: text/event-stream`` (or ``application/x-ndjson``) the answer is a stream of events: ``start``,
        ``stdout``, ``stderr`` and, always last, ``exit``. A stream without ``exit`` was cut off.
        """
        command = self._commands.check(body, split=bool(headers.split_output))
        media = wanted_stream(request)
        run = await self._commands.start(command, two_pipes=media is not None)
        work = self._answer(request, run, command) if media is None else self._stream(request, run, command, media)
        try:
            response = await (while_connected(request, work) if headers.kill_on_disconnect else work)
        finally:
            left = gone(request)
            if left and headers.kill_on_disconnect:
                await run.kill()
            # What a client missed of a stream, or of an answer, it can still read by the id of the process.
            run.release(keep=media is not None or left)
        # A streamed response; the cast gives OpenAPI the declared type.
        return cast("Reply[ExecuteResponse]", response)

    async def _stream(self, request: web.BaseRequest, run: Run, command: Command, media: str) -> web.StreamResponse:
        events = self._commands.events(run, command)
        async with event_stream(request, media) as out, contextlib.aclosing(events):
            async for name, event in events:
                await out.send(name, event)
        return out.response

    async def _answer(self, request: web.BaseRequest, run: Run, command: Command) -> web.StreamResponse:
        async def pages() -> Pages:
            outcome = await self._commands.outcome(run, command)
            if is_strict(request):
                outcome = msgspec.structs.replace(outcome, split=False, details=None)
            return Pages(outcome.json(), _headers(outcome))

        # With a time limit the status may still be 408, so nothing can be sent before the end.
        return await self._late.send(
            request, run.ended, pages, process_id=run.entry.id, silent=command.limit.seconds is not None
        )


def _headers(outcome: Outcome) -> dict[str, str]:
    truncated = "true" if outcome.output.dropped else "false"
    return {"X-Output-Bytes": str(outcome.output.size), "X-Output-Truncated": truncated}
