"""Filters of a repository are programs: reading runs those of the system and the user, not the repository's."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.git_support import repo
from tests.git_support.repo import git
from tests.http.git.conftest import Git

READING = (
    ("GET", "status", {}),
    ("GET", "diff", {}),
    ("GET", "diff", {"format": "patch"}),
    ("GET", "diff", {"from": "HEAD"}),
    ("GET", "changes", {"base": "main"}),
    ("GET", "blame", {"file": "a.txt"}),
)
PATCH = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-ONE\n+two\n"


@pytest.fixture
def program(served: Git) -> pathlib.Path:
    """Return a filter that leaves ``marker`` and writes upper case."""
    path = served.work / "program"
    path.write_text(f"#!/bin/sh\necho ran >> {served.work}/marker\ntr a-z A-Z\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def marker(served: Git) -> pathlib.Path:
    return served.work / "marker"


def touch(tree: pathlib.Path, name: str = "a.txt") -> None:
    """Change a file without changing its size, so that git has to read it."""
    (tree / name).write_bytes((tree / name).read_bytes().swapcase())


async def read(served: Git, tree: pathlib.Path) -> None:
    for method, route, fields in READING:
        touch(tree)
        await served.call(method, route, path="r", **fields)


@pytest.mark.parametrize("kind", ["clean", "process"])
@pytest.mark.parametrize("where", ["config", "include", "includeIf", "worktree", "required", "info"])
async def test_reading_runs_no_filter_of_the_repository(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path, kind: str, where: str
) -> None:
    key, file = f"filter.x.{kind}", tree / ".git" / "config"
    if where.startswith("include"):
        condition = f"includeIf.gitdir:{tree}/.path" if where == "includeIf" else "include.path"
        git(tree, "config", condition, "../more")
        file = tree / "more"
    if where == "worktree":
        git(tree, "config", "extensions.worktreeConfig", "true")
        file = tree / ".git" / "config.worktree"
    subprocess.run(["git", "config", "--file", str(file), key, str(program)], check=True)
    if where == "required":
        git(tree, "config", "filter.x.required", "true")
    attributes = tree / (".git/info/attributes" if where == "info" else ".gitattributes")
    attributes.write_text("*.txt filter=x\n")
    await read(served, tree)
    touch(tree)
    await served.call("POST", "apply", 409, path="r", patch=PATCH.replace("ONE", "none"), check=True)
    assert not marker.exists()
    touch(tree)
    if kind == "clean":
        await served.get("status", path="r", filters="true")
        assert marker.exists(), "the filter would have run"


async def test_filters_that_are_asked_for_run(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path
) -> None:
    git(tree, "config", "filter.x.clean", str(program))
    (tree / ".gitattributes").write_text("*.txt filter=x\n")
    for method, route, fields in READING:
        touch(tree)
        await served.call(method, route, path="r", **fields, filters="true")
        assert marker.exists(), route
        marker.unlink()
    await served.post("add", path="r", files=["a.txt"])
    assert marker.exists(), "writing runs filters"


async def test_reading_runs_no_filter_of_a_submodule(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path
) -> None:
    inner = repo.new(tree / "sub")
    deeper = repo.new(inner / "deeper")
    git(inner, "update-index", "--add", "--cacheinfo", f"160000,{git(deeper, 'rev-parse', 'HEAD')},deeper")
    git(tree, "update-index", "--add", "--cacheinfo", f"160000,{git(inner, 'rev-parse', 'HEAD')},sub")
    for one in (inner, deeper):
        git(one, "config", f"filter.{one.name}.clean", str(program))
        (one / ".git" / "info" / "attributes").write_text(f"*.txt filter={one.name}\n")
    for method, route, fields in READING:
        touch(inner)
        touch(deeper)
        await served.call(method, route, path="r", **fields)
        assert not marker.exists(), route
    assert "Modified" in {worktree for name, _, worktree in await served.files() if name == "sub"}


async def test_filter_that_cannot_be_turned_off_is_refused(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path
) -> None:
    git(tree, "config", "filter.a=b.clean", str(program))
    (tree / ".gitattributes").write_text("*.txt filter=a=b\n")
    touch(tree)
    assert "filter.a=b.clean" in await served.fails("UNPROCESSABLE_ENTITY", "status", method="GET", path="r")
    assert not marker.exists()


@pytest.mark.parametrize("old", [False, True])
async def test_filters_of_the_user_run_and_cannot_be_replaced(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path, old: bool, tmp_path: pathlib.Path
) -> None:
    if old:  # a git that does not know --show-scope
        wrapper = tmp_path / "bin" / "git"
        wrapper.parent.mkdir()
        wrapper.write_text(
            f'#!/bin/sh\ncase " $* " in *" --show-scope "*) exit 129;; esac\nexec {shutil.which("git")} "$@"\n'
        )
        wrapper.chmod(0o755)
        served.environment.update({"PATH": f"{wrapper.parent}:{os.environ['PATH']}"})
    mine = served.work / "mine"
    (served.home / ".gitconfig").write_text(f'[filter "x"]\n\tclean = "touch {mine}; tr a-z A-Z"\n')
    git(tree, "config", "filter.x.clean", str(program))
    (tree / ".gitattributes").write_text("*.txt filter=x\n")
    for method, route, fields in READING:
        touch(tree)
        await served.call(method, route, path="r", **fields)
        assert mine.exists(), route
        mine.unlink()
    assert not marker.exists()


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
async def test_large_files_of_the_user_stay_unchanged_beside_hostile_settings(
    served: Git, tree: pathlib.Path, program: pathlib.Path, marker: pathlib.Path
) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(served.home), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, env=env, capture_output=True)
    (tree / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (tree / "large.bin").write_bytes(b"large" * 1000)
    await served.post("add", path="r", files=["."])
    await served.commit()
    for key in ("filter.lfs.clean", "filter.lfs.process"):
        git(tree, "config", key, str(program))
    (tree / "large.bin").touch()
    assert await served.files() == []
    touch(tree, "large.bin")
    assert await served.files() == [("large.bin", "Unmodified", "Modified")]
    git(tree, "config", "lfs.extension.x.clean", str(program))
    git(tree, "config", "lfs.extension.x.priority", "0")
    touch(tree, "large.bin")
    await served.files()
    assert not marker.exists()
