"""The same responses without a git program, and 422 for operations that libgit2 would do wrong."""

from __future__ import annotations

import pathlib

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, str]:
    """Return an environment without any program on the path."""
    return {"PATH": str(tmp_path / "nothing")}


async def test_whole_cycle(served: Git, http: Server) -> None:
    bare, other = repo.published(http.root)
    who = {"username": USER, "password": TOKEN}
    await served.post("clone", path="r", url=f"{http.url}/auth/x.git", **who)
    tree = served.work / "r"
    (tree / "new").write_text("new")
    (tree / "a.txt").unlink()
    assert await served.files() == [("a.txt", "Unmodified", "Deleted"), ("new", "Untracked", "Untracked")]
    await served.post("add", path="r", files=["new", "a.txt"])
    made = await served.commit()
    assert (await served.get("status", path="r"))["ahead"] == 1
    await served.post("push", path="r", **who)
    assert git(bare, "rev-parse", "main") == made
    git(other, "pull", "-q")
    newer = repo.commit(other, {"z": "1"})
    git(other, "push", "-q", "origin", "main")
    await served.post("pull", path="r", **who)
    assert [one["hash"] for one in await served.get("history", path="r")][:2] == [newer, made]
    await served.post("branches", 201, path="r", name="dev")
    await served.post("checkout", path="r", branch="main")
    await served.post("reset", path="r", mode="hard", target="HEAD~1")
    assert (git(tree, "rev-parse", "HEAD"), git(tree, "status", "--porcelain")) == (made, "")
    await served.post("restore", path="r", files=["a.txt"], source="HEAD~1")
    assert (tree / "a.txt").read_text() == "one\n"


async def test_init_to_history(served: Git) -> None:
    await served.post("init", 201, path="r", initial_branch="trunk")
    assert (await served.get("status", path="r"))["currentBranch"] == "trunk"
    assert await served.get("history", path="r") == []
    await served.fails("CONFLICT", "commit", path="r", message="m", author="A", email="a@b.c")
    await served.commit(allow_empty=True)
    assert len(await served.get("history", path="r")) == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("auth", "GIT_AUTH_FAILED"),
        ("status/403", "FORBIDDEN"),
        ("status/404", "GIT_REPO_NOT_FOUND"),
        ("status/503", "GIT_TRANSPORT_FAILED"),
        ("reset", "GIT_TRANSPORT_FAILED"),
    ],
)
async def test_remote_that_refuses(served: Git, http: Server, kind: str, code: str) -> None:
    repo.published(http.root)
    await served.fails(code, "clone", path="a/r", url=f"{http.url}/{kind}/x.git")
    assert list(served.work.iterdir()) == []


async def test_credentials_go_to_their_host_once(served: Git, http: Server) -> None:
    repo.published(http.root)
    http.elsewhere = http.url.replace("127.0.0.1", "localhost")
    await served.fails("GIT_AUTH_FAILED", "clone", path="r", url=f"{http.url}/auth/x.git", username="u", password="x")
    assert len(http.authorizations) == 1
    await served.fails(
        "GIT_AUTH_FAILED", "clone", path="r", url=f"{http.url}/away/x.git", username=USER, password=TOKEN
    )
    assert len(http.authorizations) == 1
    await served.post("credentials", username=USER, password=TOKEN, host=http.url[7:], protocol="http")
    await served.post("clone", path="r", url=f"{http.url}/auth/x.git")


async def test_failures_of_push_and_pull(served: Git, http: Server) -> None:
    bare, other = repo.published(http.root)
    await served.post("clone", path="r", url=f"{http.url}/open/x.git")
    repo.commit(other, {"n": "1"})
    git(other, "push", "-q", "origin", "main")
    await served.commit(allow_empty=True)
    await served.fails("GIT_PUSH_REJECTED", "push", path="r")
    await served.fails("GIT_MERGE_CONFLICT", "pull", path="r")
    await served.fails("GIT_BRANCH_NOT_FOUND", "push", path="r", branch="nope")
    await served.fails("NOT_FOUND", "push", path="r", remote="nope")
    await served.post("reset", path="r", mode="hard", target="origin/main")
    hook = bare / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    await served.commit(allow_empty=True)
    await served.fails("GIT_REMOTE_REJECTED", "push", path="r")


async def test_add_commit_checkout(served: Git, tree: pathlib.Path) -> None:
    for name in ("x[1].txt", "x1.txt"):
        (tree / name).write_text("x")
    await served.post("add", path="r", files=["x[1].txt"])
    await served.fails("FILE_NOT_FOUND", "add", path="r", files=["x1.txt", "nope"])
    assert await served.files() == [("x1.txt", "Untracked", "Untracked"), ("x[1].txt", "Added", "Unmodified")]
    await served.fails("BAD_REQUEST", "commit", path="r", message="m", author="<>", email="a")
    await served.commit()
    await served.fails("CONFLICT", "commit", path="r", message="m", author="A", email="a@b.c")
    git(tree, "checkout", "-q", "-b", "dev")
    repo.commit(tree, {"a.txt": "dev\n"})
    git(tree, "checkout", "-q", "main")
    (tree / "a.txt").write_text("mine")
    assert "a.txt" in await served.fails("GIT_DIRTY_WORKTREE", "checkout", path="r", branch="dev")
    assert (git(tree, "branch", "--show-current"), (tree / "a.txt").read_text()) == ("main", "mine")
    await served.fails("GIT_BRANCH_NOT_FOUND", "checkout", path="r", branch="nope")


async def test_what_libgit2_would_do_wrong_is_refused(served: Git, tree: pathlib.Path) -> None:
    (tree / ".gitattributes").write_text("*.secret filter=git-crypt\n*.utf working-tree-encoding=UTF-16\n")
    for name in ("x.secret", "x.utf"):
        (tree / name).write_text("secret")
        assert "install git" in await served.fails("UNPROCESSABLE_ENTITY", "add", path="r", files=[name])
    await served.fails("UNPROCESSABLE_ENTITY", "add", path="r", files=["."])
    await served.fails("UNPROCESSABLE_ENTITY", "reset", path="r", mode="keep")
    await served.fails("UNPROCESSABLE_ENTITY", "clone", path="c", url=f"file://{tree}", depth=1)
    assert git(tree, "ls-files") == "a.txt\ndir/b.txt"
    git(tree, "sparse-checkout", "set", "--cone", "nothing")
    for route, fields in (("add", {"files": ["."]}), ("checkout", {"branch": "main"}), ("reset", {"mode": "hard"})):
        await served.fails("UNPROCESSABLE_ENTITY", route, path="r", **fields)
