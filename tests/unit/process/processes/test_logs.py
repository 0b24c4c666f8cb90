"""Frames and cursors: each byte is read exactly once, however the output is split."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import pathlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from toolbox.errors import CursorExpired, InvalidCursor
from toolbox.host.output_log import Channel, Chunk, Retention
from toolbox.host.spool import Spool
from toolbox.process.processes import logs
from toolbox.process.processes.wire import ProcessLogFrame
from toolbox.runs import output
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.registry import Entry, Kind

CHANNELS = st.sampled_from([Channel.STDOUT, Channel.STDERR])
# Complete and incomplete code points of every length, so that pieces often end inside one.
PIECES = st.one_of(
    st.binary(min_size=1, max_size=6),
    st.text("aé€🙂", min_size=1, max_size=4).map(str.encode),
    st.sampled_from([b"\xf0\x9f", b"\x99\x82", b"\xc3", b"\xa9", b"\xe2\x82", b"\xac"]),
)


def content(frame: ProcessLogFrame) -> bytes:
    return base64.b64decode(frame.data) if frame.encoding == "base64" else frame.data.encode()


def chunks_of(pieces: list[tuple[Channel, bytes]]) -> list[Chunk]:
    chunks, offset = [], 0
    for channel, data in pieces:
        chunks.append(Chunk(offset, data, channel, 0.0))
        offset += len(data)
    return chunks


@given(st.lists(st.tuples(CHANNELS, PIECES), max_size=12), st.booleans())
def test_framer_neither_loses_nor_reorders(pieces: list[tuple[Channel, bytes]], text: bool) -> None:
    framer = logs.Framer(text=text)
    frames: list[ProcessLogFrame] = []
    offset = 0
    for chunk in chunks_of(pieces):
        frames += framer.feed(chunk)
        offset = chunk.end
        assert (int(frames[-1].cursor) if frames else 0) == offset - framer.waiting
        assert framer.waiting < 4
    frames += framer.flush()
    assert b"".join(map(content, frames)) == b"".join(data for _, data in pieces)
    position = 0
    for frame in frames:
        assert frame.seq == position
        position = int(frame.cursor)
        assert position == frame.seq + len(content(frame))


@given(st.text(min_size=1, max_size=30), st.data())
def test_text_cut_anywhere_stays_text(text: str, data: st.DataObject) -> None:
    whole = text.encode(errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    borders = [0, *cuts, len(whole)]
    pieces = [(Channel.STDOUT, whole[a:b]) for a, b in itertools.pairwise(borders) if a < b]
    framer = logs.Framer(text=True)
    frames = [frame for chunk in chunks_of(pieces) for frame in framer.feed(chunk)] + framer.flush()
    assert {frame.encoding for frame in frames} == {"text"}
    assert "".join(frame.data for frame in frames).encode() == whole


class Reading(RuleBasedStateMachine):
    """A process that writes, and readers that resume from their cursors."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.spool = Spool(pathlib.Path("/nowhere"))

    @initialize(head=st.sampled_from([0, 10]), tail=st.sampled_from([40, 10_000]), text=st.booleans())
    def start(self, head: int, tail: int, text: bool) -> None:
        self.entry = Entry(kind=Kind.EXEC, output=self.spool.output_log(Retention(head=head, tail=tail)))
        self.text = text
        self.written = b""
        self.cursor = "start"
        self.seen = b""

    def run(self, work: object) -> object:
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    @precondition(lambda self: self.entry.running)
    @rule(channel=CHANNELS, data=PIECES)
    def write(self, channel: Channel, data: bytes) -> None:
        self.entry.output.append(data, channel)
        self.written += data

    @precondition(lambda self: self.entry.running)
    @rule()
    def end(self) -> None:
        self.entry.finish(ExitInfo(0))

    @rule(limit=st.integers(1, 5))
    def read(self, limit: int) -> None:
        try:
            page = self.run(logs.page(self.entry, self.cursor, limit=limit, text=self.text))
        except CursorExpired as error:
            first = int(error.detail["firstAvailableCursor"])
            assert first > int(self.cursor)
            self.cursor, self.seen = str(first), self.written[:first]
            return
        for frame in page.frames:  # type: ignore[attr-defined]
            if frame.channel == "system":
                self.seen = self.written[: int(frame.cursor)]
            elif self.cursor == "start" and not self.seen:
                self.seen = self.written[: frame.seq] + content(frame)
            else:
                self.seen += content(frame)
        before, self.cursor = self.cursor, page.next_cursor  # type: ignore[attr-defined]
        if not page.frames:  # type: ignore[attr-defined]
            assert before in (self.cursor, "start")
            self.seen = self.written[: output.read_cursor(self.entry.output, before)]
        assert page.eof == (not self.entry.running and int(self.cursor) == len(self.written))  # type: ignore[attr-defined]

    @invariant()
    def position_and_content_agree(self) -> None:
        if self.cursor != "start":
            assert self.seen == self.written[: int(self.cursor)]

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.run(self.entry.output.close())
        self.run(self.spool.close())
        self.loop.close()


Reading.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReading = Reading.TestCase


@pytest.fixture
async def spool(tmp_path: pathlib.Path) -> AsyncIterator[Spool]:
    space = Spool(tmp_path)
    yield space
    await space.close()


async def test_gap_between_pages_is_reported(spool: Spool) -> None:
    entry = Entry(kind=Kind.EXEC, output=spool.output_log(Retention(head=10, tail=10)))
    entry.output.append(b"x" * 10 + b"-" * 80 + b"y" * 10)
    page = await logs.page(entry, None, limit=100, text=True)
    assert [(frame.channel, frame.data, frame.seq, frame.cursor) for frame in page.frames] == [
        ("stdout", "x" * 10, 0, "10"),
        ("system", "[80 bytes omitted]", 10, "90"),
        ("stdout", "y" * 10, 90, "100"),
    ]
    with pytest.raises(CursorExpired):
        await logs.page(entry, "10", limit=1, text=True)
    await entry.output.close()


@pytest.mark.parametrize("cursor", ["-1", "101", " 1", "1_0", "²"])
async def test_invalid_cursors(spool: Spool, cursor: str) -> None:
    entry = Entry(kind=Kind.EXEC, output=spool.output_log())
    entry.output.append(b"x" * 100)
    with pytest.raises(InvalidCursor):
        output.read_cursor(entry.output, cursor)
    assert output.read_cursor(entry.output, "100") == output.read_cursor(entry.output, "end") == 100
    await entry.output.close()


async def test_follower_stops_at_exit_though_a_child_has_the_output_open(spool: Spool) -> None:
    entry = Entry(kind=Kind.EXEC, output=spool.output_log())
    entry.output.append(b"one")
    events = logs.follow(entry, None, text=True)
    assert [(await anext(events))[0], (await anext(events))[0]] == ["state", "log"]
    entry.output.append(b"two")
    entry.finish(ExitInfo(0))
    rest = [(name, event) async for name, event in events]
    assert [name for name, _ in rest] == ["log", "state", "eof"]
    assert not entry.output.ended
    assert not entry.held
    await entry.output.close()
