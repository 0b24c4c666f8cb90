from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolbox.host.output_log import BACKLOG, IN_MEMORY, MIB, Channel, OutputLog, Retention
from toolbox.host.spool import Spool, SpoolFile
from toolbox.host.worker_pool import WorkerPool


async def contents(record: OutputLog) -> bytes:
    return b"".join([chunk.data async for chunk in record.chunks()])


def pattern(size: int, start: int = 0) -> bytes:
    """Return bytes that differ from offset to offset."""
    return b"".join(b"%015d\n" % n for n in range(start // 16, (start + size) // 16 + 1))[start % 16 :][:size]


async def test_small_output_is_read_back_from_memory(spool: Spool, tmp_path: pathlib.Path) -> None:
    record = spool.output_log()
    record.append(b"one ")
    record.append(b"two")
    assert await contents(record) == b"one two"
    assert not (tmp_path / "spool").exists()
    await record.close()


async def test_chunks_carry_offset_channel_and_time_in_order(spool: Spool) -> None:
    record = spool.output_log()
    record.append(b"out", Channel.STDOUT)
    record.append(b"err", Channel.STDERR)
    record.append(b"more", Channel.STDOUT)
    chunks = await record.read()
    assert [(c.offset, c.data, c.channel) for c in chunks] == [
        (0, b"out", Channel.STDOUT),
        (3, b"err", Channel.STDERR),
        (6, b"more", Channel.STDOUT),
    ]
    assert chunks[0].time <= chunks[1].time <= chunks[2].time
    assert [c.data for c in await record.read(4, 3)] == [b"rr", b"m"]
    await record.close()


async def fill(record: OutputLog, size: int, step: int = 100_000) -> None:
    """Append a pattern as a producer does: pausing when asked to."""
    room = asyncio.Event()
    for start in range(0, size, step):
        record.append(pattern(min(step, size - start), start))
        if record.congested:
            room.clear()
            record.on_room(room.set)
            await room.wait()


async def test_long_output_goes_to_disk_and_comes_back_whole(spool: Spool) -> None:
    record = spool.output_log()
    await fill(record, 9 * MIB)
    assert len(record._buffer) <= BACKLOG
    assert await contents(record) == pattern(9 * MIB)
    assert b"".join(c.data for c in await record.read(5 * MIB + 7, 100)) == pattern(100, 5 * MIB + 7)
    await record.close()


async def test_spool_file_has_no_name_and_is_closed(spool: Spool, tmp_path: pathlib.Path) -> None:
    record = spool.output_log()
    await fill(record, 6 * MIB)
    await contents(record)
    assert list((tmp_path / "spool").iterdir()) == []
    await record.close()
    assert await record.read() == []


async def test_head_and_tail_survive_the_cap(spool: Spool) -> None:
    record = spool.output_log(Retention(head=MIB, tail=2 * MIB))
    await fill(record, 20 * MIB)
    assert record.size == 20 * MIB
    assert record.dropped == 17 * MIB
    assert await contents(record) == pattern(MIB) + pattern(2 * MIB, 18 * MIB)
    assert (await record.read(5 * MIB))[0].offset == 18 * MIB
    await record.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.integers(0, 300),
    tail=st.integers(1, 300),
    pieces=st.lists(st.integers(1, 400), max_size=30),
    at=st.integers(0, 3000),
)
async def test_any_cap_keeps_exactly_head_and_tail(
    tmp_path: pathlib.Path, head: int, tail: int, pieces: list[int], at: int
) -> None:
    space = Spool(tmp_path / "spool", in_memory=50)
    record = space.output_log(Retention(head, tail))
    for piece in pieces:
        record.append(pattern(piece, record.size))
        await asyncio.sleep(0)
    whole = pattern(record.size)
    size = len(whole)
    kept = whole if size <= head + tail else whole[:head] + whole[size - tail :]
    assert await contents(record) == kept
    expected = whole[at : at + 10]
    got = await record.read(at, 10)
    if got and got[0].offset == at:
        joined = b"".join(chunk.data for chunk in got)
        assert joined == expected[: len(joined)]
        assert joined
    else:
        assert at >= size or head <= at < size - tail
    await record.close()
    await space.close()


async def test_follower_sees_everything_until_the_end(spool: Spool) -> None:
    record = spool.output_log()
    seen: list[bytes] = []

    async def follow() -> None:
        seen.extend([chunk.data async for chunk in record.follow()])

    task = asyncio.create_task(follow())
    for word in (b"a", b"b", b"c"):
        record.append(word)
        await asyncio.sleep(0)
    record.finish()
    await task
    assert b"".join(seen) == b"abc"
    record.append(b"late")
    assert record.size == 3
    await record.close()


async def test_follower_ends_when_the_output_log_is_closed(spool: Spool) -> None:
    record = spool.output_log()
    task = asyncio.create_task(anext(record.follow(), None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await record.close()
    assert await task is None


async def test_slow_follower_without_hold_sees_the_gap(spool: Spool) -> None:
    record = spool.output_log(Retention(head=0, tail=MIB))
    record.append(b"x" * 10)
    async with contextlib.aclosing(record.follow()) as chunks:
        assert (await anext(chunks)).offset == 0
        await fill(record, 4 * MIB)
        assert (await anext(chunks)).offset >= 3 * MIB
    await record.close()


async def test_held_follower_stops_the_producer_and_loses_nothing(spool: Spool) -> None:
    record = spool.output_log(Retention(head=0, tail=2 * MIB))
    seen = bytearray()
    async with contextlib.aclosing(record.follow(hold=True)) as chunks:
        record.append(b"")
        producer = asyncio.create_task(fill(record, 12 * MIB))
        async for chunk in chunks:
            assert chunk.offset == len(seen)
            seen += chunk.data
            if len(seen) == 12 * MIB:
                break
    await producer
    assert bytes(seen) == pattern(12 * MIB)
    await record.close()


async def test_producer_goes_on_when_the_held_follower_leaves(spool: Spool) -> None:
    record = spool.output_log(Retention(head=0, tail=MIB))
    record.append(b"first")
    async with contextlib.aclosing(record.follow(hold=True)) as chunks:
        await anext(chunks)
        producer = asyncio.create_task(fill(record, 6 * MIB))
        while not record.congested:
            await asyncio.sleep(0)
        assert not producer.done()
    await producer
    assert record.size == 6 * MIB + 5
    await record.close()


class Full:
    """A disk that takes nothing after its first write."""

    def __init__(self, inner: SpoolFile, room: int) -> None:
        self._inner, self._room = inner, room

    def write(self, offset: int, data: bytes | bytearray) -> None:
        if offset + len(data) > self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._inner.write(offset, data)

    def read(self, offset: int, size: int) -> bytes:
        return self._inner.read(offset, size)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("room", [0, 4 * MIB])
async def test_full_disk_keeps_what_fitted_and_the_end(tmp_path: pathlib.Path, room: int) -> None:
    workers = WorkerPool("test", 1)
    kept = Retention()
    record = OutputLog(kept, lambda: Full(SpoolFile(tmp_path, kept), room), workers)
    await fill(record, 12 * MIB)
    whole = await contents(record)
    assert whole.endswith(pattern(IN_MEMORY // 2, 12 * MIB - IN_MEMORY // 2))
    assert len(whole) <= room + IN_MEMORY + 100_000
    head = len(whole) - IN_MEMORY - 100_000
    assert whole[: max(head, 0)] == pattern(max(head, 0))
    assert record.dropped > 0
    await record.close()
    await workers.close()


async def test_alternating_channels_cannot_grow_the_index_without_bound(tmp_path: pathlib.Path) -> None:
    space = Spool(tmp_path / "spool", max_records=1000)
    record = space.output_log()
    for n in range(50_000):
        record.append(b"%07d\n" % n * 10, Channel.STDOUT if n % 2 else Channel.STDERR)
    await contents(record)
    record.append(b"last")
    while record._writer is not None:
        await asyncio.sleep(0)
    assert len(record._index.starts) < 20_000
    assert (await contents(record)).endswith(b"last")
    assert (await contents(record)).startswith(b"0000000\n")
    await record.close()
    await space.close()


async def test_stream_at_rest_gives_back_its_memory_and_is_still_read(spool: Spool) -> None:
    output_log = spool.output_log()
    data = bytes(range(256)) * 3000
    output_log.append(data)
    output_log.finish()
    output_log.rest()
    while len(output_log._buffer) + len(output_log._batch) > 64 * 1024:
        await asyncio.sleep(0)
    assert b"".join([chunk.data async for chunk in output_log.chunks()]) == data
    small = spool.output_log()
    small.append(b"x" * 1000)
    small.rest()
    assert small._writer is None
    await output_log.close()
    await small.close()


async def test_only_what_is_in_memory_is_closed_at_once(spool: Spool) -> None:
    small, large = spool.output_log(), spool.output_log()
    small.append(b"x" * 100)
    large.append(b"x" * 2 * MIB)
    assert small.close_at_once()
    assert small.ended
    assert await small.read() == []
    assert not large.close_at_once()
    assert not large.ended
    await large.close()
