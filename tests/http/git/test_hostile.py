"""Repositories that try to run programs, repositories of other users, and loop latency under load."""

from __future__ import annotations

import asyncio
import os
import pathlib
import subprocess

import pytest

from tests.git_support import repo
from tests.git_support.remote import Server
from tests.git_support.repo import git
from tests.http.git.conftest import Git

HOOKS = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "pre-push",
    "post-merge",
    "post-index-change",
    "reference-transaction",
    "post-rewrite",
    "pre-merge-commit",
    "pre-rebase",
    "fsmonitor-watchman",
]


@pytest.fixture
def trap(served: Git, http: Server) -> pathlib.Path:
    """Return a clone that tries to run a program whenever it can; the program leaves ``marker``."""
    bare, work = repo.published(http.root)
    git(served.work, "clone", "-q", str(bare), "r")
    tree, program = served.work / "r", served.work / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {served.work}/marker\nexit 0\n')
    program.chmod(0o755)
    for name in HOOKS:
        (tree / ".git" / "hooks" / name).symlink_to(program)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.askPass",
        "core.editor",
        "core.pager",
        "sequence.editor",
        "gpg.program",
        "diff.external",
        "diff.trap.textconv",
        "diff.trap.command",
    ):
        git(tree, "config", key, str(program))
    git(tree, "config", "alias.status", f"!{program}")
    git(tree, "config", "protocol.ext.allow", "always")
    git(tree, "config", "core.hooksPath", str(tree / ".git" / "hooks"))
    (tree / ".gitattributes").write_text("* diff=trap\n")
    repo.commit(work, {"n": "1"})
    git(work, "push", "-q", "origin", "main")
    (served.work / "marker").unlink(missing_ok=True)
    return tree


async def test_nothing_of_a_hostile_repository_runs(served: Git, trap: pathlib.Path, http: Server) -> None:
    (trap / "a.txt").write_text("changed")
    git_dir = http.root / "x.git"
    for route, fields in (
        ("status", None),
        ("branches", None),
        ("remotes", None),
        ("history", None),
        ("add", {"files": ["."]}),
        ("pull", {}),
        ("commit", {"message": "m", "author": "A", "email": "a@b.c"}),
        ("push", {}),
        ("branches", {"name": "dev"}),
        ("checkout", {"branch": "main"}),
        ("reset", {"mode": "hard", "target": "HEAD~1"}),
        ("restore", {"files": ["."]}),
        ("fetch", {}),
    ):
        if fields is None:
            await served.get(route, path="r")
        else:
            await served.post(route, 201 if route == "branches" else 200, path="r", **fields)
    assert not (served.work / "marker").exists(), (served.work / "marker").read_text()
    assert git(git_dir, "log", "-1", "--format=%s", "main") == "m"
    git(trap, "config", "remote.origin.url", f"ext::{served.work}/program %S")
    await served.fails("BAD_REQUEST", "fetch", path="r")
    await served.fails("BAD_REQUEST", "pull", path="r")
    assert not (served.work / "marker").exists()


async def test_credential_helpers_of_a_repository_do_not_see_the_request(
    served: Git, trap: pathlib.Path, http: Server
) -> None:
    git(trap, "config", "credential.helper", f"!cat >> {served.work}/marker; echo x")
    git(trap, "config", "remote.origin.url", f"{http.url}/auth/x.git")
    await served.fails("GIT_AUTH_FAILED", "fetch", path="r", username="u", password="secret-token")
    assert not (served.work / "marker").exists()


async def test_secrets_in_what_a_remote_says_are_hidden(served: Git, http: Server) -> None:
    bare, _ = repo.published(http.root)
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'https://u:pass%2Fword@h/ pass/word pass%2Fword' >&2\nexit 1\n")
    hook.chmod(0o755)
    await served.post("clone", path="r", url=f"{http.url}/open/x.git")
    await served.commit(allow_empty=True)
    message = await served.fails("GIT_REMOTE_REJECTED", "push", path="r", username="u", password="pass/word")
    assert "pass" not in message.replace("pre-receive", "")
    assert "***" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for others")
async def test_work_in_a_repository_of_another_user_is_done_as_its_owner(
    served: Git, http: Server, tmp_path: pathlib.Path
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder != pathlib.Path("/tmp") and folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    theirs = served.work / "theirs"
    theirs.mkdir()
    repo.published(http.root)
    os.chown(theirs, 65534, 65534)
    url = f"{http.url}/open/x.git"
    await served.post("clone", path="theirs/r", url=url)
    tree = theirs / "r"
    git_config = ["git", "-c", "safe.directory=*", "-C", str(tree), "config"]
    subprocess.run([*git_config, "filter.who.clean", f"id -u > {theirs}/who; cat"], check=True)
    subprocess.run(["chown", "-R", "65534:65534", str(tree)], check=True)
    (tree / ".gitattributes").write_text("* filter=who\n")
    (tree / "new").write_text("new")
    await served.post("add", path="theirs/r", files=["."])
    await served.commit("theirs/r")
    await served.post("branches", 201, path="theirs/r", name="dev")
    await served.post("config", key="a.b", value="c", scope="local", path="theirs/r")
    await served.post("remotes", 201, path="theirs/r", name="up", url=url, fetch=True)
    await served.post("push", path="theirs/r")
    await served.post("init", 201, path="theirs/fresh")
    assert (theirs / "who").read_text().strip() == "65534"
    assert (await served.get("branches", path="theirs/r"))["current"] == "dev"
    owned = {path: path.lstat().st_uid for path in [*tree.rglob(".git/**/*"), *(theirs / "fresh").rglob("*")]}
    assert {uid for path, uid in owned.items()} == {65534}, [str(path) for path, uid in owned.items() if uid != 65534]


async def test_loop_goes_on_while_many_files_are_worked_on(served: Git) -> None:
    """Work on the loop would hold it up for as long as the request takes; it shares two cores with git."""
    tree = served.work / "big"
    await asyncio.to_thread(_fill, tree)
    loop = asyncio.get_running_loop()
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            worst = max(worst, loop.time() - before - 0.005)

    started = loop.time()
    heart = asyncio.create_task(beat())
    for route, fields in (
        ("add", {"files": ["."]}),
        ("commit", {"message": "m", "author": "A", "email": "a@b.c"}),
        ("reset", {"mode": "hard"}),
    ):
        await served.post(route, path="big", **fields)
    await served.get("status", path="big")
    await served.post("clone", path="copy", url=str(tree))
    heart.cancel()
    print(f"\nthe loop stood still for at most {worst:.3f} s of {loop.time() - started:.2f} s")
    assert worst < (loop.time() - started) / 5


def _fill(tree: pathlib.Path) -> None:
    tree.mkdir()
    git(tree, "init", "-q")
    for number in range(5_000):
        path = tree / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(number))
