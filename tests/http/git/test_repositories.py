"""Clone, init and status: files on disk and responses."""

from __future__ import annotations

import asyncio
import os
import pathlib

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git


@pytest.fixture
def source(http: Server) -> pathlib.Path:
    """Return a bare repository with branches, tags and a commit on another branch."""
    bare, work = repo.published(http.root)
    git(work, "tag", "v1")
    git(work, "checkout", "-q", "-b", "dev")
    repo.commit(work, {"dev.txt": "dev\n"}, "on dev")
    git(work, "checkout", "-q", "main")
    repo.commit(work, {"a.txt": "newer\n"}, "second")
    git(work, "push", "-q", "--tags", "origin", "main", "dev")
    return bare


async def test_clone_of_branch_tag_and_commit(served: Git, http: Server, source: pathlib.Path) -> None:
    url = f"{http.url}/open/x.git"
    first, dev = git(source, "rev-parse", "v1"), git(source, "rev-parse", "dev")
    for name, fields, head, branch in (
        ("plain", {}, git(source, "rev-parse", "main"), "main"),
        ("dev", {"branch": "dev"}, dev, "dev"),
        ("tag", {"branch": "v1"}, first, "HEAD"),
        ("full", {"commit_id": first}, first, "HEAD"),
        ("short", {"commit_id": first[:7]}, first, "HEAD"),
        ("elsewhere", {"commit_id": dev}, dev, "HEAD"),
        ("elsewhere-short", {"commit_id": dev[:7]}, dev, "HEAD"),
        ("depth", {"depth": 1}, git(source, "rev-parse", "main"), "main"),
        ("depth-0", {"depth": 0}, git(source, "rev-parse", "main"), "main"),
        ("depth-commit", {"depth": 1, "commit_id": first}, first, "HEAD"),
        (
            "empty-strings",
            dict.fromkeys(("branch", "commit_id", "username", "password"), ""),
            git(source, "rev-parse", "main"),
            "main",
        ),
    ):
        await served.post("clone", path=f"deep/{name}", url=url, **fields)
        folder = served.work / "deep" / name
        assert git(folder, "rev-parse", "HEAD") == head, name
        status = await served.get("status", path=f"deep/{name}")
        assert (status["currentBranch"], status["detached"], status["fileStatus"]) == (branch, branch == "HEAD", []), (
            name
        )
    assert git(
        served.work / "deep" / "plain", "for-each-ref", "--format=%(refname)", "refs/remotes", "refs/tags"
    ).split() == [
        "refs/remotes/origin/HEAD",
        "refs/remotes/origin/main",
        "refs/tags/v1",
    ]
    assert git(served.work / "deep" / "depth", "rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"branch": "nope"}, "GIT_BRANCH_NOT_FOUND"),
        ({"commit_id": "1" * 40}, "GIT_BRANCH_NOT_FOUND"),
        ({"commit_id": "abc123"}, "GIT_BRANCH_NOT_FOUND"),
        ({"commit_id": "-x"}, "BAD_REQUEST"),
        ({"branch": "--upload-pack=x"}, "BAD_REQUEST"),
        ({"depth": -1}, "INVALID_REQUEST_BODY"),
        ({"username": "u", "password": "a\nb"}, "BAD_REQUEST"),
    ],
)
async def test_clone_that_fails_leaves_nothing(
    served: Git, http: Server, source: pathlib.Path, fields: dict[str, object], code: str
) -> None:
    await served.fails(code, "clone", path="a/b/c", url=f"{http.url}/open/x.git", **fields)
    assert list(served.work.iterdir()) == []


async def test_clone_into_what_is_there(served: Git, http: Server, source: pathlib.Path) -> None:
    url = f"{http.url}/open/x.git"
    (served.work / "empty").mkdir()
    await served.post("clone", path="empty", url=url)
    used = served.work / "used"
    used.mkdir()
    (used / "notes.txt").write_text("mine")
    await served.post("clone", path="used", url=url)
    assert await served.files("used") == [("notes.txt", "Untracked", "Untracked")]
    assert git(used, "rev-parse", "--abbrev-ref", "main@{u}") == "origin/main"
    clash = served.work / "clash"
    clash.mkdir()
    (clash / "a.txt").write_text("mine")
    assert "a.txt" in await served.fails("GIT_DIRTY_WORKTREE", "clone", path="clash", url=url)
    assert [path.name for path in clash.iterdir()] == ["a.txt"]
    assert (clash / "a.txt").read_text() == "mine"
    await served.fails("CONFLICT", "clone", path="empty", url=url)
    (served.work / "file").touch()
    await served.fails("CONFLICT", "clone", path="file", url=url)
    for name, fields in (("u1", {"branch": "v1"}), ("u2", {"commit_id": "v1"}), ("u3", {"depth": 1})):
        (served.work / name).mkdir()
        (served.work / name / "notes.txt").write_text("mine")
        await served.post("clone", path=name, url=url, **fields)
        assert (served.work / name / "a.txt").exists()


async def test_second_clone_to_the_same_place_is_refused_at_once(
    served: Git, http: Server, source: pathlib.Path
) -> None:
    who = {"username": USER, "password": TOKEN}
    first = asyncio.create_task(served.post("clone", path="r", url=f"{http.url}/slow/x.git", **who))
    await asyncio.to_thread(http.hanging.wait, 15)
    await served.fails("CONFLICT", "clone", path="r", url=f"{http.url}/open/x.git")
    http.released.set()
    await first
    assert (served.work / "r" / "a.txt").exists()


async def test_clone_of_a_local_folder_and_home(served: Git, source: pathlib.Path) -> None:
    await served.post("clone", path="~/c", url=str(source), depth=1)
    assert git(served.home / "c", "rev-list", "--count", "HEAD") == "1"
    assert (await served.get("status", path="~/c"))["currentBranch"] == "main"


async def test_init_again_changes_nothing(served: Git, tree: pathlib.Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    await served.post("init", 201, path="r", initial_branch="other")
    assert (git(tree, "rev-parse", "HEAD"), git(tree, "branch", "--show-current")) == (head, "main")
    await served.post("init", 201, path="a/b/bare", bare=True)
    assert (served.work / "a/b/bare/HEAD").exists()
    await served.fails("BAD_REQUEST", "init", path="new", initial_branch="a..b")
    (served.work / "file").touch()
    await served.fails("CONFLICT", "init", path="file")
    await served.fails("BAD_REQUEST", "status", method="GET", path="a/b/bare")
    assert (await served.get("branches", path="a/b/bare"))["branches"] == []


async def test_repository_is_never_searched_above(served: Git, tree: pathlib.Path) -> None:
    for name in ("r/dir", "r/nope", "nope"):
        for path in ("status", "branches", "history", "remotes"):
            await served.fails("GIT_REPO_NOT_FOUND", path, method="GET", path=name)
        await served.fails("GIT_REPO_NOT_FOUND", "add", path=name, files=[])
    (served.work / "link").symlink_to(tree)
    assert (await served.get("status", path="link"))["currentBranch"] == "main"
    await served.fails("BAD_REQUEST", "status", method="GET")
    await served.fails("INVALID_FILE_PATH", "status", method="GET", path="a\0b")
    await served.fails("INVALID_REQUEST_BODY", "add", path="", files=[])


async def test_status_of_every_kind(served: Git, tree: pathlib.Path) -> None:
    (tree / ".gitignore").write_text("*.log\n")
    for name in ("mod", "mod-staged", "both", "del", "del-staged", "cached", "old", "type"):
        (tree / name).write_text(f"{name}\n" * 5)
    repo.commit(tree, {})
    (tree / "x.log").touch()
    (tree / "mod").write_text("1")
    (tree / "mod-staged").write_text("1")
    (tree / "both").write_text("1")
    (tree / "added").write_text("1")
    git(tree, "add", "mod-staged", "both", "added")
    (tree / "both").write_text("2")
    (tree / "del").unlink()
    git(tree, "rm", "-q", "del-staged")
    git(tree, "rm", "-q", "--cached", "cached")
    git(tree, "mv", "old", "new")
    (tree / "type").unlink()
    (tree / "type").symlink_to("a.txt")
    (tree / "intent").touch()
    git(tree, "add", "-N", "intent")
    names = [b"line\nend", b"tab\t", b'quote"', b"bad\xff", "é".encode()]
    for name in names:
        pathlib.Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).touch()
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "f").touch()
    repo.new(tree / "inner")
    found = {one["name"]: one for one in (await served.get("status", path="r"))["fileStatus"]}
    words = {name: (one["staging"], one["worktree"]) for name, one in found.items()}
    untracked = ("Untracked", "Untracked")
    assert words == {
        "mod": ("Unmodified", "Modified"),
        "mod-staged": ("Modified", "Unmodified"),
        "both": ("Modified", "Modified"),
        "added": ("Added", "Unmodified"),
        "del": ("Unmodified", "Deleted"),
        "del-staged": ("Deleted", "Unmodified"),
        "cached": ("Deleted", "Untracked"),
        "new": ("Renamed", "Unmodified"),
        "type": ("Unmodified", "Modified"),
        "intent": ("Unmodified", "Added"),
        "line\nend": untracked,
        "tab\t": untracked,
        'quote"': untracked,
        "bad\ufffd": untracked,
        "é": untracked,
        "deep/er/f": untracked,
        "inner/": untracked,
    }
    assert found["new"]["extra"] == "old"
    assert list(found) == sorted(found)


async def test_status_of_branches(served: Git, http: Server, source: pathlib.Path) -> None:
    await served.post("clone", path="r", url=str(source))
    tree = served.work / "r"

    async def facts() -> tuple[object, ...]:
        found = await served.get("status", path="r")
        return tuple(
            found[key] for key in ("currentBranch", "upstream", "branchPublished", "ahead", "behind", "detached")
        )

    repo.commit(tree, {"n": "1"})
    assert await facts() == ("main", "origin/main", True, 1, 0, False)
    await served.post("branches", 201, path="r", name="fresh")
    assert await facts() == ("fresh", "", False, 0, 0, False)
    await served.post("push", path="r")
    assert await facts() == ("fresh", "", True, 0, 0, False)
    git(tree, "branch", "-q", "--set-upstream-to=origin/fresh")
    git(tree, "update-ref", "-d", "refs/remotes/origin/fresh")
    assert await facts() == ("fresh", "origin/fresh", False, 0, 0, False)
    git(tree, "checkout", "-q", "--detach")
    assert await facts() == ("HEAD", "", False, 0, 0, True)


async def test_status_of_submodule_and_sparse_tree(served: Git, tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    repo.new(tmp_path / "sub")
    git(tree, "submodule", "add", "-q", str(tmp_path / "sub"), "sub")
    repo.commit(tree, {})
    repo.commit(tree / "sub", {"n": "1"})
    assert await served.files() == [("sub", "Unmodified", "Modified")]
    assert (await served.get("status", path="r/sub"))["currentBranch"] == "main"
    git(tree / "sub", "reset", "-q", "--hard", "HEAD~1")
    git(tree, "sparse-checkout", "set", "--cone", "nothing")
    assert not (tree / "dir").exists()
    assert await served.files() == []
    await served.post("add", path="r", files=["."])
    assert await served.files() == []
    git(tree, "worktree", "add", "-q", str(served.work / "linked"), "-b", "linked")
    assert (await served.get("status", path="linked"))["currentBranch"] == "linked"
    await served.fails("CONFLICT", "branches", method="DELETE", path="r", name="linked")


async def test_old_go_clients_get_the_old_fields(served: Git, tree: pathlib.Path) -> None:
    headers = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "v0.187.0"}
    async with served.session.get("/git/status", params={"path": "r"}, headers=headers) as answer:
        assert sorted(await answer.json()) == ["ahead", "behind", "branchPublished", "currentBranch", "fileStatus"]
    async with served.session.get("/git/branches", params={"path": "r"}, headers=headers) as answer:
        assert await answer.json() == {"branches": ["main"]}
