"""The answer of a code run as JSON, in pages: its output may be large."""

from __future__ import annotations

from collections.abc import AsyncIterator

from toolbox import wire
from toolbox.host.output_log import OutputLog
from toolbox.process.code.charts import Markers
from toolbox.process.code.job import Result
from toolbox.process.code.wire import Artifacts, Chart, CodeRunResponse
from toolbox.runs import text as render

# Output above this is sent in pages instead of being one string.
PAGED = 1024 * 1024


async def whole(result: Result) -> CodeRunResponse:
    """Return the answer at once."""
    markers = Markers()
    text = "".join([part async for part in _text(result.output, markers)])
    charts = [*result.charts, *markers.charts]
    return CodeRunResponse(exit_code=result.exit_code, result=text, artifacts=_artifacts(charts))


async def pages(result: Result) -> AsyncIterator[bytes]:
    """Yield the body of the answer."""
    markers = Markers()
    yield b'{"exitCode":%d,"result":"' % result.exit_code
    async for part in _text(result.output, markers):
        yield wire.encode(part)[1:-1]
    yield b'"'
    artifacts = _artifacts([*result.charts, *markers.charts])
    if artifacts is not None:
        yield b',"artifacts":' + wire.encode(artifacts)
    yield b"}"


async def _text(output: OutputLog, markers: Markers) -> AsyncIterator[str]:
    async for part in render.text(output):
        shown = markers.feed(part)
        if shown:
            yield shown
    rest = markers.finish()
    if rest:
        yield rest


def _artifacts(charts: list[Chart]) -> Artifacts | None:
    return Artifacts(charts=charts) if charts else None
