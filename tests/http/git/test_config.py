"""Configuration in three scopes, and the credential store."""

from __future__ import annotations

import os
import pathlib
from urllib.parse import quote

import pytest

from tests.git_support.repo import git
from tests.http.git.conftest import Git


@pytest.mark.parametrize("scope", ["global", "local", "system"])
@pytest.mark.parametrize("value", ["", "plain", "two\nlines\n", ' lead "q" \\ ; # ', "é 😀", "x" * 5000])
async def test_values_come_back_and_git_reads_them(
    served: Git, tree: pathlib.Path, tmp_path: pathlib.Path, scope: str, value: str
) -> None:
    where = {"scope": scope, **({"path": "r"} if scope == "local" else {})}
    await served.post("config", key="Demo.Sub Sec.KEY", value=value, **where)
    assert (await served.get("config", key="demo.Sub Sec.key", **where)) == {"value": value}
    file = {"global": served.home / ".gitconfig", "local": tree / ".git/config", "system": tmp_path / "system"}[scope]
    assert git(tree, "config", "--file", str(file), "-z", "demo.Sub Sec.key") == f"{value}\0"
    assert file.stat().st_mode & 0o777 == 0o644
    others = {"global", "local", "system"} - {scope}
    for one in others:
        assert (await served.get("config", key="demo.Sub Sec.key", scope=one, path="r"))["value"] is None


async def test_many_values_become_one(served: Git, tree: pathlib.Path) -> None:
    for value in ("1", "2\nx", "3"):
        git(tree, "config", "--add", "a.many", value)
    config = tree / ".git" / "config"
    config.write_text(config.read_text() + "[flag]\n\ton\n# a comment\n")
    local = {"scope": "local", "path": "r"}
    assert (await served.get("config", key="a.many", **local))["value"] == "3"
    assert (await served.get("config", key="flag.on", **local))["value"] == ""
    await served.post("config", key="a.many", value="one\ntwo", **local)
    assert git(tree, "config", "-z", "--get-all", "a.many") == "one\ntwo\0"
    assert "# a comment" in (tree / ".git" / "config").read_text()


async def test_includes_are_not_followed(served: Git, tree: pathlib.Path) -> None:
    (served.home / "more").write_text("[a]\n\tb = included\n")
    (served.home / ".gitconfig").write_text("[include]\n\tpath = more\n[a]\n\tc = own\n")
    assert (await served.get("config", key="a.b"))["value"] is None
    assert (await served.get("config", key="a.c"))["value"] == "own"


async def test_files_of_the_user(served: Git) -> None:
    other = served.home / ".config" / "git" / "config"
    other.parent.mkdir(parents=True)
    other.write_text("[a]\n\tb = 1\n")
    assert (await served.get("config", key="a.b"))["value"] == "1"
    await served.post("config", key="a.b", value="2")
    assert "2" in other.read_text()
    served.environment.update({"GIT_CONFIG_GLOBAL": str(served.home / "chosen")})
    await served.post("config", key="a.b", value="3")
    assert (served.home / "chosen").exists()


async def test_what_is_refused(served: Git, tree: pathlib.Path) -> None:
    for key in ("", "a", "a.", "a.1b", "a.b\nc.d", "-x"):
        await served.fails("BAD_REQUEST", "config", method="GET", key=key)
    await served.fails("BAD_REQUEST", "config", method="GET", key="a.b", scope="worktree")
    await served.fails("BAD_REQUEST", "config", method="GET", key="a.b", scope="local")
    await served.fails("GIT_REPO_NOT_FOUND", "config", method="GET", key="a.b", scope="local", path="nope")
    await served.fails("BAD_REQUEST", "config", key="a.b", value="a\0b")
    await served.fails("INVALID_REQUEST_BODY", "config", key="a.b")
    await served.fails("BAD_REQUEST", "config/user", name="a\nb", email="x")
    await served.fails("INVALID_REQUEST_BODY", "config/user", name="", email="x")
    (served.home / ".gitconfig").write_text("[a\nb = c\n")
    assert ".gitconfig:1" in await served.fails("UNPROCESSABLE_ENTITY", "config", method="GET", key="a.b")


async def test_user_is_set_as_a_pair(served: Git, tree: pathlib.Path) -> None:
    await served.post("config/user", name="N", email="n@example.com", scope="local", path="r")
    assert git(tree, "config", "user.name") + git(tree, "config", "user.email") == "Nn@example.com"


async def test_credentials_are_stored_for_one_host(served: Git) -> None:
    await served.post("credentials", username="u", password="p w", host="", protocol="")
    await served.post("credentials", username="u", password="new:é", host="github.com")
    await served.post("credentials", username="v", password="x", host="[::1]:8080", protocol="http")
    store = served.home / ".git-credentials"
    assert store.read_text().splitlines() == [
        "http://v:x@%5b%3a%3a1%5d%3a8080",
        f"https://u:new%3a{quote('é').lower()}@github.com",
    ]
    assert store.stat().st_mode & 0o777 == 0o600
    assert git(served.home, "config", "--file", ".gitconfig", "credential.https://github.com.helper") == "store"
    for fields in (
        {"host": "a b"},
        {"host": "https://h"},
        {"host": "h/x"},
        {"host": "h\nx=y"},
        {"protocol": "ssh"},
        {"username": "a\nb"},
        {"password": "a\0b"},
        {"password": "a\r"},
    ):
        await served.fails("BAD_REQUEST", "credentials", **{"username": "u", "password": "p", **fields})
    await served.fails("INVALID_REQUEST_BODY", "credentials", username="u", password="")


async def test_lock_of_the_store_is_respected(served: Git) -> None:
    lock = served.home / ".git-credentials.lock"
    lock.touch()
    await served.fails("CONFLICT", "credentials", username="u", password="p")
    assert os.path.exists(lock)
