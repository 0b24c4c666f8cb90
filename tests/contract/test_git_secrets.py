"""A token in a request is visible nowhere: not while git runs, and not afterwards."""

from __future__ import annotations

import asyncio
import base64
import pathlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.conftest import Target
from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server

# The first test of all starts the daemon and imports two SDKs, on a machine that may be busy.
pytestmark = pytest.mark.timeout(60)

FORMS = [
    TOKEN.encode(),
    quote(TOKEN, safe="").encode(),
    quote(TOKEN).encode(),
    base64.b64encode(f"{USER}:{TOKEN}".encode()),
]


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Server]:
    """Serve a repository that holds its packs back until released."""
    root = tmp_path / "remotes"
    root.mkdir()
    repo.published(root)
    with remotes.serving(root) as server:
        yield server


@pytest.fixture
def work(target: Target, tmp_path: pathlib.Path) -> str:
    """Return a fresh folder below the working directory, as the SDK addresses it."""
    (target.workdir / tmp_path.name).mkdir()
    return tmp_path.name


def held(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def processes_that_show_it() -> list[str]:
    """List arguments and environments of processes that contain the token."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                data = (process / name).read_bytes()
            except OSError:
                continue
            if held(data):
                found.append(f"{process.name} {name} {data[:2000]!r}")
    return found


def files_that_hold_it(since: float, *folders: pathlib.Path) -> list[str]:
    """List files written since that contain the token."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if (
                    path.is_file()
                    and not path.is_symlink()
                    and path.stat().st_mtime >= since
                    and held(path.read_bytes())
                ):
                    found.append(str(path))
            except OSError:
                continue
    return found


async def while_held(http: Server, call: Any) -> list[str]:
    """Call the SDK, inspect all processes while the remote delays the call, then release it."""
    http.hanging.clear()
    http.released.clear()
    running = asyncio.create_task(asyncio.to_thread(call))
    await asyncio.to_thread(http.hanging.wait, 15)
    assert http.hanging.is_set()
    shown = await asyncio.to_thread(processes_that_show_it)
    http.released.set()
    await running
    return shown


async def test_token_is_nowhere(sdk: Any, target: Target, work: str, http: Server) -> None:
    url, path, since = f"{http.url}/slow/x.git", f"{work}/r", time.time() - 1
    who = {"username": USER, "password": TOKEN}
    assert not await while_held(http, lambda: sdk.git.clone(url, path, **who))
    sdk.git.commit(path, "m", "A", "a@b.c", allow_empty=True)
    assert not await while_held(http, lambda: sdk.git.push(path, **who))
    repo.commit(http.root / "x.git.work", {"n": "1"})
    repo.git(http.root / "x.git.work", "pull", "-q", "--no-rebase", "--no-edit")
    repo.git(http.root / "x.git.work", "push", "-q", "origin", "main")
    assert not await while_held(http, lambda: sdk.git.pull(path, **who))
    # The daemon's log and home, the repository with its configuration and logs, and the folders for temporary files.
    places = (target.home, target.workdir, pathlib.Path("/var/tmp"), pathlib.Path("/dev/shm"))
    assert not files_that_hold_it(since, *places)
    assert not files_that_hold_it(since, *pathlib.Path("/tmp").glob("git*"))


async def test_token_in_a_url_is_in_no_argument(sdk: Any, target: Target, work: str, http: Server) -> None:
    """git stores such a URL in its configuration; it appears in no process's arguments."""
    url, path = http.url.replace("://", f"://{USER}:{quote(TOKEN, safe='')}@") + "/slow/x.git", f"{work}/r"
    assert not await while_held(http, lambda: sdk.git.clone(url, path))
    config = target.workdir / path / ".git" / "config"
    assert url in config.read_text()
    sdk.git.commit(path, "m", "A", "a@b.c", allow_empty=True)
    assert not await while_held(http, lambda: sdk.git.push(path))
    # An insteadOf rule of the user that leads to such a URL.
    config.write_text(f'[core]\n\tbare = false\n[url "{url.partition("/slow")[0]}/"]\n\tinsteadOf = "gh:"\n')
    sdk.git.remote_add(path, "origin", "https://example.com/", overwrite=True)
    sdk.git.set_config("remote.origin.url", "gh:slow/x.git", scope="local", path=path)
    sdk.git.commit(path, "m", "A", "a@b.c", allow_empty=True)
    assert not await while_held(http, lambda: sdk.git.push(path))
    sdk.git.set_config("remote.origin.url", "gh:status/503/x.git", scope="local", path=path)
    from daytona.common.errors import DaytonaGitTransportFailedError

    with pytest.raises(DaytonaGitTransportFailedError) as caught:
        sdk.git.pull(path)
    assert not held(str(caught.value).encode())
    assert not files_that_hold_it(0, target.home)
