"""Push, pull, fetch and remotes; progress, clients that disconnect, git processes that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import signal
from typing import Any

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git

WHO = {"username": USER, "password": TOKEN}


@pytest.fixture
def other(http: Server, served: Git) -> pathlib.Path:
    """Return a second clone of the remote; ``r`` is a full clone of it."""
    bare, work = repo.published(http.root)
    git(served.work, "clone", "-q", str(bare), "r")
    git(served.work / "r", "remote", "set-url", "origin", f"{http.url}/open/x.git")
    return work


def pushed(work: pathlib.Path, files: dict[str, str]) -> str:
    made = repo.commit(work, files)
    git(work, "push", "-q", "origin", "HEAD")
    return made


async def test_pull_goes_forward_and_keeps_unrelated_edits(served: Git, other: pathlib.Path) -> None:
    tree = served.work / "r"
    for key, value in (("pull.rebase", "true"), ("merge.ff", "false"), ("pull.ff", "only")):
        git(tree, "config", key, value)
    (tree / "a.txt").write_text("edited")
    (tree / "extra").write_text("mine")
    made = pushed(other, {"new.txt": "new"})
    await served.post("pull", path="r")
    await served.post("pull", path="r")
    assert (git(tree, "rev-parse", "HEAD"), git(tree, "rev-parse", "origin/main")) == (made, made)
    assert ((tree / "a.txt").read_text(), (tree / "new.txt").read_text()) == ("edited", "new")


@pytest.mark.parametrize("name", ["a.txt", "n.txt"])
async def test_pull_in_the_way_changes_nothing(served: Git, other: pathlib.Path, name: str) -> None:
    tree = served.work / "r"
    head = git(tree, "rev-parse", "HEAD")
    (tree / name).write_text("mine")
    pushed(other, {"a.txt": "theirs", "n.txt": "theirs"})
    assert name in await served.fails("GIT_DIRTY_WORKTREE", "pull", path="r")
    assert (git(tree, "rev-parse", "HEAD"), (tree / name).read_text()) == (head, "mine")
    assert len(await served.files()) == 1


async def test_pull_takes_the_branchs_own_upstream(served: Git, other: pathlib.Path) -> None:
    tree = served.work / "r"
    git(other, "checkout", "-q", "-b", "dev")
    dev = pushed(other, {"dev": "1"})
    git(other, "checkout", "-q", "main")
    main = pushed(other, {"main": "1"})
    await served.post("fetch", path="r")
    await served.post("checkout", path="r", branch="dev")
    await served.post("pull", path="r")
    assert git(tree, "rev-parse", "HEAD") == dev
    git(tree, "checkout", "-q", "--detach", "HEAD~1")
    await served.post("pull", path="r", branch="main", remote="origin")
    assert (git(tree, "rev-parse", "HEAD"), git(tree, "branch", "--show-current")) == (main, "")


async def test_pull_before_the_first_commit(served: Git, other: pathlib.Path, http: Server) -> None:
    await served.post("init", 201, path="fresh", initial_branch="main")
    await served.post("remotes", 201, path="fresh", name="origin", url=f"{http.url}/open/x.git")
    await served.post("pull", path="fresh")
    assert (served.work / "fresh" / "a.txt").read_text() == "one\n"
    await served.post("init", 201, path="clash", initial_branch="main")
    await served.post("remotes", 201, path="clash", name="origin", url=f"{http.url}/open/x.git")
    (served.work / "clash" / "a.txt").write_text("mine")
    await served.fails("GIT_DIRTY_WORKTREE", "pull", path="clash")
    assert (served.work / "clash" / "a.txt").read_text() == "mine"


async def test_push_of_a_shallow_clone_and_of_another_branch(served: Git, other: pathlib.Path, http: Server) -> None:
    await served.post("clone", path="s", url=f"{http.url}/open/x.git", depth=1)
    made = await served.commit("s", allow_empty=True)
    await served.post("push", path="s")
    assert git(http.root / "x.git", "rev-parse", "main") == made
    git(served.work / "s", "branch", "side")
    git(served.work / "s", "config", "push.default", "nothing")
    await served.post("push", path="s", branch="side", set_upstream=True)
    await served.post("push", path="s", branch="side")
    assert git(served.work / "s", "rev-parse", "--abbrev-ref", "side@{u}") == "origin/side"


async def test_remotes_are_added_replaced_and_put_back(served: Git, other: pathlib.Path, http: Server) -> None:
    tree = served.work / "r"
    git(tree, "config", "url.https://token@elsewhere/.insteadOf", "gh:")
    await served.post("remotes", 201, path="r", name="gh", url="https://example.com/x")
    git(tree, "config", "remote.gh.url", "gh:o/r")
    listed = await served.get("remotes", path="r")
    assert listed == {"remotes": [{"name": "gh", "url": "gh:o/r"}, {"name": "origin", "url": f"{http.url}/open/x.git"}]}
    await served.fails("CONFLICT", "remotes", path="r", name="gh", url="https://example.com/y")
    git(tree, "config", "remote.gh.pushurl", "https://example.com/push")
    await served.post("remotes", 201, path="r", name="gh", url="https://example.com/y", overwrite=True)
    assert git(tree, "remote", "get-url", "--push", "gh") == "https://example.com/y"
    before = (tree / ".git" / "config").read_text()
    await served.fails(
        "GIT_TRANSPORT_FAILED",
        "remotes",
        path="r",
        name="gh",
        url=f"{http.url}/status/500/x",
        overwrite=True,
        fetch=True,
    )
    assert (tree / ".git" / "config").read_text() == before
    await served.fails(
        "GIT_REPO_NOT_FOUND", "remotes", path="r", name="new", url=f"{http.url}/status/404/x", fetch=True
    )
    assert [one["name"] for one in (await served.get("remotes", path="r"))["remotes"]] == ["gh", "origin"]
    await served.post("remotes", 201, path="r", name="new", url=f"{http.url}/open/x.git", fetch=True)
    assert git(tree, "rev-parse", "new/main") == git(tree, "rev-parse", "origin/main")
    for name in ("-x", "a b", "", "a..b"):
        await served.fails(
            "BAD_REQUEST" if name else "INVALID_REQUEST_BODY", "remotes", path="r", name=name, url="https://h/x"
        )
    await served.fails("BAD_REQUEST", "remotes", path="r", name="x", url="ext::sh")


async def events(served: Git, route: str, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    headers = {"Accept": "application/x-ndjson"}
    async with served.session.post(f"/git/{route}", json=fields, headers=headers) as answer:
        assert answer.status == 200
        lines = [json.loads(line) for line in (await answer.read()).splitlines() if line.strip()]
        return [(line.pop("event"), line) for line in lines]


async def test_progress_is_streamed_and_ends_with_the_outcome(served: Git, other: pathlib.Path, http: Server) -> None:
    found = await events(served, "clone", path="c", url=f"{http.url}/open/x.git")
    assert found[-1] == ("result", {"status": "ok"})
    assert {line["phase"] for name, line in found if name == "progress"} >= {"Receiving objects"}
    name, failure = (await events(served, "clone", path="d", url=f"{http.url}/auth/x.git"))[-1]
    assert (name, failure["statusCode"], failure["code"]) == ("error", 401, "GIT_AUTH_FAILED")
    pushed(other, {"x": "1"})
    assert (await events(served, "fetch", path="c"))[-1] == ("result", {"status": "ok"})
    assert (await events(served, "pull", path="c"))[-1] == ("result", {"status": "ok"})
    await served.commit("c", allow_empty=True)
    assert (await events(served, "push", path="c"))[-1] == ("result", {"status": "ok"})


async def test_client_that_leaves_a_plain_clone_does_not_end_it(served: Git, other: pathlib.Path, http: Server) -> None:
    fields = {"path": "c", "url": f"{http.url}/slow/x.git", **WHO}
    leaving = asyncio.create_task(served.session.post("/git/clone", json=fields))
    await asyncio.to_thread(http.hanging.wait, 15)
    leaving.cancel()
    await asyncio.wait([leaving])
    http.released.set()
    # The lock of the target is free once the clone is over.
    async with asyncio.timeout(15):
        while not (served.work / "c" / "a.txt").exists():
            await asyncio.sleep(0.02)
    assert (await served.get("status", path="c"))["currentBranch"] == "main"


async def test_client_that_leaves_a_stream_ends_the_clone(served: Git, other: pathlib.Path, http: Server) -> None:
    fields = {"path": "c", "url": f"{http.url}/slow/x.git", **WHO}
    answer = await served.session.post("/git/clone", json=fields, headers={"Accept": "text/event-stream"})
    await asyncio.to_thread(http.hanging.wait, 15)
    assert served.procs.live
    answer.close()
    async with asyncio.timeout(15):
        while served.procs.live or (served.work / "c").exists():
            await asyncio.sleep(0.02)


async def test_git_that_is_killed_leaves_nothing(served: Git, other: pathlib.Path, http: Server) -> None:
    fields = {"path": "deep/c", "url": f"{http.url}/slow/x.git", **WHO}
    failing = asyncio.create_task(served.fails("GIT_TRANSPORT_FAILED", "clone", **fields))
    await asyncio.to_thread(http.hanging.wait, 15)
    for child in served.procs.live:
        child.signal_group(signal.SIGKILL)
    assert "killed" in await failing
    assert not (served.work / "deep").exists()
    http.released.set()
    await served.post("clone", path="deep/c", url=f"{http.url}/open/x.git")


async def test_daemon_that_ends_answers_who_waits(served: Git, other: pathlib.Path, http: Server) -> None:
    fields = {"path": "c", "url": f"{http.url}/slow/x.git", **WHO}
    failing = asyncio.create_task(served.fails("SERVICE_UNAVAILABLE", "clone", **fields))
    await asyncio.to_thread(http.hanging.wait, 15)
    await served.component.stop()
    await failing
    assert not (served.work / "c").exists()


async def test_read_that_nobody_waits_for_is_ended(served: Git, tree: pathlib.Path) -> None:
    """A filter that hangs keeps status waiting, until the client disconnects."""
    marker = served.work / "started"
    git(tree, "config", "filter.slow.clean", f"echo > {marker}; sleep 60; cat")
    (tree / ".gitattributes").write_text("* filter=slow\n")
    (tree / "a.txt").write_text("ONE\n")
    os.utime(tree / "a.txt", (1, 1))
    leaving = asyncio.create_task(served.session.get("/git/status", params={"path": "r", "filters": "true"}))
    async with asyncio.timeout(15):
        while not marker.exists():
            await asyncio.sleep(0.02)
        leaving.cancel()
        while served.procs.live:
            await asyncio.sleep(0.02)
