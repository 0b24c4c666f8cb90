"""Root, and a repository of another user below a folder that is closed to that user."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from tests.git_support import repo
from tests.git_support.remote import Server
from tests.http.git.conftest import Git

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for others")


@pytest.mark.parametrize("deeper", ["", "/open/deep"])
async def test_closed_folder_above_a_repository_is_named(served: Git, http: Server, deeper: str) -> None:
    for folder in (served.work, *served.work.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    repo.published(http.root)
    closed = served.work / "closed"
    below = pathlib.Path(f"{closed}{deeper}")
    below.mkdir(parents=True)
    repo.new(below / "r")
    (below / "mine").mkdir()
    subprocess.run(["chown", "-R", "65534:65534", str(below / "r"), str(below / "mine")], check=True)
    closed.chmod(0o700)
    who = {"author": "a", "email": "e@example.com"}
    for method, route, fields in (
        ("GET", "status", {}),
        ("GET", "diff", {}),
        ("GET", "history", {"author": "x"}),
        ("POST", "add", {"files": ["."]}),
        ("POST", "commit", {"message": "m", **who}),
        ("POST", "branches", {"name": "dev"}),
        ("POST", "init", {"path": str(below / "mine" / "x")}),
        ("POST", "clone", {"path": str(below / "mine" / "y"), "url": f"{http.url}/open/x.git"}),
    ):
        sent = {"path": str(below / "r"), **fields}
        message = await served.fails("FILE_ACCESS_DENIED", route, method=method, **sent)
        assert message.endswith(f"to whom the folder {closed} is closed"), (route, message)
        assert "owner nobody" in message
    closed.chmod(0o711)
    await served.get("status", path=str(below / "r"))
