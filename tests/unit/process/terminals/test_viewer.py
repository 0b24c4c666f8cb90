"""Offsets of viewers, and the back-pressure of a terminal."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.host.output_log import OutputLog, Retention
from toolbox.host.spool import Spool
from toolbox.process.terminals.pace import WINDOW, Pace
from toolbox.process.terminals.viewer import FRESH, Skip, Viewer, boundary
from toolbox.runs.output import first_available

MIB = 1024 * 1024
LINES = b"0123456789abcde\n"


@pytest.fixture
async def output_log(tmp_path: pathlib.Path) -> AsyncIterator[OutputLog]:
    spool = Spool(tmp_path)
    output_log = spool.output_log(Retention(head=0, tail=MIB))
    yield output_log
    await output_log.close()
    await spool.close()


def fill(output_log: OutputLog, size: int) -> None:
    for _ in range(0, size, 64 * 1024):
        output_log.append(LINES * 4096)


async def test_boundary_is_after_the_end_of_a_line(output_log: OutputLog) -> None:
    fill(output_log, 128 * 1024)
    assert await boundary(output_log, 0) == 0
    assert await boundary(output_log, 1) == 16
    assert await boundary(output_log, output_log.size) == output_log.size


async def test_output_without_lines_starts_anywhere(output_log: OutputLog) -> None:
    output_log.append(b"x" * 100_000)
    assert await boundary(output_log, 5) == 5


@pytest.mark.parametrize(
    ("since", "replay", "start"),
    [(None, True, 0), (None, False, 1000), (7, True, 7), (5000, True, 1000), (7, False, 1000)],
)
async def test_start(output_log: OutputLog, since: int | None, replay: bool, start: int) -> None:
    output_log.append(b"x" * 1000)
    viewer = Viewer(output_log, Pace(output_log))
    await viewer.start(since, replay=replay)
    assert viewer.offset == start


async def test_start_where_the_head_is_lost(output_log: OutputLog) -> None:
    fill(output_log, 3 * MIB)
    assert first_available(output_log) == 2 * MIB
    output_log.append(b"xyz")
    viewer = Viewer(output_log, Pace(output_log))
    await viewer.start(5, replay=True)
    assert viewer.offset == 2 * MIB + 16


async def test_viewer_that_lost_output_continues_near_the_end(output_log: OutputLog) -> None:
    viewer = Viewer(output_log, Pace(output_log))
    await viewer.start(None, replay=True)
    fill(output_log, 64 * 1024)
    async with contextlib.aclosing(viewer.output()) as output:
        assert isinstance(await anext(output), bytes)
        fill(output_log, 3 * MIB)
        while not isinstance(part := await anext(output), Skip):
            pass
        assert 0 <= part.offset - (output_log.size - FRESH) <= 16
        output_log.finish()
        rest = b"".join([part async for part in output if isinstance(part, bytes)])
    assert part.offset + len(rest) == output_log.size
    assert rest.startswith(LINES)


async def test_viewer_with_the_largest_offset_sets_the_pace(output_log: OutputLog) -> None:
    pace, resumed = Pace(output_log), []
    fill(output_log, 2 * WINDOW)
    assert not pace.congested
    pace.moved("slow", 0)
    assert pace.congested
    pace.on_room(lambda: resumed.append("again"))
    pace.moved("quick", WINDOW - 1)
    assert pace.congested
    assert resumed == []
    pace.moved("quick", WINDOW)
    assert not pace.congested
    assert resumed == ["again"]
    pace.left("quick")
    assert pace.congested
    pace.on_room(lambda: resumed.append("left"))
    pace.left("slow")
    assert resumed == ["again", "left"]
    assert pace.viewers == 0
