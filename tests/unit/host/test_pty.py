"""The daemon's side of a pseudo-terminal, with real programs on the other."""

from __future__ import annotations

import asyncio
import os
import pathlib
import termios
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.timing import bare_spawn
from toolbox.host.child import Child
from toolbox.host.launch import Launch
from toolbox.host.output_log import Channel, OutputLog, Retention
from toolbox.host.procs import Procs
from toolbox.host.pty import IUTF8, Pty, open_pair
from toolbox.host.spool import Spool

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Open:
    """A gate that never closes."""

    congested = False

    def on_room(self, resume: Callable[[], None]) -> None:
        raise AssertionError("nobody should wait")


class Shut:
    """A gate that is closed until it is opened."""

    def __init__(self) -> None:
        self.congested = True
        self.waiting: list[Callable[[], None]] = []

    def on_room(self, resume: Callable[[], None]) -> None:
        self.waiting.append(resume)


@pytest.fixture
async def spool(tmp_path: pathlib.Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    await spool.close()


@pytest.fixture
async def procs(spool: Spool) -> AsyncIterator[Procs]:
    procs = Procs(spool)
    yield procs
    await procs.close()


async def start(procs: Procs, output_log: OutputLog, script: str, gate: Open | Shut) -> tuple[Child, Pty]:
    pair = open_pair(80, 24)
    launch = Launch(["sh", "-c", script], ENV, "/", stdin=pair.slave, stdout=pair.slave, terminal=pair.path)
    return await procs.spawn_raw(launch), Pty(pair, output_log, gate)


async def recorded(output_log: OutputLog) -> bytes:
    return b"".join([chunk.data async for chunk in output_log.chunks()])


def test_new_terminal_has_its_size_and_erases_whole_characters() -> None:
    pair = open_pair(123, 45)
    assert os.get_terminal_size(pair.slave) == (123, 45)
    assert termios.tcgetattr(pair.slave)[0] & IUTF8
    assert os.ttyname(pair.slave) == pair.path
    os.close(pair.master)
    os.close(pair.slave)


async def test_output_is_complete_when_it_settles(procs: Procs, spool: Spool) -> None:
    output_log = spool.output_log()
    child, pty = await start(procs, output_log, "stty -opost; seq 50000", Open())
    await child.wait()
    bare = bare_spawn()
    started = time.monotonic()
    await pty.settle()
    assert time.monotonic() - started < 100 * bare
    assert await recorded(output_log) == b"".join(b"%d\n" % number for number in range(1, 50001))
    assert {chunk.channel async for chunk in output_log.chunks()} == {Channel.TERMINAL}
    pty.close()
    await output_log.close()


async def test_what_runs_on_in_the_background_is_hung_up(procs: Procs, spool: Spool) -> None:
    output_log = spool.output_log()
    child, pty = await start(procs, output_log, "trap '' HUP; (echo mine; exec sleep 1000) & sleep 0.1", Open())
    await child.wait()
    await pty.settle()
    assert await recorded(output_log) == b"mine\r\n"
    pty.close()
    pty.close()
    await child.terminate()
    with pytest.raises(BrokenPipeError):
        await pty.write(b"x")
    assert pty.foreground() == 0
    await output_log.close()


async def test_program_waits_while_its_output_has_no_room(procs: Procs, spool: Spool) -> None:
    output_log, gate = spool.output_log(Retention(head=0, tail=1024 * 1024)), Shut()
    child, pty = await start(procs, output_log, "stty -opost; seq 100000", gate)
    while not gate.waiting:
        await asyncio.sleep(0)
    held = output_log.size
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await child.wait()
    assert output_log.size == held
    gate.congested = False
    gate.waiting.pop()()
    await child.wait()
    await pty.settle()
    assert output_log.size == sum(len(b"%d\n" % number) for number in range(1, 100001))
    pty.close()
    await output_log.close()


async def test_end_is_read_although_there_is_no_room(procs: Procs, spool: Spool) -> None:
    output_log, gate = spool.output_log(), Shut()
    child, pty = await start(procs, output_log, "echo one; sleep 0.1; echo two", gate)
    await child.wait()
    await pty.settle()
    assert await recorded(output_log) == b"one\r\ntwo\r\n"
    pty.close()
    await output_log.close()


async def test_foreground_is_what_the_keyboard_belongs_to(procs: Procs, spool: Spool) -> None:
    output_log = spool.output_log()
    child, pty = await start(procs, output_log, "echo ready; read x; echo got $x", Open())
    async for _ in output_log.follow():
        break
    assert pty.foreground() == child.pid
    await pty.write(b"it\n")
    await child.wait()
    await pty.settle()
    assert (await recorded(output_log)).endswith(b"got it\r\n")
    pty.close()
    await output_log.close()
