"""Add, commit, checkout, reset, restore: the files and the index after each."""

from __future__ import annotations

import asyncio
import os
import pathlib

import pytest

from tests.git_support import repo
from tests.git_support.repo import git
from tests.http.git.conftest import Git


async def test_add_takes_names_as_they_are(served: Git, tree: pathlib.Path) -> None:
    for name in ("x[1].txt", "x1.txt", "*.py", "a.py", ":(top)odd", "-dash", "é"):
        (tree / name).write_text("x")
    await served.post("add", path="r", files=["x[1].txt", "*.py", ":(top)odd", "-dash", str(tree / "é")])
    assert {name for name, staging, _ in await served.files() if staging == "Added"} == {
        "x[1].txt",
        "*.py",
        ":(top)odd",
        "-dash",
        "é",
    }
    await served.post("add", path="r", files=["x?.txt"])
    assert ("x1.txt", "Added", "Unmodified") in await served.files()


async def test_add_stages_deletions_and_ignored_files_that_are_named(served: Git, tree: pathlib.Path) -> None:
    (tree / ".gitignore").write_text("*.log\nbuild/\n")
    (tree / "x.log").touch()
    (tree / "build").mkdir()
    (tree / "build" / "out").touch()
    (tree / "a.txt").unlink()
    (tree / "plain").touch()
    await served.post("add", path="r", files=["x.log", "build", "a.txt", "plain"])
    assert [(name, staging) for name, staging, _ in await served.files()] == [
        (".gitignore", "Untracked"),
        ("a.txt", "Deleted"),
        ("plain", "Added"),
        ("x.log", "Added"),
    ]
    await served.post("add", path="r", files=["dir", "."])
    assert (".gitignore", "Added", "Unmodified") in await served.files()


async def test_add_is_all_or_nothing(served: Git, tree: pathlib.Path) -> None:
    (tree / "good").touch()
    assert "'nope'" in await served.fails("FILE_NOT_FOUND", "add", path="r", files=["good", "nope"])
    await served.fails("BAD_REQUEST", "add", path="r", files=["good", "../out"])
    await served.fails("BAD_REQUEST", "add", path="r", files=["/etc/passwd"])
    await served.fails("BAD_REQUEST", "add", path="r", files=["good", ""])
    assert await served.files() == [("good", "Untracked", "Untracked")]
    await served.post("add", path="r", files=[])
    assert await served.files() == [("good", "Untracked", "Untracked")]


async def test_add_of_twenty_thousand_paths(served: Git, tree: pathlib.Path) -> None:
    names = [f"many/{number:05d}-{'x' * 40}" for number in range(20_000)]
    await asyncio.to_thread(_touch, tree, names)
    await served.post("add", path="r", files=names)
    assert len(git(tree, "ls-files", "many").splitlines()) == 20_000


def _touch(tree: pathlib.Path, names: list[str]) -> None:
    (tree / "many").mkdir()
    for name in names:
        (tree / name).touch()


async def test_add_runs_filters(served: Git, tree: pathlib.Path) -> None:
    git(tree, "config", "filter.shout.clean", "tr a-z A-Z")
    (tree / ".gitattributes").write_text("*.loud filter=shout\n")
    (tree / "x.loud").write_text("hello")
    await served.post("add", path="r", files=["."])
    assert git(tree, "show", ":x.loud") == "HELLO"


@pytest.mark.parametrize("message", ["one", "# not a comment\n", "trailing  \n\n\n", "é 😀\n", "-x"])
async def test_commit_keeps_the_message_byte_for_byte(served: Git, tree: pathlib.Path, message: str) -> None:
    made = await served.commit(message=message, allow_empty=True)
    (found,) = [one for one in await served.get("history", path="r") if one["hash"] == made]
    assert (found["message"], found["author"], found["email"]) == (message, "A", "a@example.com")
    raw = git(tree, "cat-file", "commit", made)
    assert raw.partition("\n\n")[2] == message.rstrip("\n") or raw.endswith(message.strip("\n"))


async def test_commit_without_anything_to_commit(served: Git, tree: pathlib.Path) -> None:
    who = {"path": "r", "message": "m", "author": "A", "email": "a@b.c"}
    assert "nothing to commit" in await served.fails("CONFLICT", "commit", **who)
    (tree / "new").touch()
    await served.fails("CONFLICT", "commit", **who)
    await served.fails("BAD_REQUEST", "commit", **{**who, "author": "<>"})
    await served.fails("INVALID_REQUEST_BODY", "commit", **{**who, "message": ""})
    await served.post("init", 201, path="fresh")
    await served.fails("CONFLICT", "commit", **{**who, "path": "fresh"})
    made = await served.commit("fresh", allow_empty=True)
    assert git(served.work / "fresh", "rev-parse", "HEAD") == made


async def test_commit_takes_bad_characters_from_the_identity(served: Git, tree: pathlib.Path) -> None:
    fields = {"author": "A <x>\nB", "email": "<a@b.c>", "message": "m", "path": "r", "allow_empty": True}
    await served.post("commit", **fields)
    assert git(tree, "log", "-1", "--format=%an|%ae|%cn|%ce") == "A xB|a@b.c|A xB|a@b.c"


async def test_commit_that_cannot_be_signed_fails(served: Git, tree: pathlib.Path) -> None:
    git(tree, "config", "commit.gpgSign", "true")
    git(tree, "config", "gpg.program", "/bin/false")
    head = git(tree, "rev-parse", "HEAD")
    (tree / "new").touch()
    await served.post("add", path="r", files=["new"])
    fields = {"author": "A", "email": "a@b.c", "message": "m"}
    assert "sign" in await served.fails("UNPROCESSABLE_ENTITY", "commit", path="r", **fields)
    assert git(tree, "rev-parse", "HEAD") == head


async def test_checkout_of_an_unknown_name_changes_nothing(served: Git, tree: pathlib.Path) -> None:
    git(tree, "branch", "master")
    repo.commit(tree, {"n": "1"})
    for name in ("nope", "zz", "HEAD~9", "refs/heads/nope", "a.txt"):
        await served.fails("GIT_BRANCH_NOT_FOUND", "checkout", path="r", branch=name)
    for name in ("-x", "--orphan=x", "a\nb"):
        await served.fails("BAD_REQUEST", "checkout", path="r", branch=name)
    assert git(tree, "branch", "--show-current") == "main"


async def test_checkout_of_branch_tag_commit_and_remote_branch(served: Git, tree: pathlib.Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    git(tree, "tag", "v1")
    repo.commit(tree, {"n": "1"})
    for name, head, branch in (("v1", first, ""), ("main", "", "main"), (first[:6], first, ""), (first, first, "")):
        await served.post("checkout", path="r", branch=name)
        assert git(tree, "branch", "--show-current") == branch
        assert not head or git(tree, "rev-parse", "HEAD") == head
    git(tree, "branch", "-q", "only-there", "main")
    await served.post("clone", path="c", url=f"file://{tree}", branch="main")
    await served.post("checkout", path="c", branch="only-there")
    status = await served.get("status", path="c")
    assert (status["currentBranch"], status["upstream"]) == ("only-there", "origin/only-there")


async def test_checkout_of_a_name_that_two_remotes_have(
    served: Git, tree: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in ("one", "two"):
        git(tree, "update-ref", f"refs/remotes/{name}/twin", "HEAD")
        git(tree, "remote", "add", name, str(tmp_path / "nowhere"))
    assert "one/twin, two/twin" in await served.fails("CONFLICT", "checkout", path="r", branch="twin")
    git(tree, "config", "checkout.defaultRemote", "two")
    await served.post("checkout", path="r", branch="twin")
    assert (await served.get("status", path="r"))["upstream"] == "two/twin"


async def test_checkout_in_the_way_changes_nothing(served: Git, tree: pathlib.Path) -> None:
    git(tree, "checkout", "-q", "-b", "dev")
    repo.commit(tree, {"a.txt": "dev\n", "new.txt": "dev\n"})
    git(tree, "checkout", "-q", "main")
    (tree / "dir" / "b.txt").write_text("edited")
    await served.post("checkout", path="r", branch="dev")
    assert await served.files() == [("dir/b.txt", "Unmodified", "Modified")]
    await served.post("checkout", path="r", branch="main")
    (tree / "new.txt").write_text("mine")
    assert "new.txt" in await served.fails("GIT_DIRTY_WORKTREE", "checkout", path="r", branch="dev")
    (tree / "new.txt").unlink()
    (tree / "a.txt").write_text("mine")
    assert "a.txt" in await served.fails("GIT_DIRTY_WORKTREE", "checkout", path="r", branch="dev")
    assert (git(tree, "branch", "--show-current"), (tree / "a.txt").read_text()) == ("main", "mine")


async def test_branches_are_made_from_a_dirty_tree_and_before_the_first_commit(served: Git, tree: pathlib.Path) -> None:
    (tree / "a.txt").write_text("edited")
    await served.post("branches", 201, path="r", name="feature/é")
    assert await served.get("branches", path="r") == {"branches": ["feature/é", "main"], "current": "feature/é"}
    assert await served.files() == [("a.txt", "Unmodified", "Modified")]
    git(tree, "config", "branch.main.remote", "origin")
    async with served.session.delete("/git/branches", params={"path": "r", "name": "main"}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert "branch.main" not in git(tree, "config", "--list")
    await served.post("init", 201, path="fresh")
    await served.post("branches", 201, path="fresh", name="first")
    assert (await served.get("status", path="fresh"))["currentBranch"] == "first"


@pytest.mark.parametrize(
    ("mode", "head", "files"),
    [
        ("soft", True, [("a.txt", "Modified", "Modified")]),
        ("mixed", True, [("a.txt", "Unmodified", "Modified")]),
        ("hard", True, []),
        ("keep", False, "GIT_DIRTY_WORKTREE"),
        ("merge", False, "GIT_DIRTY_WORKTREE"),
        ("", True, [("a.txt", "Unmodified", "Modified")]),
    ],
)
async def test_reset_modes_on_a_dirty_tree(
    served: Git, tree: pathlib.Path, mode: str, head: bool, files: object
) -> None:
    first = git(tree, "rev-parse", "HEAD")
    repo.commit(tree, {"a.txt": "second\n"})
    (tree / "a.txt").write_text("edited\n")
    if isinstance(files, str):
        await served.fails(files, "reset", path="r", mode=mode, target="HEAD~1")
        assert (tree / "a.txt").read_text() == "edited\n"
    else:
        await served.post("reset", path="r", mode=mode, target="HEAD~1", files=[])
        assert await served.files() == files
    assert (git(tree, "rev-parse", "HEAD") == first) is head


@pytest.mark.parametrize("mode", ["soft", "mixed", "hard", "merge", "keep"])
async def test_reset_modes_on_a_clean_tree(served: Git, tree: pathlib.Path, mode: str) -> None:
    first = git(tree, "rev-parse", "HEAD")
    repo.commit(tree, {"n.txt": "n"})
    await served.post("reset", path="r", mode=mode, target=first)
    assert git(tree, "rev-parse", "HEAD") == first
    assert (tree / "n.txt").exists() is (mode in ("soft", "mixed"))


async def test_reset_of_files(served: Git, tree: pathlib.Path) -> None:
    repo.commit(tree, {"a.txt": "second\n", "x[1]": "1", "x1": "1"})
    (tree / "a.txt").write_text("edited\n")
    (tree / "x[1]").write_text("edited")
    (tree / "x1").write_text("edited")
    git(tree, "add", "-A")
    await served.post("reset", path="r", files=["x[1]", "unknown"])
    assert ("x1", "Modified", "Unmodified") in await served.files()
    assert ("x[1]", "Unmodified", "Modified") in await served.files()
    await served.post("reset", path="r", mode="hard", target="HEAD~1", files=["a.txt"])
    assert (tree / "a.txt").read_text() == "one\n"
    for mode in ("soft", "merge", "keep"):
        await served.fails("BAD_REQUEST", "reset", path="r", mode=mode, files=["a.txt"])
    await served.post("init", 201, path="fresh")
    (served.work / "fresh" / "f").touch()
    await served.post("add", path="fresh", files=["f"])
    await served.post("reset", path="fresh")
    assert await served.files("fresh") == [("f", "Untracked", "Untracked")]


@pytest.mark.parametrize(
    ("fields", "index", "disk"),
    [
        ({}, "staged\n", "staged\n"),
        ({"worktree": True}, "staged\n", "staged\n"),
        ({"staged": False}, "staged\n", "staged\n"),
        ({"staged": True}, "one\n", "edited\n"),
        ({"staged": True, "worktree": False}, "one\n", "edited\n"),
        ({"staged": True, "worktree": True}, "one\n", "one\n"),
    ],
)
async def test_restore_flags(served: Git, tree: pathlib.Path, fields: dict[str, bool], index: str, disk: str) -> None:
    (tree / "a.txt").write_text("staged\n")
    git(tree, "add", "a.txt")
    (tree / "a.txt").write_text("edited\n")
    await served.post("restore", path="r", files=["a.txt"], **fields)
    assert (git(tree, "show", ":a.txt") + "\n", (tree / "a.txt").read_text()) == (index, disk)


async def test_restore_from_a_source_removes_what_it_does_not_have(served: Git, tree: pathlib.Path) -> None:
    repo.commit(tree, {"later": "x", "a.txt": "second\n"})
    await served.post("restore", path="r", files=["."], source="HEAD~1", staged=True, worktree=True)
    assert not (tree / "later").exists()
    assert (tree / "a.txt").read_text() == "one\n"
    await served.fails("BAD_REQUEST", "restore", path="r", files=["a.txt"], staged=False, worktree=False)
    await served.fails("INVALID_REQUEST_BODY", "restore", path="r", files=[])
    (tree / "untracked").touch()
    await served.fails("FILE_NOT_FOUND", "restore", path="r", files=["untracked"])
    await served.post("init", 201, path="fresh")
    (served.work / "fresh" / "f").touch()
    await served.post("add", path="fresh", files=["f"])
    await served.post("restore", path="fresh", files=["f"], staged=True)
    assert await served.files("fresh") == [("f", "Untracked", "Untracked")]


async def test_branches_wherever_they_are_kept(served: Git, tree: pathlib.Path) -> None:
    async def listed(path: str = "r") -> tuple[list[str], str]:
        found = await served.get("branches", path=path)
        return found["branches"], found["current"]

    def told(place: pathlib.Path = tree) -> tuple[list[str], str]:
        names = git(place, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").splitlines()
        return names, git(place, "symbolic-ref", "--short", "-q", "HEAD", code=None)

    for name in ("a", "b/c", "b-d", "z/y/x", "gone"):
        git(tree, "branch", name)
    git(tree, "tag", "-a", "-m", "t", "tagged")
    git(tree, "pack-refs", "--all")
    git(tree, "branch", "-D", "gone")
    git(tree, "branch", "loose/new")
    git(tree, "commit", "-q", "--allow-empty", "-m", "main is loose and packed")
    heads = tree / ".git" / "refs" / "heads"
    (heads / "held.lock").touch()
    (heads / "empty").touch()
    (heads / "broken").symlink_to("nowhere")
    assert await listed() == told()
    git(tree, "worktree", "add", "-q", "-b", "tree", str(served.work / "second"))
    assert await listed("second") == told(served.work / "second")
    git(tree, "checkout", "-q", "--detach")
    assert await listed() == told()
    assert (await listed())[1] == ""


async def test_history_in_pages_and_of_files(served: Git, tree: pathlib.Path) -> None:
    for number in range(5):
        repo.commit(tree, {f"f{number % 2}": str(number)}, f"commit {number}\n\nbody")
    whole = await served.get("history", path="r")
    assert [one["message"].split("\n")[0] for one in whole] == [
        *(f"commit {number}" for number in range(4, -1, -1)),
        "first",
    ]
    assert whole[0]["timestamp"] == "2024-05-01T10:00:00+02:00"
    assert await served.get("history", path="r", limit=2, skip=1) == whole[1:3]
    assert [one["hash"] for one in await served.get("history", path="r", file="f1")] == [
        whole[1]["hash"],
        whole[3]["hash"],
    ]
    assert await served.get("history", path="r", ref="HEAD~2") == whole[2:]
    assert await served.get("history", path="r", author="nobody") == []
    await served.fails("GIT_BRANCH_NOT_FOUND", "history", method="GET", path="r", ref="nope")
    made = await served.commit(allow_empty=True)
    assert (await served.get("history", path="r"))[0]["hash"] == made


async def test_history_stays_right_while_the_repository_moves(served: Git, tree: pathlib.Path) -> None:
    """The cached JSON is reused, so each step is compared with git."""

    def record(name: str, when: int) -> None:
        who = f"A <a@b.c> {1700000000 + when} +0000"
        parent = git(tree, "rev-parse", "-q", "--verify", "HEAD", code=None)
        lines = [f"tree {git(tree, 'write-tree')}", *([f"parent {parent}"] if parent else [])]
        text = "\n".join([*lines, f"author {who}", f"committer {who}", "", name, ""])
        git(tree, "update-ref", "HEAD", git(tree, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text))

    steps = [
        lambda: record("one", 1),
        lambda: (record("two", 2), record("three", 3)),
        lambda: (git(tree, "checkout", "-q", "-b", "side", "HEAD~1"), record("side", 2)),
        lambda: (git(tree, "checkout", "-q", "main"), git(tree, "merge", "-q", "--no-ff", "-m", "merge", "side")),
        lambda: record("older than its parent", 0),
        lambda: git(tree, "commit", "-q", "--amend", "--allow-empty", "-m", "amended"),
        lambda: git(tree, "reset", "-q", "--hard", "HEAD~2"),
        lambda: (git(tree, "checkout", "-q", "side"), record("side again", 9)),
        lambda: git(tree, "merge", "-q", "-m", "back", "main"),
        lambda: git(tree, "checkout", "-q", "--orphan", "alone"),
        lambda: record("alone", 4),
    ]
    for step in steps:
        step()
        found = [(one["hash"], one["message"].strip()) for one in await served.get("history", path="r")]
        log = git(tree, "log", "--format=%H %s", code=None).splitlines()
        assert found == [tuple(line.split(" ", 1)) for line in log]


async def test_long_history_is_streamed_whole(served: Git, tree: pathlib.Path) -> None:
    text = "".join(
        f"commit refs/heads/main\ncommitter A <a@b.c> {1700000000 + number} +0000\ndata 5\nm{number:04d}\n"
        f"{'from refs/heads/main^0' if not number else ''}\n"
        for number in range(1500)
    )
    git(tree, "fast-import", "--quiet", "--force", stdin=text)
    found = await served.get("history", path="r")
    assert len(found) == 1501
    assert found[0]["timestamp"].endswith("Z")
    assert len({one["hash"] for one in found}) == 1501
    made = await served.commit(allow_empty=True)
    assert [one["hash"] for one in await served.get("history", path="r")] == [made, *(one["hash"] for one in found)]
    git(tree, "reset", "-q", "--soft", "HEAD~502")
    assert await served.get("history", path="r") == found[501:]
    made = [await served.commit(allow_empty=True) for _ in range(2)]
    longer = await served.get("history", path="r")
    assert [one["hash"] for one in longer[:2]] == made[::-1]
    assert longer[2:] == found[501:]


async def test_commit_in_another_encoding(served: Git, tree: pathlib.Path) -> None:
    git(tree, "-c", "i18n.commitEncoding=latin1", "commit", "-q", "--allow-empty", "-F", "-", stdin="caf\udce9")
    assert (await served.get("history", path="r"))[0]["message"].strip() == "café"
    assert (await served.get("history", path="r", limit=1))[0]["message"].strip() == "café"


async def test_lock_of_another_git_is_waited_for(served: Git, tree: pathlib.Path) -> None:
    lock = tree / ".git" / "index.lock"
    lock.touch()
    (tree / "new").touch()
    waiting = asyncio.create_task(served.post("add", path="r", files=["new"]))
    asyncio.get_running_loop().call_later(0.7, os.unlink, lock)
    await waiting
    assert await served.files() == [("new", "Added", "Unmodified")]
    lock.touch()
    (tree / "new").write_text("changed")
    assert "index.lock" in await served.fails("CONFLICT", "add", path="r", files=["new"])
    assert lock.exists()
