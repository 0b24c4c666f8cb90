"""The answer of a code run as JSON, in pieces: the output may be large."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from toolbox import wire
from toolbox.host.output_log import OutputLog
from toolbox.process.code.charts import Markers
from toolbox.process.code.wire import Artifacts, Chart
from toolbox.runs import output


async def json(
    exit_code: int, log: OutputLog, charts: list[Chart], shape: Callable[[Artifacts], Any]
) -> AsyncGenerator[bytes, None]:
    """Yield the body of the answer; ``shape`` drops fields that the client does not know."""
    markers = Markers()
    yield b'{"exitCode":%d,"result":"' % exit_code
    async for part in output.json_strings(_text(log, markers)):
        yield part
    yield b'"'
    found = [*charts, *markers.charts]
    if found:
        yield b',"artifacts":' + wire.encode(shape(Artifacts(charts=found)))
    yield b"}"


async def _text(log: OutputLog, markers: Markers) -> AsyncIterator[str]:
    async for part in output.text(log):
        yield markers.feed(part)
    yield markers.finish()
