from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.errors import NameConflict, ProcessNotFound
from toolbox.host.output_log import OutputLog
from toolbox.host.spool import Spool
from toolbox.runs.exit_info import ExitInfo, Reason
from toolbox.runs.registry import Entry, Keep, Kind, Registry


@pytest.fixture
async def spool(tmp_path: pathlib.Path) -> AsyncIterator[Spool]:
    space = Spool(tmp_path)
    yield space
    await space.close()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry(keep=3, ttl=100, keep_bytes=1000)
    yield made
    await made.close()


def entry(spool: Spool, data: bytes = b"x", **fields: object) -> Entry:
    made = Entry(kind=Kind.EXEC, output=spool.output_log(), **fields)  # type: ignore[arg-type]
    made.output.append(data)
    return made


async def content(output_log: OutputLog) -> bytes:
    return b"".join([chunk.data async for chunk in output_log.chunks()])


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_entry_is_found_until_it_is_discarded(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool))
    assert registry.get(one.id) is one
    assert list(registry) == [one]
    registry.discard(one)
    with pytest.raises(ProcessNotFound, match="process not found"):
        registry.get(one.id)


async def test_end_is_noted_once_and_wakes_who_waits(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool))
    waiting = asyncio.create_task(one.wait())
    await asyncio.sleep(0)
    assert one.running
    one.finish(ExitInfo(137, "SIGKILL", Reason.TIMED_OUT))
    one.finish(ExitInfo(0))
    end = await waiting
    assert (end.code, end.signal, end.reason, one.running) == (137, "SIGKILL", Reason.TIMED_OUT, False)


async def test_name_belongs_to_what_runs(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool, name="web"))
    second = entry(spool, name="web")
    with pytest.raises(NameConflict, match="web"):
        registry.add(second)
    one.finish(ExitInfo(0))
    assert registry.add(second) is second


async def test_only_the_newest_ended_are_kept(registry: Registry, spool: Spool) -> None:
    running = registry.add(entry(spool))
    ended = [registry.add(entry(spool)) for _ in range(5)]
    for one in ended:
        one.finish(ExitInfo(0))
    await settle()
    assert list(registry) == [running, *ended[2:]]
    assert [await content(one.output) for one in ended] == [b"", b"", b"x", b"x", b"x"]


async def test_eldest_goes_when_there_is_too_much_output(registry: Registry, spool: Spool) -> None:
    ended = [registry.add(entry(spool, b"x" * 600)) for _ in range(2)]
    for one in ended:
        one.finish(ExitInfo(0))
    assert list(registry) == ended[1:]


async def test_what_is_not_kept_loses_its_output_when_nobody_holds_it(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool, keep=Keep.NONE))
    with one.hold():
        one.finish(ExitInfo(0))
        await settle()
        assert await content(one.output) == b"x"
    await settle()
    assert await content(one.output) == b""
    assert registry.get(one.id) is one


async def test_what_passes_is_forgotten_unless_its_output_is_to_be_kept(registry: Registry, spool: Spool) -> None:
    gone, kept = (registry.add(entry(spool, keep=Keep.NONE, ephemeral=True)) for _ in range(2))
    with kept.hold():
        gone.finish(ExitInfo(0))
        kept.finish(ExitInfo(0))
        kept.keep = Keep.ON_EXIT_TTL
    await settle()
    assert list(registry) == [kept]
    assert await content(gone.output) == b""


async def test_held_output_survives_being_discarded(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool))
    one.finish(ExitInfo(0))
    with one.hold():
        registry.discard(one)
        await settle()
        assert await content(one.output) == b"x"
    await settle()
    assert await content(one.output) == b""


async def test_old_entries_go_when_the_next_one_ends(spool: Spool) -> None:
    registry = Registry(ttl=0)
    kept = registry.add(entry(spool, keep=Keep.UNTIL_CLEANUP))
    old = registry.add(entry(spool))
    kept.finish(ExitInfo(0))
    old.finish(ExitInfo(0))
    assert list(registry) == [kept]
    await registry.close()


async def test_foreign_output_log_is_never_closed(spool: Spool) -> None:
    registry = Registry(keep=0)
    one = registry.add(entry(spool, owned=False))
    one.finish(ExitInfo(0))
    await registry.close()
    assert list(registry) == []
    assert await content(one.output) == b"x"
    await one.output.close()


async def test_close_closes_also_what_runs_and_is_held(registry: Registry, spool: Spool) -> None:
    one = registry.add(entry(spool))
    with one.hold():
        await registry.close()
        assert one.output.ended
        assert await content(one.output) == b""
