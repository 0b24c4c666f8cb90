"""The daemon's side of a pseudo-terminal, with real programs on the other."""

from __future__ import annotations

import asyncio
import os
import pathlib
import termios
import time
from collections.abc import AsyncIterator, Callable

import pytest

from toolbox.host.child import Child
from toolbox.host.launch import Launch
from toolbox.host.ledger import Channel, Ledger, Retention
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


async def start(procs: Procs, ledger: Ledger, script: str, gate: Open | Shut) -> tuple[Child, Pty]:
    pair = open_pair(80, 24)
    launch = Launch(["sh", "-c", script], ENV, "/", stdin=pair.slave, stdout=pair.slave, terminal=pair.path)
    return await procs.spawn_raw(launch), Pty(pair, ledger, gate)


async def recorded(ledger: Ledger) -> bytes:
    return b"".join([chunk.data async for chunk in ledger.chunks()])


def test_new_terminal_has_its_size_and_erases_whole_characters() -> None:
    pair = open_pair(123, 45)
    assert os.get_terminal_size(pair.slave) == (123, 45)
    assert termios.tcgetattr(pair.slave)[0] & IUTF8
    assert os.ttyname(pair.slave) == pair.path
    os.close(pair.master)
    os.close(pair.slave)


async def test_output_is_complete_when_it_settles(procs: Procs, spool: Spool) -> None:
    ledger = spool.ledger()
    child, pty = await start(procs, ledger, "stty -opost; seq 50000", Open())
    await child.wait()
    started = time.monotonic()
    await pty.settle()
    assert time.monotonic() - started < 2
    assert await recorded(ledger) == b"".join(b"%d\n" % number for number in range(1, 50001))
    assert {chunk.channel async for chunk in ledger.chunks()} == {Channel.TERMINAL}
    pty.close()
    await ledger.close()


async def test_what_runs_on_in_the_background_is_hung_up(procs: Procs, spool: Spool) -> None:
    ledger = spool.ledger()
    child, pty = await start(procs, ledger, "trap '' HUP; (echo mine; exec sleep 1000) & sleep 0.1", Open())
    await child.wait()
    await pty.settle()
    assert await recorded(ledger) == b"mine\r\n"
    pty.close()
    pty.close()
    await child.terminate()
    with pytest.raises(BrokenPipeError):
        await pty.write(b"x")
    assert pty.foreground() == 0
    await ledger.close()


async def test_program_waits_while_its_output_has_no_room(procs: Procs, spool: Spool) -> None:
    ledger, gate = spool.ledger(Retention(head=0, tail=1024 * 1024)), Shut()
    child, pty = await start(procs, ledger, "stty -opost; seq 100000", gate)
    while not gate.waiting:
        await asyncio.sleep(0)
    held = ledger.size
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await child.wait()
    assert ledger.size == held
    gate.congested = False
    gate.waiting.pop()()
    await child.wait()
    await pty.settle()
    assert ledger.size == sum(len(b"%d\n" % number) for number in range(1, 100001))
    pty.close()
    await ledger.close()


async def test_end_is_read_although_there_is_no_room(procs: Procs, spool: Spool) -> None:
    ledger, gate = spool.ledger(), Shut()
    child, pty = await start(procs, ledger, "echo one; sleep 0.1; echo two", gate)
    await child.wait()
    await pty.settle()
    assert await recorded(ledger) == b"one\r\ntwo\r\n"
    pty.close()
    await ledger.close()


async def test_foreground_is_what_the_keyboard_belongs_to(procs: Procs, spool: Spool) -> None:
    ledger = spool.ledger()
    child, pty = await start(procs, ledger, "echo ready; read x; echo got $x", Open())
    async for _ in ledger.follow():
        break
    assert pty.foreground() == child.pid
    await pty.write(b"it\n")
    await child.wait()
    await pty.settle()
    assert (await recorded(ledger)).endswith(b"got it\r\n")
    pty.close()
    await ledger.close()
