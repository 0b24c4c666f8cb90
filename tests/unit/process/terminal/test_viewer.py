"""Positions in the output of a terminal, and who waits for whom."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.host.ledger import Ledger, Retention
from toolbox.host.spool import Spool
from toolbox.process.terminal.pace import WINDOW, Pace
from toolbox.process.terminal.viewer import FRESH, Skip, Viewer, boundary, first_offset

MIB = 1024 * 1024
LINES = b"0123456789abcde\n"


@pytest.fixture
async def ledger(tmp_path: pathlib.Path) -> AsyncIterator[Ledger]:
    spool = Spool(tmp_path)
    ledger = spool.ledger(Retention(head=0, tail=MIB))
    yield ledger
    await ledger.close()
    await spool.close()


def fill(ledger: Ledger, size: int) -> None:
    for _ in range(0, size, 64 * 1024):
        ledger.append(LINES * 4096)


async def test_line_starts_after_the_end_of_one(ledger: Ledger) -> None:
    fill(ledger, 128 * 1024)
    assert await boundary(ledger, 0) == 0
    assert await boundary(ledger, 1) == 16
    assert await boundary(ledger, ledger.size) == ledger.size


async def test_output_without_lines_starts_anywhere(ledger: Ledger) -> None:
    ledger.append(b"x" * 100_000)
    assert await boundary(ledger, 5) == 5


@pytest.mark.parametrize(
    ("since", "replay", "start"),
    [(None, True, 0), (None, False, 1000), (7, True, 7), (5000, True, 1000), (7, False, 1000)],
)
async def test_start(ledger: Ledger, since: int | None, replay: bool, start: int) -> None:
    ledger.append(b"x" * 1000)
    viewer = Viewer(ledger, Pace(ledger))
    await viewer.start(since, replay=replay)
    assert viewer.offset == start


async def test_start_where_the_head_is_lost(ledger: Ledger) -> None:
    fill(ledger, 3 * MIB)
    assert first_offset(ledger) == 2 * MIB
    ledger.append(b"xyz")
    viewer = Viewer(ledger, Pace(ledger))
    await viewer.start(5, replay=True)
    assert viewer.offset == 2 * MIB + 16


async def test_viewer_that_was_overtaken_goes_on_with_the_newest(ledger: Ledger) -> None:
    viewer = Viewer(ledger, Pace(ledger))
    await viewer.start(None, replay=True)
    fill(ledger, 64 * 1024)
    async with contextlib.aclosing(viewer.output()) as output:
        assert isinstance(await anext(output), bytes)
        fill(ledger, 3 * MIB)
        while not isinstance(part := await anext(output), Skip):
            pass
        assert 0 <= part.offset - (ledger.size - FRESH) <= 16
        ledger.finish()
        rest = b"".join([part async for part in output if isinstance(part, bytes)])
    assert part.offset + len(rest) == ledger.size
    assert rest.startswith(LINES)


async def test_the_first_of_the_viewers_sets_the_pace(ledger: Ledger) -> None:
    pace, resumed = Pace(ledger), []
    fill(ledger, 2 * WINDOW)
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
