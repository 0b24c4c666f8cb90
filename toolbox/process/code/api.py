"""``POST /process/code-run``."""

from __future__ import annotations

import functools
from typing import cast

from aiohttp import web

from toolbox.errors import BadRequest, ExecutionTimeout, InvalidBody, Unavailable
from toolbox.http.binding import for_client
from toolbox.http.disconnect import gone
from toolbox.http.endpoint import MIB, Reply, endpoint
from toolbox.http.pages import LateAnswers, Pages
from toolbox.process.code import answer
from toolbox.process.code.runs import CodeRuns
from toolbox.process.code.wire import CodeRunRequest, CodeRunResponse


class CodeApi:
    """Run a program."""

    def __init__(self, runs: CodeRuns, late: LateAnswers | None = None) -> None:
        self._runs = runs
        self._late = late or LateAnswers()

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
        program = self._runs.check(body)
        run, charts = await self._runs.start(program)

        async def pages() -> Pages:
            end = run.outcome("program")
            truncated = "true" if run.output.dropped else "false"
            headers = {"X-Output-Bytes": str(run.output.size), "X-Output-Truncated": truncated}
            shape = functools.partial(for_client, request=request)
            return Pages(answer.json(end.code, run.output, charts.found, shape), headers)

        try:
            response = await self._late.send(
                # With a time limit the status may still be 408, so nothing can be sent before the end.
                request,
                run.ended,
                pages,
                process_id=run.entry.id,
                silent=program.timeout is not None,
            )
        finally:
            run.release(keep=gone(request))
        # A streamed response; the cast gives OpenAPI the declared type.
        return cast("Reply[CodeRunResponse]", response)
