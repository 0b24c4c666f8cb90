"""Large repositories: a clone of a gigabyte leaves the daemon as small as it was, and the loop goes on."""

from __future__ import annotations

import json
import os
import pathlib
import urllib.request
from typing import Any

import aiohttp
import pytest

from tests.daemon_process import Process, serving
from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.repo import git
from tests.load.test_terminals_load import probing

pytestmark = pytest.mark.alone

MB = 1_000_000


def post(served: Process, route: str, **fields: object) -> None:
    request = urllib.request.Request(f"{served.url}/git/{route}", data=json.dumps(fields).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=600) as answer:
        assert answer.status in (200, 201)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_clone_of_a_gigabyte_does_not_grow_the_daemon(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "remotes"
    work = repo.new(root / "work")
    for key, value in (("core.compression", "0"), ("core.bigFileThreshold", "1m")):
        git(work, "config", key, value)
    for number in range(10):
        with (work / f"blob{number}").open("wb") as blob:
            for _ in range(100):
                blob.write(os.urandom(MB))
    repo.commit(work, {}, "a gigabyte")
    bare = repo.bare(root / "big.git", work)
    # Looking for similarities between random blobs would take minutes.
    git(bare, "config", "core.bigFileThreshold", "1m")
    with remotes.serving(root) as server, serving(tmp_path / "daemon") as served:
        post(served, "clone", path="small", url=str(repo.new(root / "small")))
        served.get("/git/branches?path=small")
        before = served.resident_mb()
        post(served, "clone", path="big", url=f"{server.url}/open/big.git")
        grown = served.resident_mb() - before
    assert (tmp_path / "daemon" / "work" / "big" / "blob9").stat().st_size == 100 * MB
    assert grown < 10


def filled(tree: pathlib.Path) -> pathlib.Path:
    """Make a repository of 20,000 files that are not staged yet."""
    tree.mkdir()
    git(tree, "init", "-q")
    for number in range(20_000):
        path = tree / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * 20, encoding="ascii")
    return tree


def edited(tree: pathlib.Path) -> None:
    for path in tree.glob("d*/f*"):
        path.write_text("edited\n", encoding="ascii")


@pytest.mark.soak
async def test_loop_goes_on_while_twenty_thousand_files_are_worked_on(tmp_path: pathlib.Path) -> None:
    """Beside a bare program that only answers: what git takes of the two processors delays that one too."""
    worst: dict[str, list[float]] = {}
    with serving(tmp_path / "daemon") as served:
        tree = filled(served.workdir / "big")
        async with aiohttp.ClientSession(served.url) as http:

            async def during(name: str, method: str, route: str, **fields: Any) -> None:
                sent: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
                async with probing(served.url) as stalls, http.request(method, f"/git/{route}", **sent) as answer:
                    assert answer.status < 300, await answer.text()
                    await answer.read()
                worst[name] = stalls.worst()

            await during("add", "POST", "add", path="big", files=["."])
            await during("commit", "POST", "commit", path="big", message="m", author="A", email="a@b.c")
            edited(tree)
            await during("status", "GET", "status", path="big")
            await during("diff", "GET", "diff", path="big")
            await during("reset", "POST", "reset", path="big", mode="hard")
            await during("clone", "POST", "clone", path="copy", url=str(tree))
    slow = {name: times for name, times in worst.items() if times[-1] > 0.05}
    assert not slow, worst
    assert len(worst) == 6
