"""Content of revisions, patches, clean-up, remotes and worktrees."""

from __future__ import annotations

import pathlib

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git
from toolbox.git.workflow.cleaning import unquoted


async def shown(served: Git, **fields: str) -> bytes:
    async with served.session.get("/git/show", params={"path": "r", **fields}) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert answer.headers["Content-Length"] == str(len(body))
        return body


async def test_show_gives_a_file_as_it_was(served: Git, tree: pathlib.Path) -> None:
    data = bytes(range(256)) * 20_000
    (tree / "odd [é]\n name").write_bytes(data)
    (tree / "link").symlink_to("a.txt")
    (tree / ".gitattributes").write_text("* text eol=crlf\n")
    repo.commit(tree, {"a.txt": "two\n"})
    assert await shown(served, file="odd [é]\n name") == data
    assert await shown(served, file="a.txt", ref="HEAD~1") == b"one\n"
    assert await shown(served, file=str(tree / "a.txt")) == b"two\n"
    assert await shown(served, file="link") == b"a.txt"
    for code, fields in (
        ("FILE_NOT_FOUND", {"file": "nope"}),
        ("FILE_NOT_FOUND", {"file": "link", "ref": "HEAD~1"}),
        ("BAD_REQUEST", {"file": "dir"}),
        ("BAD_REQUEST", {"file": "."}),
        ("BAD_REQUEST", {"file": "../x"}),
        ("BAD_REQUEST", {"file": ""}),
        ("GIT_BRANCH_NOT_FOUND", {"file": "a.txt", "ref": "nope"}),
    ):
        await served.fails(code, "show", method="GET", path="r", **fields)


async def test_changes_since_the_branch_was_left(served: Git, tree: pathlib.Path) -> None:
    left = git(tree, "rev-parse", "HEAD")
    git(tree, "checkout", "-q", "-b", "dev")
    repo.commit(tree, {"committed": "1\n2\n"})
    git(tree, "checkout", "-q", "main")
    repo.commit(tree, {"theirs": "1"})
    git(tree, "checkout", "-q", "dev")
    (tree / "a.txt").write_text("edited\n")
    (tree / "new").touch()
    found = await served.get("changes", path="r")
    assert found == {
        "base": left,
        "files": [
            {"path": "a.txt", "status": "Modified", "additions": 1, "deletions": 1},
            {"path": "committed", "status": "Added", "additions": 2, "deletions": 0},
            {"path": "new", "status": "Untracked"},
        ],
    }
    assert (await served.get("changes", path="r", base="dev"))["base"] == git(tree, "rev-parse", "dev")
    git(tree, "checkout", "-q", "--orphan", "alone")
    git(tree, "commit", "-q", "-m", "alone")
    await served.fails("GIT_BRANCH_NOT_FOUND", "changes", method="GET", path="r", base="main")
    git(tree, "branch", "-q", "-D", "main")
    assert "give base" in await served.fails("BAD_REQUEST", "changes", method="GET", path="r")


async def test_patch_is_applied_as_a_whole(served: Git, tree: pathlib.Path) -> None:
    (tree / "a.txt").write_text("one\ntwo\n")
    (tree / "é new").write_text("new\n")
    git(tree, "add", "-N", "é new")
    patch = git(tree, "diff", "--binary")  # without the end of its last line
    git(tree, "rm", "-q", "--cached", "é new")
    (tree / "é new").unlink()
    git(tree, "checkout", "-q", "a.txt")
    files = [
        {"path": "a.txt", "additions": 1, "deletions": 0},
        {"path": "é new", "additions": 1, "deletions": 0},
    ]
    assert await served.post("apply", path="r", patch=patch, check=True) == {"files": files}
    assert not (tree / "é new").exists()
    assert await served.post("apply", path="r", patch=patch, index=True) == {"files": files}
    assert git(tree, "diff", "--cached", "--stat").endswith("2 files changed, 2 insertions(+)")
    assert "a.txt" in await served.fails("CONFLICT", "apply", path="r", patch=patch)
    await served.post("apply", path="r", patch=patch, reverse=True)
    assert (tree / "a.txt").read_text() == "one\n"
    git(tree, "reset", "-q", "--hard")
    (tree / "a.txt").write_text("other\n")
    await served.fails("CONFLICT", "apply", path="r", patch=patch)
    await served.fails("GIT_DIRTY_WORKTREE", "apply", path="r", patch=patch, index=True)
    assert not (tree / "é new").exists()
    repo.commit(tree, {"a.txt": "other\n"})
    await served.fails("GIT_MERGE_CONFLICT", "apply", path="r", patch=patch, three_way=True)


@pytest.mark.parametrize(
    "patch",
    [
        "nothing of the kind",
        "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,3 @@\n one\n",
        "--- /dev/null\n+++ b/../../out\n@@ -0,0 +1 @@\n+x\n",
        "--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n",
        " \n",
    ],
)
async def test_patch_that_is_none_or_leads_outside(served: Git, tree: pathlib.Path, patch: str) -> None:
    await served.fails("BAD_REQUEST", "apply", path="r", patch=patch)
    assert not (tree / ".git" / "hooks" / "x").exists()
    assert git(tree, "status", "--porcelain") == ""


async def test_patch_does_not_go_through_a_link(served: Git, tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "out").mkdir()
    (tree / "link").symlink_to(tmp_path / "out")
    repo.commit(tree, {})
    patch = "--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n"
    await served.fails("BAD_REQUEST", "apply", path="r", patch=patch)
    assert list((tmp_path / "out").iterdir()) == []


async def test_clean(served: Git, tree: pathlib.Path) -> None:
    repo.commit(tree, {".gitignore": "*.log\n"})
    repo.new(tree / "inner")
    git(tree, "config", "clean.requireForce", "false")
    for name in ("new", 'tab\t"é"', "x.log", "folder/deep/file"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    assert sorted((await served.post("clean", path="r", dry_run=True))["files"]) == ["new", 'tab\t"é"']
    assert (tree / "new").exists()
    assert (await served.post("clean", path="r", files=["new"]))["files"] == ["new"]
    await served.post("clean", path="r", directories=True)
    assert sorted(path.name for path in tree.iterdir()) == [".git", ".gitignore", "a.txt", "dir", "inner", "x.log"]
    assert (await served.post("clean", path="r", ignored=True))["files"] == ["x.log"]
    assert (await served.post("clean", path="r"))["files"] == []
    await served.fails("BAD_REQUEST", "clean", path="r", files=["../x"])


@pytest.mark.parametrize(
    ("said", "name"), [("plain", "plain"), ('"a\\tb\\"\\\\"', 'a\tb"\\'), ('"\\001"', "\1"), ('"half', '"half')]
)
def test_names_in_quotes(said: str, name: str) -> None:
    assert unquoted(said) == name


async def test_why_files_are_ignored(served: Git, tree: pathlib.Path) -> None:
    (tree / ".gitignore").write_text("# comment\n*.log\n!keep.log\n")
    async with served.session.get(
        "/git/check-ignore", params=[("path", "r"), *(("files", name) for name in ("x.log", "a.txt", "dir/é\n.log"))]
    ) as answer:
        found = await answer.json()
    assert found["files"] == [
        {"path": name, "source": ".gitignore", "line": 2, "pattern": "*.log"} for name in ("x.log", "dir/é\n.log")
    ]
    assert await served.get("check-ignore", path="r") == {"files": []}


async def test_references_of_a_remote(served: Git, http: Server) -> None:
    bare, _ = repo.published(http.root)
    git(bare, "tag", "-a", "-m", "m", "v1", "main")
    await served.post("clone", path="r", url=f"{http.url}/open/x.git")
    head, tag = git(bare, "rev-parse", "main"), git(bare, "rev-parse", "v1")
    found = await served.get("ls-remote", path="r")
    assert found["head"] == "main"
    for one in ({"name": "refs/heads/main", "hash": head}, {"name": "refs/tags/v1", "hash": tag}):
        assert one in found["refs"]
    await served.post("remotes", 201, path="r", name="closed", url=f"{http.url}/auth/x.git")
    await served.fails("GIT_AUTH_FAILED", "ls-remote", method="GET", path="r", remote="closed")
    await served.post("credentials", username=USER, password=TOKEN, host=http.url[7:], protocol="http")
    assert (await served.get("ls-remote", path="r", remote="closed"))["head"] == "main"
    await served.fails("NOT_FOUND", "ls-remote", method="GET", path="r", remote="nope")


async def deleted(served: Git, route: str, **fields: str) -> str:
    """Delete something; return the code of the error, empty if there is none."""
    async with served.session.delete(f"/git/{route}", params=fields) as answer:
        body = await answer.read()
        return "" if answer.status == 204 else str((await answer.json())["code"] if body else answer.status)


async def test_remote_is_removed(served: Git, tree: pathlib.Path) -> None:
    git(tree, "remote", "add", "up", "https://example.com/x.git")
    git(tree, "update-ref", "refs/remotes/up/main", "HEAD")
    assert await deleted(served, "remotes/up", path="r") == ""
    assert (git(tree, "remote"), git(tree, "for-each-ref", "refs/remotes")) == ("", "")
    assert await deleted(served, "remotes/up", path="r") == "NOT_FOUND"
    assert await deleted(served, "remotes/-x", path="r") == "BAD_REQUEST"


async def test_configuration_is_unset(served: Git, tree: pathlib.Path) -> None:
    git(tree, "config", "--add", "some.key", "one")
    git(tree, "config", "--add", "some.key", "two")
    local = {"path": "r", "scope": "local"}
    assert await deleted(served, "config", key="some.key", **local) == ""
    assert (await served.get("config", key="some.key", **local))["value"] is None
    assert await deleted(served, "config", key="some.key", **local) == "NOT_FOUND"
    assert await deleted(served, "config", key="some.key") == "NOT_FOUND"
    assert await deleted(served, "config", key="nodot") == "BAD_REQUEST"


async def test_credentials_are_forgotten(served: Git) -> None:
    for user in ("one", "two"):
        await served.post("credentials", username=user, password="secret", host="example.com")
    await served.post("credentials", username="one", password="secret", host="other.example.com")
    store = served.home / ".git-credentials"
    assert await deleted(served, "credentials", host="example.com", username="one") == ""
    assert store.read_text().splitlines() == ["https://one:secret@other.example.com", "https://two:secret@example.com"]
    assert await deleted(served, "credentials", host="example.com") == ""
    assert store.read_text() == "https://one:secret@other.example.com\n"
    assert store.stat().st_mode & 0o777 == 0o600
    assert await deleted(served, "credentials", host="example.com") == "NOT_FOUND"
    store.unlink()
    assert await deleted(served, "credentials") == "NOT_FOUND"


async def test_worktrees_are_made_and_removed(served: Git, tree: pathlib.Path) -> None:
    made = await served.post("worktrees", 201, path="r", worktree="side", branch="side")
    head = git(tree, "rev-parse", "HEAD")
    assert made == {"path": str(served.work / "side"), "hash": head, "branch": "side"}
    assert await served.post("worktrees", 201, path="r", worktree="deep/old", ref="HEAD") == {
        "path": str(served.work / "deep" / "old"),
        "hash": head,
        "detached": True,
    }
    await served.fails("CONFLICT", "worktrees", path="r", worktree="again", branch="side")
    await served.fails("CONFLICT", "worktrees", path="r", worktree="side", branch="other")
    await served.fails("GIT_BRANCH_NOT_FOUND", "worktrees", path="r", worktree="x", ref="nope")
    await served.fails("BAD_REQUEST", "worktrees", path="r", worktree="x", branch="a..b")
    (served.work / "side" / "new").touch()
    assert await deleted(served, "worktrees", path="r", worktree="side") == "GIT_DIRTY_WORKTREE"
    git(tree, "worktree", "lock", str(served.work / "deep" / "old"))
    assert await deleted(served, "worktrees", path="r", worktree="deep/old") == "CONFLICT"
    for name in ("side", "deep/old"):
        assert await deleted(served, "worktrees", path="r", worktree=name, force="true") == ""
        assert not (served.work / name).exists()
    assert await deleted(served, "worktrees", path="r", worktree="side") == "NOT_FOUND"
    assert await deleted(served, "worktrees", path="r", worktree="r") == "BAD_REQUEST"
    git(tree, "worktree", "add", "-q", str(served.work / "linked"))
    for fields in ({}, {"worktree": ""}):
        assert await deleted(served, "worktrees", path="r", **fields) == "BAD_REQUEST"
    assert tree.exists()
