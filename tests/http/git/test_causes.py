"""Failures whose cause the client or the machine can remove: no 500, and the message names the cause."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.git_support.repo import git
from tests.http.git.conftest import Git

CLONE, BAD = "clone", "BAD_REQUEST"
BY_GIT_OR_LIBGIT2 = [True, False]


def without_git(served: Git, tmp_path: pathlib.Path) -> None:
    served.environment.update({"PATH": str(tmp_path / "nothing")})


@pytest.mark.parametrize("program", BY_GIT_OR_LIBGIT2)
@pytest.mark.parametrize(
    ("url", "code", "named"),
    [
        ("file:///etc/passwd", "GIT_REPO_NOT_FOUND", "/etc/passwd"),
        ("/etc/passwd", "GIT_REPO_NOT_FOUND", "/etc/passwd"),
        ("file:///etc", "GIT_REPO_NOT_FOUND", "/etc"),
        ("file:///nowhere/x", "GIT_REPO_NOT_FOUND", "/nowhere/x"),
        ("ssh://-oProxyCommand=touch%20x/y", BAD, "-oproxycommand=touch x"),
        ("ssh://%2DoProxyCommand=x/y", BAD, "-oProxyCommand"),
        ("ssh://u@-x/y", BAD, "'-x'"),
        ("git@-oProxyCommand=x:y", BAD, "'-oProxyCommand=x'"),
        ("git://-h/x", BAD, "'-h'"),
        ("ssh:///x", BAD, "no host"),
        ("https://-h.invalid/x", "GIT_TRANSPORT_FAILED", "-h.invalid"),
        ("git://nowhere.invalid/x", "GIT_TRANSPORT_FAILED", "nowhere.invalid"),
    ],
)
async def test_url_that_leads_nowhere(
    served: Git, tree: pathlib.Path, tmp_path: pathlib.Path, url: str, code: str, named: str, program: bool
) -> None:
    if not program:
        without_git(served, tmp_path)
    assert named in await served.fails(code, "clone", path="c", url=url)
    git(tree, "config", "remote.o.url", url)
    git(tree, "config", "remote.o.fetch", "+refs/heads/*:refs/remotes/o/*")
    for route in ("fetch", "push", "pull"):
        assert named in await served.fails(code, route, path="r", remote="o")
    assert not (served.work / "c").exists()


@pytest.mark.parametrize("program", BY_GIT_OR_LIBGIT2)
@pytest.mark.parametrize("how", ["include", "folder", "broken", "value", "loop", "user"])
async def test_configuration_that_cannot_be_read_is_named(
    served: Git, tree: pathlib.Path, tmp_path: pathlib.Path, how: str, program: bool
) -> None:
    if not program:
        without_git(served, tmp_path)
    (tree / "noconf").write_bytes(b"\0\1 not [a config\n")
    added = {
        "include": "[include]\n\tpath = ../noconf\n",
        "folder": "[include]\n\tpath = /etc\n",
        "broken": "[broken\n",
        "value": "[core]\n\tbare = perhaps\n",
        "loop": "[include]\n\tpath = config\n",
        "user": "",
    }[how]
    with (tree / ".git" / "config").open("a") as config:
        config.write(added)
    if how == "user":
        (served.home / ".gitconfig").write_text("[broken\n")
    named = {"include": "noconf", "folder": "config", "value": "perhaps", "loop": "depth"}.get(how, "config")
    failed = 0
    for method, route, fields in (
        ("GET", "status", {}),
        ("GET", "branches", {}),
        ("GET", "history", {}),
        ("GET", "remotes", {}),
        ("GET", "config", {"key": "user.name", "scope": "local"}),
        ("POST", "add", {"files": ["a.txt"]}),
        ("POST", "commit", {"message": "m", "author": "a", "email": "e@e", "allow_empty": True}),
        ("POST", "branches", {"name": "dev"}),
        ("POST", "checkout", {"branch": "main"}),
        ("POST", "remotes", {"name": "n", "url": "https://h.example/x"}),
        ("POST", "config", {"key": "a.b", "value": "c", "scope": "global"}),
    ):
        sent = {"params": {"path": "r", **fields}} if method == "GET" else {"json": {"path": "r", **fields}}
        async with served.session.request(method, f"/git/{route}", **sent) as answer:  # type: ignore[arg-type]
            body = await answer.json() if answer.status >= 400 else {}
        if body.get("code") == "SERVICE_UNAVAILABLE":
            assert (route, program) == ("config", False)  # libgit2 would follow includes
        elif body:
            failed += 1
            assert body["code"] == "UNPROCESSABLE_ENTITY", (route, body)
            assert named in body["message"], (route, body)
    assert failed or (how in ("folder", "include") and not program)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"gpg.program": "/bin/false"}, "gpg failed to sign"),
        ({"gpg.program": "/nowhere/gpg"}, "/nowhere/gpg"),
        ({"gpg.format": "bogus"}, "gpg.format"),
        ({"gpg.format": "ssh"}, "user.signingkey"),
        ({"gpg.format": "x509", "gpg.x509.program": "/bin/false"}, "sign"),
    ],
)
async def test_signature_that_fails_is_named(
    served: Git, tree: pathlib.Path, values: dict[str, str], named: str
) -> None:
    for key, value in {"commit.gpgSign": "true", "tag.gpgSign": "true", **values}.items():
        git(tree, "config", key, value)
    who = {"author": "A", "email": "a@example.com"}
    for route, fields in (
        ("commit", {"message": "m", "allow_empty": True, **who}),
        ("tags", {"name": "t", "message": "m"}),
    ):
        assert named in await served.fails("UNPROCESSABLE_ENTITY", route, path="r", **fields)


def test_machine_without_certificates_is_named() -> None:
    code = (
        "import toolbox.git.metadata.reader as reader\n"
        "from toolbox.errors import BadGateway\n"
        "try:\n reader._libgit2()\nexcept BadGateway as error:\n print(error.message)"
    )
    env = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "certificates" in done.stdout
    assert "SSL_CERT_FILE" in done.stdout
