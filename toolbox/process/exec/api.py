"""``POST /process/execute``: as one JSON answer, or as a stream of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

from aiohttp import web

from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.http.endpoint import MIB, Reply, endpoint
from toolbox.http.streams import disconnected, event_stream, gone, wanted_stream
from toolbox.process.exec.commands import Command, Exec, Outcome, Run
from toolbox.process.exec.wire import ExecuteHeaders, ExecuteRequest, ExecuteResponse
from toolbox.runs import text as render

Answer = web.StreamResponse | Reply[ExecuteResponse]

JSON = "application/json; charset=utf-8"
# Output above this is sent in pages instead of being one string.
PAGED = MIB
# Proxies give up on a silent answer; white space in front of JSON means nothing.
FIRST_BEAT = 30.0
BEAT = 15.0


class ExecApi:
    """Run a shell command."""

    def __init__(self, service: Exec, *, first_beat: float = FIRST_BEAT, beat: float = BEAT) -> None:
        self._exec = service
        self._first_beat = first_beat
        self._beat = beat

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
        command = self._exec.check(body, split=bool(headers.split_output))
        media = wanted_stream(request)
        run = await self._exec.start(command, two_pipes=media is not None)
        try:
            async with _killing(run, request if headers.kill_on_disconnect else None):
                if media is not None:
                    return _ready(await self._stream(request, run, media))
                return _ready(await self._answer(request, run, command))
        finally:
            # A stream may have been cut anywhere; an answer that nobody took can be fetched by the id.
            run.release(keep=media is not None or gone(request))

    async def _stream(self, request: web.BaseRequest, run: Run, media: str) -> web.StreamResponse:
        async with event_stream(request, media) as out, contextlib.aclosing(run.events()) as events:
            async for name, event in events:
                await out.send(name, event)
        return out.response

    async def _answer(self, request: web.BaseRequest, run: Run, command: Command) -> Answer:
        # A command with a time limit may still have to answer 408, so nothing can be sent before it ends.
        await asyncio.wait([run.result], timeout=None if command.timeout else self._first_beat)
        if not run.result.done():
            return await self._late_answer(request, run)
        outcome = run.result.result()
        if outcome.output.size > PAGED:
            return await _send_pages(request, outcome)
        texts = {
            name: await render.whole(outcome.output, channel) for name, channel in render.fields(split=outcome.split)
        }
        return Reply(
            ExecuteResponse(exit_code=outcome.exit_code, details=outcome.details, **texts), headers=_headers(outcome)
        )

    async def _late_answer(self, request: web.BaseRequest, run: Run) -> web.StreamResponse:
        # Whoever loses the connection from now on can read on by this id.
        response = web.StreamResponse(headers={"Content-Type": JSON, "X-Process-Id": run.entry.id})
        await response.prepare(request)
        while not run.result.done():
            await response.write(b" ")
            await asyncio.wait([run.result], timeout=self._beat)
        await _write_pages(response, run.result.result())
        return response


def _ready(answer: Answer) -> Reply[ExecuteResponse]:
    """Pass off a response that is being sent as the declared answer, which is what the table describes."""
    return cast("Reply[ExecuteResponse]", answer)


@contextlib.asynccontextmanager
async def _killing(run: Run, request: web.BaseRequest | None) -> AsyncIterator[None]:
    """Kill the command if the client of ``request`` leaves meanwhile."""
    if request is None:
        yield
        return

    async def watch() -> None:
        await disconnected(request)
        await run.kill()

    watcher = asyncio.create_task(watch(), name="kill on disconnect")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])


def _headers(outcome: Outcome) -> dict[str, str]:
    truncated = "true" if outcome.output.dropped else "false"
    return {"X-Output-Bytes": str(outcome.output.size), "X-Output-Truncated": truncated}


async def _send_pages(request: web.BaseRequest, outcome: Outcome) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": JSON, **_headers(outcome)})
    await response.prepare(request)
    await _write_pages(response, outcome)
    return response


async def _write_pages(response: web.StreamResponse, outcome: Outcome) -> None:
    pages = render.json_answer(outcome.exit_code, outcome.output, split=outcome.split, details=outcome.details)
    async for page in pages:
        await response.write(page)
    await response.write_eof()
