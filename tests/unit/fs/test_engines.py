"""Both engines of find return the same matches on generated trees."""

from __future__ import annotations

import asyncio
import os
import pathlib
import threading
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolbox.errors import BadRequest
from toolbox.fs.find import Find
from toolbox.fs.ripgrep import Ripgrep, find_binary
from toolbox.fs.scan import WINDOW
from toolbox.fs.wire import FindQuery
from toolbox.host.paths import Workdir
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.host.worker_pool import WorkerPool
from toolbox.wire import Flag

CONTENT = st.lists(
    st.sampled_from(
        [
            b"needle",
            b"Needle",
            b"x",
            b"\n",
            b"\r\n",
            b"\0",
            b"\xff",
            "ä".encode(),
            b"y" * 5000,
            b".",
            b"(",
            b"z" * 70_000,
        ]
    ),
    max_size=14,
).map(b"".join)
NAMES = st.sampled_from(
    [b"a", b"a.txt", b"b/c.py", b"b/d/e", b".hidden", b"b.x", b"\xff", "ä ö".encode(), b"-n", b"new\nline"]
)
TREES = st.dictionaries(NAMES, CONTENT, max_size=6)
PATTERNS = st.sampled_from(["needle", "x", ".", "(", "ä", "ne", "zz"])


@pytest.fixture
async def procs(tmp_path: pathlib.Path) -> AsyncIterator[Procs]:
    spool = Spool(tmp_path)
    procs = Procs(spool)
    yield procs
    await procs.close()
    await spool.close()


@pytest.mark.slow
async def test_engines_agree(tmp_path: pathlib.Path, procs: Procs) -> None:
    if await asyncio.to_thread(find_binary) is None:
        pytest.skip("ripgrep is not installed")
    workers = WorkerPool("engines", 4)
    compared = 0
    cases: list[tuple[dict[bytes, bytes], str, bool, bool]] = []

    @settings(max_examples=60, deadline=None, database=None)
    @given(TREES, PATTERNS, st.booleans(), st.booleans())
    def collect(tree: dict[bytes, bytes], pattern: str, ignore_case: bool, regex: bool) -> None:
        # "." matches a character in ripgrep and a byte in our scanner: they differ on a line of invalid UTF-8 only.
        broken = pattern == "." and any(b"\xff" in content for content in tree.values())
        cases.append((tree, pattern, ignore_case, regex and pattern != "(" and not broken))

    collect()
    for number, (tree, pattern, ignore_case, regex) in enumerate(cases):
        root = os.fsencode(tmp_path / str(number))
        os.mkdir(root)
        for name, content in tree.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.isdir(path):
                with open(path, "wb") as file:
                    file.write(content)
        query = FindQuery(
            path=str(number), pattern=pattern, ignore_case=Flag(ignore_case), regex=Flag(regex), context=1
        )
        workdir = Workdir(str(tmp_path))
        theirs = await Find(workdir, workers, Ripgrep(procs, workers)).find(query)
        ours = await Find(workdir, workers, None).find(query)
        assert msgspec.to_builtins(list(theirs[0])) == msgspec.to_builtins(list(ours[0])), (tree, query)
        compared += len(ours[0])
    assert compared > 5
    await workers.close()


class Pulse(threading.Thread):
    """Measure the longest time in which this process ran no other thread."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self.stop = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self.stop.is_set():
            time.sleep(0.002)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("ripgrep", [True, False])
@pytest.mark.parametrize(
    ("unit", "pattern", "regex", "ignore_case"),
    [
        (b"a", "a", False, False),
        (b"a", "A", False, True),
        (b"a", ".", True, False),
        (b"a", "[^b]+", True, True),
        (b"ab", "b{1,3}a", True, False),
        (b"a", "b", False, True),
    ],
)
async def test_a_line_of_30_mb(
    tmp_path: pathlib.Path, procs: Procs, ripgrep: bool, unit: bytes, pattern: str, regex: bool, ignore_case: bool
) -> None:
    if ripgrep and await asyncio.to_thread(find_binary) is None:
        pytest.skip("ripgrep is not installed")
    (tmp_path / "long").write_bytes(unit * (30_000_000 // len(unit)) + b"\n" + unit * 4 + b"\n")
    workers = WorkerPool("engines", 4)
    engine = Find(Workdir(str(tmp_path)), workers, Ripgrep(procs, workers) if ripgrep else None)
    query = FindQuery(path=".", pattern=pattern, ignore_case=Flag(ignore_case), regex=Flag(regex))
    await engine.find(FindQuery(path=".", pattern="[b]{9}", regex=Flag(True), max_file_size=1))  # imports
    pulse = Pulse()
    pulse.start()
    async with asyncio.timeout(10):
        found, _ = await engine.find(query)
    pulse.stop.set()
    pulse.join()
    expected = [] if pattern == "b" else [(1, WINDOW, True), (2, 4 * len(unit), None)]
    assert [(match.line, len(match.content), match.truncated or None) for match in found] == expected
    assert pulse.longest < 0.2  # 50 ms of the GIL, and what a busy machine adds
    await workers.close()


async def test_a_pattern_that_backtracks_for_ever_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolbox.fs.scan._SECONDS", 0.3)
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(b"a" * 5000 + b"!\n")
    workers = WorkerPool("engines", 4)
    query = FindQuery(path=".", pattern="(a|aa)+$", regex=Flag(True))
    async with asyncio.timeout(10):
        with pytest.raises(BadRequest, match="takes too long"):
            await Find(Workdir(str(tmp_path)), workers, None).find(query)
    await workers.close()
