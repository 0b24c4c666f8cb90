"""Large files with the real git-lfs: commits contain pointers, clones get the content."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git

pytestmark = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
LARGE = os.urandom(300_000)
WHO = {"username": USER, "password": TOKEN}


@pytest.fixture
def lfs(served: Git) -> None:
    """Set git-lfs up for the user, as its installation does."""
    env = {"PATH": os.environ["PATH"], "HOME": str(served.home), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, env=env, capture_output=True)


@pytest.mark.usefixtures("lfs")
async def test_large_files_travel_with_their_commits(served: Git, http: Server) -> None:
    bare, _ = repo.published(http.root)
    url = f"{http.url}/auth/x.git"
    await served.post("clone", path="r", url=url, **WHO)
    tree = served.work / "r"
    (tree / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (tree / "large.bin").write_bytes(LARGE)
    await served.post("add", path="r", files=["."])
    await served.commit()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(LARGE).hexdigest()}\n"
    assert git(tree, "cat-file", "blob", "HEAD:large.bin").startswith(pointer)
    assert await served.files() == []
    http.seen.clear()
    await served.post("push", path="r", **WHO)
    paths = [path for path, _ in http.seen]
    stored = next(number for number, path in enumerate(paths) if path.startswith("/object/"))
    assert stored < paths.index("/auth/x.git/git-receive-pack"), "the commit was there before its large file"
    assert list(http.objects.values()) == [LARGE]
    assert "large.bin" in git(bare, "ls-tree", "--name-only", "main").split()

    await served.post("clone", path="fresh", url=url, **WHO)
    assert (served.work / "fresh" / "large.bin").read_bytes() == LARGE
    assert await served.files("fresh") == []
    (tree / "large.bin").write_bytes(LARGE[::-1])
    await served.post("add", path="r", files=["large.bin"])
    await served.commit()
    await served.post("push", path="r", **WHO)
    await served.post("pull", path="fresh", **WHO)
    assert (served.work / "fresh" / "large.bin").read_bytes() == LARGE[::-1]
    await served.post("checkout", path="fresh", branch=git(tree, "rev-parse", "HEAD~1"))
    assert (served.work / "fresh" / "large.bin").read_bytes() == LARGE


@pytest.mark.usefixtures("lfs")
async def test_clone_without_the_content_of_a_large_file_leaves_nothing(served: Git, http: Server) -> None:
    repo.published(http.root)
    url = f"{http.url}/auth/x.git"
    await served.post("clone", path="r", url=url, **WHO)
    (served.work / "r" / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (served.work / "r" / "large.bin").write_bytes(LARGE)
    await served.post("add", path="r", files=["."])
    await served.commit()
    await served.post("push", path="r", **WHO)
    http.objects.clear()
    message = await served.fails("INTERNAL_SERVER_ERROR", "clone", path="fresh", url=url, **WHO)
    assert "object is gone" in message
    assert TOKEN not in message
    assert not (served.work / "fresh").exists()


@pytest.mark.usefixtures("lfs")
async def test_large_files_are_shown_as_they_are_without_the_program(served: Git, tree: pathlib.Path) -> None:
    """A required filter that cannot run is a failure for git; the response names the filter."""
    (tree / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (tree / "large.bin").write_bytes(LARGE)
    git(tree, "config", "filter.lfs.clean", "no-such-git-lfs clean -- %f")
    git(tree, "config", "filter.lfs.process", "")
    assert "clean filter 'lfs' failed" in await served.fails(
        "INTERNAL_SERVER_ERROR", "add", path="r", files=["large.bin"]
    )
