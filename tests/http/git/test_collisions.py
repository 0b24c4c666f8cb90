"""Names in the way of each other: branches, tags, remotes, worktrees, folders."""

from __future__ import annotations

import pathlib

import pytest

from tests.git_support import repo
from tests.git_support.remote import Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git


@pytest.fixture(params=["libgit2", "git", "none"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return who makes the branch: libgit2 in the daemon, the git program, or libgit2 because there is no git."""
    return str(request.param)


@pytest.fixture
def variables(tmp_path: pathlib.Path, request: pytest.FixtureRequest, variables: dict[str, str]) -> dict[str, str]:
    chosen = request.getfixturevalue("kind") if "kind" in request.fixturenames else ""
    return {"PATH": str(tmp_path / "nothing")} if chosen == "none" else variables


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("there", "new"), [("feat", "feat/a"), ("feat/a", "feat"), ("feat", "feat/a/b"), ("a/b/c", "a"), ("a/b", "a/b/c")]
)
async def test_branch_in_the_way_is_named(
    served: Git, tree: pathlib.Path, kind: str, there: str, new: str, packed: bool
) -> None:
    git(tree, "branch", there)
    if packed:
        git(tree, "pack-refs", "--all")
    if kind == "git":  # an extension that libgit2 does not know
        git(tree, "config", "core.repositoryFormatVersion", "1")
        git(tree, "config", "extensions.partialClone", "origin")
    message = await served.fails("GIT_BRANCH_EXISTS", "branches", path="r", name=new)
    assert message == f"conflict: branch '{new}' cannot be created, branch '{there}' exists"
    message = await served.fails("GIT_BRANCH_EXISTS", "branches", path="r", name=there)
    assert message == f"conflict: a branch named '{there}' already exists"
    assert (await served.get("branches", path="r"))["current"] == "main"
    for near in (f"{there}-2", f"{there.upper()}/x", f"{new}x" if not new.startswith(there) else "other/feat"):
        await served.post("branches", 201, path="r", name=near)


async def test_branch_takes_the_place_of_a_deleted_one(served: Git, tree: pathlib.Path, kind: str) -> None:
    for name in ("feat/a/b", "feat", "feat/a"):
        await served.post("branches", 201, path="r", name=name)
        await served.post("checkout", path="r", branch="main")
        await served.call("DELETE", "branches", 204, path="r", name=name)
        (tree / ".git" / "refs" / "heads" / "empty" / "folder").mkdir(parents=True, exist_ok=True)
    await served.post("branches", 201, path="r", name="empty")


async def test_branch_of_a_repository_without_commits_has_a_free_name(served: Git, tree: pathlib.Path) -> None:
    git(tree, "branch", "feat")
    git(tree, "switch", "-q", "--orphan", "fresh")
    for name in ("feat/a", "feat"):
        assert "branch 'feat" in (await served.fails("GIT_BRANCH_EXISTS", "branches", path="r", name=name)).replace(
            "a branch named", "branch"
        )
    assert git(tree, "symbolic-ref", "HEAD") == "refs/heads/fresh"


async def test_branch_that_differs_in_case_is_refused_where_files_ignore_case(served: Git, tree: pathlib.Path) -> None:
    git(tree, "branch", "feat")
    await served.post("branches", 201, path="r", name="Feat")
    (tree / ".git" / "CoNfIg").touch()  # what a file system that ignores case shows
    for name in ("FEAT", "fEAT/a"):
        message = await served.fails("GIT_BRANCH_EXISTS", "branches", path="r", name=name)
        assert "feat' exists" in message.lower()


async def test_checkout_of_a_remote_branch_names_the_branch_in_the_way(served: Git, http: Server, kind: str) -> None:
    _, work = repo.published(http.root)
    git(work, "push", "-q", "origin", "main:feat/a")
    await served.post("clone", path="r", url=f"{http.url}/open/x.git")
    await served.post("fetch", path="r", branch="feat/a")
    git(served.work / "r", "branch", "feat")
    git(served.work / "r", "pack-refs", "--all")
    message = await served.fails("GIT_BRANCH_EXISTS", "checkout", path="r", branch="feat/a")
    assert message == "conflict: branch 'feat/a' cannot be created, branch 'feat' exists"
    assert (await served.get("branches", path="r"))["current"] == "main"


@pytest.mark.parametrize(("there", "new"), [("feat", "feat/a"), ("feat/a/b", "feat"), ("feat/a", "feat")])
@pytest.mark.parametrize("packed", [False, True])
async def test_fetch_and_pull_name_the_old_remote_branch_in_the_way(
    served: Git, http: Server, kind: str, packed: bool, there: str, new: str
) -> None:
    _, work = repo.published(http.root)
    git(work, "push", "-q", "origin", f"main:{new}")
    await served.post("clone", path="r", url=f"{http.url}/open/x.git")
    git(served.work / "r", "update-ref", "-d", f"refs/remotes/origin/{new}")
    git(served.work / "r", "update-ref", f"refs/remotes/origin/{there}", "main")
    git(served.work / "r", "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    if packed:
        git(served.work / "r", "pack-refs", "--all")
    for route in ("fetch", "pull"):
        message = await served.fails("CONFLICT", route, path="r", branch=new)
        assert f"'refs/remotes/origin/{there}'" in message
    await served.post("fetch", path="r", branch="main")


@pytest.mark.parametrize(("there", "new"), [("v1", "v1/a"), ("v1/a", "v1"), ("v1", "v1")])
@pytest.mark.parametrize("packed", [False, True])
async def test_tag_in_the_way_is_named(served: Git, tree: pathlib.Path, there: str, new: str, packed: bool) -> None:
    git(tree, "tag", there)
    if packed:
        git(tree, "pack-refs", "--all")
    for message in ("", "annotated"):
        text = await served.fails("CONFLICT", "tags", path="r", name=new, message=message)
        assert f"'{there}'" in text or f"'refs/tags/{there}'" in text
    await served.post("tags", 201, path="r", name="main")
    await served.post("tags", 201, path="r", name=f"{there}-2")


@pytest.mark.parametrize(("there", "new"), [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
async def test_remote_in_the_way_is_named(served: Git, tree: pathlib.Path, kind: str, there: str, new: str) -> None:
    await served.post("remotes", 201, path="r", name=there, url="https://h.example/x")
    before = (tree / ".git" / "config").read_text()
    for overwrite in (False, True):
        message = await served.fails(
            "CONFLICT", "remotes", path="r", name=new, url="https://h.example/y", overwrite=overwrite
        )
        assert message == f"conflict: remote '{new}' cannot be added, remote '{there}' exists"
    assert (tree / ".git" / "config").read_text() == before
    await served.post("remotes", 201, path="r", name=there, url="https://h.example/z", overwrite=True)
    await served.fails("CONFLICT", "remotes", path="r", name=there, url="https://h.example/z")


@pytest.mark.parametrize(("there", "new"), [("a.b", "a"), ("a", "a.b"), ("a", "A")])
async def test_remotes_with_similar_names_are_apart(served: Git, tree: pathlib.Path, there: str, new: str) -> None:
    for name in (there, new):
        await served.post("remotes", 201, path="r", name=name, url=f"https://{name}.example/x")
    found = {one["name"]: one["url"] for one in (await served.get("remotes", path="r"))["remotes"]}
    assert found == {name: f"https://{name}.example/x" for name in (there, new)}


async def test_worktree_names_what_is_in_the_way(served: Git, tree: pathlib.Path) -> None:
    git(tree, "branch", "feat")
    message = await served.fails("GIT_BRANCH_EXISTS", "worktrees", path="r", worktree="w", branch="feat/a")
    assert message == "conflict: branch 'feat/a' cannot be created, branch 'feat' exists"
    assert not (served.work / "w").exists()
    (served.work / "full").mkdir()
    (served.work / "full" / "file").touch()
    assert "full' already exists" in await served.fails("CONFLICT", "worktrees", path="r", worktree="full")
    assert "file' already exists" in await served.fails("CONFLICT", "worktrees", path="r", worktree="full/file")
    assert "full/file" in await served.fails("CONFLICT", "worktrees", path="r", worktree="full/file/below")
    await served.post("worktrees", 201, path="r", worktree="w", branch="feat")
    assert "/w'" in await served.fails("CONFLICT", "worktrees", path="r", worktree="w2", branch="feat")
    (served.work / "w").rename(served.work / "moved")
    assert "/w'" in await served.fails("CONFLICT", "worktrees", path="r", worktree="w")
    git(tree, "worktree", "lock", str(served.work / "w"))
    assert "/w'" in await served.fails("CONFLICT", "worktrees", path="r", worktree="w")


@pytest.mark.parametrize("route", ["init", "clone"])
async def test_file_in_the_way_of_a_new_repository_is_named(served: Git, http: Server, kind: str, route: str) -> None:
    repo.published(http.root)
    (served.work / "file").write_text("kept")
    (served.work / "dangling").symlink_to("nowhere")
    fields = {"url": f"{http.url}/open/x.git"} if route == "clone" else {}
    for path, named in (("file", "file"), ("file/r", "file"), ("file/a/b", "file"), ("dangling", "dangling")):
        assert f"{named}'" in await served.fails("CONFLICT", route, path=path, **fields)
    assert (served.work / "file").read_text() == "kept"
