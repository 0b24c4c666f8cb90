"""Lanes: bounded, and never ahead of their own threads when cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from toolbox.errors import BadRequest, InvalidPath
from toolbox.host import paths
from toolbox.host.worker_pool import WorkerPool


async def test_at_most_so_many_at_once() -> None:
    workers = WorkerPool("test", 2)
    gate, inside, most = threading.Barrier(2), threading.Semaphore(2), []

    def work() -> None:
        most.append(inside.acquire(blocking=False))
        gate.wait(5)
        inside.release()

    await asyncio.gather(*(workers.run(work) for _ in range(8)))
    assert most == [True] * 8
    await workers.close()


async def test_cancelled_caller_waits_for_its_thread() -> None:
    workers = WorkerPool("test", 1)
    entered, leave, left = threading.Event(), threading.Event(), []

    def work() -> None:
        entered.set()
        leave.wait(5)
        left.append(True)

    task = asyncio.create_task(workers.run(work))
    await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, leave.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left == [True]
    await workers.close()


async def test_cancel_stops_work_that_looks_at_the_event() -> None:
    workers = WorkerPool("test", 1)
    stop, entered = threading.Event(), threading.Event()

    def work() -> bool:
        entered.set()
        return stop.wait(5)

    task = asyncio.create_task(workers.run_until(stop, work))
    await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await workers.close()


def test_nul_is_refused() -> None:
    with pytest.raises(InvalidPath, match="NUL"):
        paths.Workdir("/").resolve("a\0b")


def test_path_is_required() -> None:
    with pytest.raises(BadRequest, match="path is required"):
        paths.Workdir("/").resolve("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", b"/w/a"), ("./a", b"/w/./a"), ("../a", b"/w/../a"), ("/a", b"/a"), ("\udcff", b"/w/\xff"), ("~", b"/w/~")],
)
def test_paths_are_joined_and_not_changed(text: str, expected: bytes) -> None:
    assert paths.Workdir("/w").resolve(text) == expected


@pytest.mark.parametrize(
    ("root", "relative", "expected"),
    [
        (b"", b"a", b"a"),
        (b".", b"s/a", b"s/a"),
        (b"/srv", b"a", b"/srv/a"),
        (b"/", b"a", b"/a"),
        (b"//", b"a", b"/a"),
        (b"x/", b"a", b"x/a"),
        (b"x", b"", b"x"),
    ],
)
def test_shown_paths_are_clean_joins(root: bytes, relative: bytes, expected: bytes) -> None:
    assert paths.clean(root, relative) == expected


@pytest.mark.parametrize("name", [b"plain", b"\xff", b"\xf0\x9f\x98\x80", b"a\xffb\xfe"])
def test_bytes_survive_the_way_to_text_and_back(name: bytes) -> None:
    assert paths.encode(paths.decode(name)) == name
