from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.process.code.typescript import MAX_CODE, Stripper

NODE = str(pathlib.Path(sys.executable).parent / "node")

pytestmark = pytest.mark.skipif(not pathlib.Path(NODE).exists(), reason="needs node")


@pytest.fixture
async def procs(tmp_path: pathlib.Path) -> AsyncIterator[Procs]:
    spool = Spool(tmp_path / "spool")
    host = Procs(spool)
    yield host
    await host.close()
    await spool.close()


@pytest.fixture
async def stripper(procs: Procs) -> AsyncIterator[Stripper]:
    made = Stripper(procs, {"PATH": os.environ["PATH"]})
    yield made
    await made.close()


async def test_types_are_stripped_in_one_process(procs: Procs, stripper: Stripper) -> None:
    programs = [f"const a: number = {number}" for number in range(4)]
    answers = await asyncio.gather(*(stripper.strip(NODE, program) for program in programs))
    assert [" ".join((answer or "").split()) for answer in answers] == [f"const a = {number}" for number in range(4)]
    assert len(procs.live) == 1


async def test_invalid_or_very_large_programs_are_left_to_node(procs: Procs, stripper: Stripper) -> None:
    assert await stripper.strip(NODE, "const a: = 1") is None
    assert await stripper.strip(NODE, " " * (MAX_CODE + 1)) is None
    assert await stripper.strip(NODE, "enum A { B }") is not None
    assert len(procs.live) == 1


async def test_helper_that_dies_or_whose_answer_is_cancelled_is_replaced(procs: Procs, stripper: Stripper) -> None:
    assert await stripper.strip(NODE, "1") == "1"
    first = procs.live[0]
    first.signal_group(signal.SIGSTOP)  # the node of a wheel is a child of a script
    stripping = asyncio.create_task(stripper.strip(NODE, "2"))
    await asyncio.wait([stripping], timeout=0.05)
    stripping.cancel()
    await asyncio.wait([stripping])
    assert await stripper.strip(NODE, "3") == "3"
    assert not first.running
    second = procs.live[0]
    second.signal_group(signal.SIGKILL)
    assert await stripper.strip(NODE, "4") in {None, "4"}  # the exit may not have been noticed yet
    assert await stripper.strip(NODE, "5") == "5"


async def test_node_that_fails_is_asked_once(
    stripper: Stripper, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\necho no such module >&2\nexit 1\n", encoding="utf-8")
    node.chmod(0o755)
    for _ in range(3):
        assert await stripper.strip(str(node), "1") is None
    assert (tmp_path / "starts").read_text(encoding="utf-8") == "started\n"
    assert "TypeScript helper failed to start: exited with status 1: no such module" in caplog.text
