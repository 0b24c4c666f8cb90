"""A clone of a gigabyte leaves the daemon as small as it was."""

from __future__ import annotations

import json
import os
import pathlib
import urllib.request

import pytest

from tests.daemon_process import Process, serving
from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.repo import git

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
