"""``POST /process/code-run``."""

from __future__ import annotations

from typing import cast

from aiohttp import web

from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.http.endpoint import MIB, Reply, endpoint
from toolbox.http.streams import gone
from toolbox.process.code import answer
from toolbox.process.code.job import CodeRun, Result
from toolbox.process.code.runs import Code, CodeRuns
from toolbox.process.code.wire import CodeRunRequest, CodeRunResponse

JSON = "application/json; charset=utf-8"
# Proxies give up on a silent answer; white space in front of JSON means nothing.
FIRST_BEAT = 30.0
BEAT = 15.0


class CodeApi:
    """Run a program."""

    def __init__(self, runs: CodeRuns, *, first_beat: float = FIRST_BEAT, beat: float = BEAT) -> None:
        self._runs = runs
        self._first_beat = first_beat
        self._beat = beat

    @endpoint(
        "POST",
        "/process/code-run",
        tag="process",
        errors=(InvalidBody, BadRequest, ExecutionTimeout, Unavailable),
        body_limit=64 * MIB,
    )
    async def code_run(self, request: web.BaseRequest, body: CodeRunRequest) -> Reply[CodeRunResponse]:
        """Run a program and return its exit code, its output and the charts it drew.

        ``language`` is ``python``, ``javascript`` or ``typescript``. Each program is a process of its own.
        """
        code = self._runs.check(body)
        run = await self._runs.start(code)
        try:
            return await self._answer(request, run, code)
        finally:
            run.release(keep=gone(request))

    async def _answer(self, request: web.BaseRequest, run: CodeRun, code: Code) -> Reply[CodeRunResponse]:
        # A program with a time limit may still have to answer 408, so nothing can be sent before it ends.
        if not await run.wait(None if code.timeout else self._first_beat):
            return _ready(await self._late(request, run))
        result = run.result.result()
        headers = _headers(result)
        if result.output.size > answer.PAGED:
            response = web.StreamResponse(headers={"Content-Type": JSON, **headers})
            await response.prepare(request)
            return _ready(await _write(response, result))
        return Reply(await answer.whole(result), headers=headers)

    async def _late(self, request: web.BaseRequest, run: CodeRun) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        await response.prepare(request)
        await response.write(b" ")
        while not await run.wait(self._beat):
            await response.write(b" ")
        return await _write(response, run.result.result())


def _headers(result: Result) -> dict[str, str]:
    truncated = "true" if result.output.dropped else "false"
    return {"X-Output-Bytes": str(result.output.size), "X-Output-Truncated": truncated}


async def _write(response: web.StreamResponse, result: Result) -> web.StreamResponse:
    async for page in answer.pages(result):
        await response.write(page)
    await response.write_eof()
    return response


def _ready(response: web.StreamResponse) -> Reply[CodeRunResponse]:
    """Pass off a response that is being sent as the declared answer, which is what the table describes."""
    return cast("Reply[CodeRunResponse]", response)
