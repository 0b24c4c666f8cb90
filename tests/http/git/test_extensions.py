"""Endpoints that the reference server does not have: diff, blame, stash, tags, merge, worktrees, state."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tests.git_support import repo
from tests.git_support.repo import git
from tests.http.git.conftest import Git


async def test_diff_of_files_index_and_revisions(served: Git, tree: pathlib.Path) -> None:
    repo.commit(tree, {"old.txt": "same\n" * 10, "bin": "\0"})
    git(tree, "mv", "old.txt", "new name.txt")
    (tree / "a.txt").write_text("one\nmore\n")
    (tree / "bin").write_text("\0\1")
    git(tree, "add", "bin")
    assert (await served.get("diff", path="r"))["files"] == [
        {"path": "a.txt", "status": "Modified", "additions": 1, "deletions": 0}
    ]
    staged = (await served.get("diff", path="r", staged="true"))["files"]
    assert staged == [
        {"path": "bin", "status": "Modified"},
        {"path": "new name.txt", "oldPath": "old.txt", "status": "Renamed", "additions": 0, "deletions": 0},
    ]
    found = await served.get("diff", path="r", format="patch", context=0)
    assert "+more\n" in found["patch"]
    cut = await served.get("diff", path="r", format="patch", limit=10)
    assert (len(cut["patch"]), cut["truncated"]) == (10, True)
    between = await served.get("diff", **{"path": "r", "from": "HEAD~1", "to": "HEAD", "paths": "old.txt"})
    assert [one["path"] for one in between["files"]] == ["old.txt"]
    await served.fails("GIT_BRANCH_NOT_FOUND", "diff", method="GET", **{"path": "r", "from": "nope"})
    await served.fails("BAD_REQUEST", "diff", method="GET", path="r", format="odd")
    await served.fails("BAD_REQUEST", "diff", method="GET", path="r", to="HEAD")


async def test_blame(served: Git, tree: pathlib.Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    second = repo.commit(tree, {"a.txt": "one\ntwo\n\tthree\n"}, "second")
    lines = (await served.get("blame", path="r", file="a.txt"))["lines"]
    assert [(one["line"], one["hash"], one["content"]) for one in lines] == [
        (1, first, "one"),
        (2, second, "two"),
        (3, second, "\tthree"),
    ]
    assert (lines[1]["author"], lines[1]["email"], lines[1]["summary"]) == ("A U Thor", "author@example.com", "second")
    assert len((await served.get("blame", path="r", file="a.txt", lines="2"))["lines"]) == 1
    assert len((await served.get("blame", path="r", file="a.txt", ref="HEAD~1"))["lines"]) == 1
    await served.fails("FILE_NOT_FOUND", "blame", method="GET", path="r", file="nope")
    await served.fails("BAD_REQUEST", "blame", method="GET", path="r", file="a.txt", lines="x")
    await served.fails("BAD_REQUEST", "blame", method="GET", path="r", file="a.txt", lines="99")


async def test_stash(served: Git, tree: pathlib.Path) -> None:
    await served.fails("CONFLICT", "stash/push", path="r")
    (tree / "a.txt").write_text("edited")
    (tree / "new").touch()
    await served.post("stash/push", path="r", message="mine", untracked=True)
    assert await served.files() == []
    (entry,) = (await served.get("stash", path="r"))["stashes"]
    assert (entry["index"], entry["message"]) == (0, "On main: mine")
    await served.post("stash/apply", path="r")
    assert len(await served.files()) == 2
    await served.fails("GIT_DIRTY_WORKTREE", "stash/pop", path="r")
    git(tree, "reset", "-q", "--hard")
    git(tree, "clean", "-fdq")
    await served.post("stash/pop", path="r", index=0)
    assert (tree / "a.txt").read_text() == "edited"
    await served.fails("NOT_FOUND", "stash/drop", path="r", index=3)


async def test_tags(served: Git, tree: pathlib.Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    await served.post("tags", 201, path="r", name="light")
    await served.post("tags", 201, path="r", name="v1/é", message="# text\n", author="A", email="a@b.c")
    assert (await served.get("tags", path="r"))["tags"] == [
        {"name": "light", "commit": head},
        {"name": "v1/é", "commit": head, "message": "# text"},
    ]
    await served.fails("CONFLICT", "tags", path="r", name="light")
    await served.fails("BAD_REQUEST", "tags", path="r", name="-d")
    await served.fails("GIT_BRANCH_NOT_FOUND", "tags", path="r", name="x", target="nope")
    async with served.session.delete("/git/tags", params={"path": "r", "name": "light"}) as answer:
        assert answer.status == 204
    async with served.session.delete("/git/tags", params={"path": "r", "name": "light"}) as answer:
        assert (await answer.json())["code"] == "GIT_BRANCH_NOT_FOUND"


async def test_merge(served: Git, tree: pathlib.Path) -> None:
    git(tree, "checkout", "-q", "-b", "dev")
    repo.commit(tree, {"a.txt": "dev\n"})
    git(tree, "checkout", "-q", "main")
    made = await served.post("merge", path="r", branch="dev")
    assert made == {"hash": git(tree, "rev-parse", "dev"), "changed": True}
    assert (await served.post("merge", path="r", branch="dev"))["changed"] is False
    repo.commit(tree, {"a.txt": "main\n"})
    git(tree, "checkout", "-q", "dev")
    repo.commit(tree, {"a.txt": "other\n"})
    await served.fails("GIT_MERGE_CONFLICT", "merge", path="r", branch="main", fast_forward_only=True)
    async with served.session.post("/git/merge", json={"path": "r", "branch": "main"}) as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["conflicts"]) == (409, "GIT_MERGE_CONFLICT", ["a.txt"])
    assert (await served.get("status", path="r"))["state"] == "merge"
    await served.fails("GIT_MERGE_CONFLICT", "merge", path="r", action="continue")
    await served.post("merge", path="r", action="abort")
    assert "state" not in await served.get("status", path="r")
    await served.fails("CONFLICT", "merge", path="r", action="abort")
    await served.fails("GIT_MERGE_CONFLICT", "merge", path="r", branch="main")
    (tree / "a.txt").write_text("both\n")
    await served.post("add", path="r", files=["a.txt"])
    made = await served.post("merge", path="r", action="continue")
    assert len(git(tree, "rev-list", "--parents", "-1", made["hash"]).split()) == 3


@pytest.fixture
def forked(tree: pathlib.Path) -> pathlib.Path:
    """Return the repository on branch dev, which has "two" and a change of a.txt that conflicts with that of main."""
    git(tree, "checkout", "-q", "-b", "dev")
    repo.commit(tree, {"two": "2\n"}, "two")
    repo.commit(tree, {"a.txt": "dev\n"}, "edit")
    git(tree, "checkout", "-q", "main")
    repo.commit(tree, {"a.txt": "main\n"}, "main")
    git(tree, "checkout", "-q", "dev")
    return tree


async def conflicts(served: Git, route: str, **fields: Any) -> list[str]:
    """Send a request, expect it to stop on conflicts, and return the files."""
    async with served.session.post(f"/git/{route}", json={"path": "r", **fields}) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (409, "GIT_MERGE_CONFLICT"), body
    return list(body["conflicts"])


async def test_rebase_that_stops_is_continued(served: Git, forked: pathlib.Path) -> None:
    assert await conflicts(served, "rebase", upstream="main", author="C", email="c@example.com") == ["a.txt"]
    status = await served.get("status", path="r")
    assert (status["state"], status["detached"]) == ("rebase", True)
    assert "is under way" in await served.fails("GIT_MERGE_CONFLICT", "merge", path="r", branch="main")
    await served.fails("CONFLICT", "cherry-pick", path="r", action="abort")
    (forked / "a.txt").write_text("both\n")
    await served.post("add", path="r", files=["a.txt"])
    made = await served.post("rebase", path="r", action="continue", author="C", email="c@example.com")
    assert made == {"hash": git(forked, "rev-parse", "dev"), "changed": True}
    assert git(forked, "log", "--format=%s %an %cn", "main..dev").split("\n") == [
        "edit A U Thor C",
        "two A U Thor C",
    ]


async def test_rebase_is_skipped_aborted_and_put_elsewhere(served: Git, forked: pathlib.Path) -> None:
    before = git(forked, "rev-parse", "dev")
    await conflicts(served, "rebase", upstream="main")
    await served.post("rebase", path="r", action="abort")
    assert (git(forked, "rev-parse", "dev"), (await served.get("status", path="r"))["currentBranch"]) == (before, "dev")
    (forked / "dir" / "b.txt").write_text("mine")
    assert await conflicts(served, "rebase", upstream="main", autostash=True) == ["a.txt"]
    await served.post("rebase", path="r", action="skip")
    assert git(forked, "log", "--format=%s", "main..dev") == "two"
    assert (forked / "dir" / "b.txt").read_text() == "mine"
    await served.fails("GIT_DIRTY_WORKTREE", "rebase", path="r", upstream="main~1")
    git(forked, "checkout", "-q", ".")
    await served.post("rebase", path="r", upstream="main", onto="main~1")
    assert git(forked, "rev-parse", "dev~1") == git(forked, "rev-parse", "main~1")
    await served.fails("GIT_BRANCH_NOT_FOUND", "rebase", path="r", upstream="nope")
    await served.fails("BAD_REQUEST", "rebase", path="r")
    await served.fails("BAD_REQUEST", "rebase", path="r", action="odd")


async def test_cherry_pick(served: Git, forked: pathlib.Path) -> None:
    git(forked, "checkout", "-q", "main")
    git(forked, "config", "user.name", "Configured")
    git(forked, "config", "user.email", "c@example.com")
    made = await served.post("cherry-pick", path="r", commits=["dev~1"])
    assert git(forked, "log", "-1", "--format=%H %s %an %cn") == f"{made['hash']} two A U Thor Configured"
    assert await conflicts(served, "cherry-pick", commits=["dev"]) == ["a.txt"]
    assert (await served.get("status", path="r"))["state"] == "cherry-pick"
    (forked / "a.txt").write_text("picked\n")
    await served.post("add", path="r", files=["a.txt"])
    made = await served.post("cherry-pick", path="r", action="continue")
    assert git(forked, "log", "-1", "--format=%H %s") == f"{made['hash']} edit"
    await served.fails("CONFLICT", "cherry-pick", path="r", commits=["dev~1"])
    await served.post("cherry-pick", path="r", action="skip")
    assert "state" not in await served.get("status", path="r")
    await served.fails("BAD_REQUEST", "cherry-pick", path="r")
    await served.fails("BAD_REQUEST", "cherry-pick", path="r", commits=["--abort"])
    await served.fails("GIT_BRANCH_NOT_FOUND", "cherry-pick", path="r", commits=["nope"])


async def test_revert(served: Git, forked: pathlib.Path) -> None:
    await served.post("revert", path="r", commits=["dev", "dev~1"])
    assert git(forked, "diff", "--name-only", "main~1", "dev") == ""
    await served.fails("GIT_MERGE_CONFLICT", "merge", path="r", branch="main", fast_forward_only=True)
    git(forked, "merge", "-q", "main")
    assert "is a merge" in await served.fails("BAD_REQUEST", "revert", path="r", commits=["HEAD"])
    made = await served.post("revert", path="r", commits=["HEAD"], mainline=1)
    assert made["changed"]
    assert (forked / "a.txt").read_text() == "one\n"
    repo.commit(forked, {"a.txt": "later\n"})
    assert await conflicts(served, "revert", commits=["main"], mainline=None) == ["a.txt"]
    await served.post("revert", path="r", action="abort")


async def test_worktrees(served: Git, tree: pathlib.Path) -> None:
    git(tree, "worktree", "add", "-q", "-b", "side", str(served.work / "side"))
    git(tree, "worktree", "lock", str(served.work / "side"))
    found = (await served.get("worktrees", path="side"))["worktrees"]
    assert [(one["path"], one["branch"], one.get("locked", False)) for one in found] == [
        (str(tree), "main", False),
        (str(served.work / "side"), "side", True),
    ]
