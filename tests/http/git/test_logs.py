"""What clones and refused credentials write to the log, with either engine; no secret is in it."""

from __future__ import annotations

import logging
import os
import pathlib
from urllib.parse import quote

import pytest

from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.http.git.conftest import Git
from toolbox.logs import JsonFormatter


@pytest.fixture(params=["git", "libgit2"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def variables(engine: str, tmp_path: pathlib.Path) -> dict[str, str]:
    """Return an environment with or without a git program."""
    path = os.environ["PATH"] if engine == "git" else str(tmp_path / "nothing")
    return {"PATH": path, "GIT_CONFIG_SYSTEM": str(tmp_path / "system")}


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[logging.LogRecord]:
    """Return the INFO records with a message; no record holds a secret, a path of the user or the path of a URL."""
    text = "\n".join(JsonFormatter().format(record) for record in caplog.records if record.name.startswith("toolbox"))
    for secret in (TOKEN, quote(TOKEN, safe=""), f"{USER}:", f"{USER}@", "wrong-word", "auth/x", "my-folder"):
        assert secret not in text
    return [record for record in caplog.records if record.getMessage() == message and record.levelname == "INFO"]


async def test_clone(served: Git, http: Server, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    repo.published(http.root)
    await served.post("clone", path="my-folder", url=f"{http.url}/auth/x.git", username=USER, password=TOKEN)
    (finished,) = lines(caplog, "clone finished")
    assert finished.__dict__["engine"] == engine
    assert 0 < finished.__dict__["seconds"] < 60
    (sent,) = lines(caplog, "credentials sent")
    assert sent.__dict__["host"] == http.url
    assert not lines(caplog, "credentials refused")


async def test_clone_with_credentials_in_the_url(served: Git, http: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    repo.published(http.root)
    url = http.url.replace("://", f"://{USER}:{quote(TOKEN, safe='')}@")
    await served.post("clone", path="my-folder", url=f"{url}/auth/x.git")
    assert len(lines(caplog, "clone finished")) == 1
    await served.post("fetch", path="my-folder")
    assert [record.__dict__["host"] for record in lines(caplog, "credentials sent")] == [http.url] * 2


@pytest.mark.parametrize("given", [True, False])
async def test_refused_credentials(
    served: Git, http: Server, engine: str, given: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    repo.published(http.root)
    who = {"username": USER, "password": "wrong-word"} if given else {}
    await served.fails("GIT_AUTH_FAILED", "clone", path="my-folder", url=f"{http.url}/auth/x.git", **who)
    (refused,) = lines(caplog, "credentials refused")
    assert (refused.__dict__["host"], refused.__dict__["given"]) == (http.url, given)
    (failed,) = lines(caplog, "clone failed")
    assert (failed.__dict__["engine"], failed.__dict__["code"]) == (engine, "GIT_AUTH_FAILED")


async def test_refused_push(served: Git, http: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    repo.published(http.root)
    await served.post("clone", path="my-folder", url=f"{http.url}/auth/x.git", username=USER, password=TOKEN)
    await served.commit("my-folder", allow_empty=True)
    await served.fails("GIT_AUTH_FAILED", "push", path="my-folder", username=USER, password="wrong-word")
    assert [record.__dict__["host"] for record in lines(caplog, "credentials refused")] == [http.url]
