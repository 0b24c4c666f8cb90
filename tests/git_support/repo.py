"""Repositories made with the git program, independent of the user's configuration."""

from __future__ import annotations

import os
import pathlib
import subprocess

IDENTITY = {
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "A U Thor",
    "GIT_COMMITTER_EMAIL": "author@example.com",
    "GIT_AUTHOR_DATE": "1714550400 +0200",
    "GIT_COMMITTER_DATE": "1714550400 +0200",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


def git(folder: pathlib.Path | str, *args: str, code: int | None = 0, stdin: str | None = None) -> str:
    """Run git in a folder and return what it prints."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **IDENTITY}
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *args],
        cwd=folder,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )
    assert code is None or done.returncode == code, f"git {args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip("\n")


def commit(folder: pathlib.Path, files: dict[str, str], message: str = "change") -> str:
    """Write files, commit them, and return the id."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--no-verify", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def new(folder: pathlib.Path, files: dict[str, str] | None = None) -> pathlib.Path:
    """Make a repository on branch main with one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    commit(folder, {"a.txt": "one\n", "dir/b.txt": "two\n"} if files is None else files, "first")
    return folder


def bare(folder: pathlib.Path, source: pathlib.Path | None = None) -> pathlib.Path:
    """Make a bare repository that takes pushes, empty or with the content of ``source``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if source is None:
        folder.mkdir()
        git(folder, "init", "-q", "--bare")
    else:
        git(source, "clone", "-q", "--bare", str(source), str(folder))
        git(folder, "remote", "remove", "origin")
    git(folder, "config", "http.receivepack", "true")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "false")
    return folder


def published(root: pathlib.Path, name: str = "x.git") -> tuple[pathlib.Path, pathlib.Path]:
    """Return a bare repository below ``root`` and an up-to-date clone of it."""
    work = new(root / f"{name}.work")
    remote = bare(root / name, work)
    git(work, "remote", "add", "origin", str(remote))
    git(work, "fetch", "-q")
    git(work, "branch", "-q", "--set-upstream-to=origin/main")
    return remote, work
