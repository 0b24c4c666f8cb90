"""The git component alone on a port, with and without a git program."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.remote import Server
from toolbox.git.component import GitComponent
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys


@dataclasses.dataclass
class Git:
    """The git component, served; ``work`` is its working directory, ``home`` the user's home."""

    url: str
    work: pathlib.Path
    home: pathlib.Path
    environment: Environment
    procs: Procs
    session: aiohttp.ClientSession
    component: GitComponent

    async def call(self, method: str, route: str, status: int = 200, /, **fields: Any) -> Any:
        """Send a request, fields in the query or the body, and return the decoded response."""
        sent: dict[str, Any] = (
            {"params": fields} if method == "GET" else {"data": io.BytesIO(json.dumps(fields).encode())}
        )
        async with self.session.request(method, f"/git/{route}", **sent) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return json.loads(body) if body else None

    async def post(self, route: str, status: int = 200, /, **fields: Any) -> Any:
        return await self.call("POST", route, status, **fields)

    async def get(self, route: str, status: int = 200, /, **fields: Any) -> Any:
        return await self.call("GET", route, status, **fields)

    async def fails(self, code: str, route: str, /, *, method: str = "POST", **fields: Any) -> str:
        """Send a request, expect an error of that code, and return its message."""
        sent: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        async with self.session.request(method, f"/git/{route}", **sent) as answer:
            body = json.loads(await answer.read())
            assert (body.get("code"), body.get("statusCode")) == (code, answer.status), body
            return str(body["message"])

    async def files(self, name: str = "r") -> list[tuple[str, str, str]]:
        """Return the changed files of a repository."""
        found = await self.get("status", path=name)
        return [(one["name"], one["staging"], one["worktree"]) for one in found["fileStatus"]]

    async def commit(self, name: str = "r", message: str = "m", **fields: Any) -> str:
        """Commit what is staged."""
        made = await self.post("commit", path=name, message=message, author="A", email="a@example.com", **fields)
        return str(made["hash"])


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, str]:
    """Return the environment of the sandbox."""
    return {"PATH": os.environ["PATH"], "GIT_CONFIG_SYSTEM": str(tmp_path / "system")}


@pytest.fixture
async def served(tmp_path: pathlib.Path, variables: dict[str, str]) -> AsyncIterator[Git]:
    """Serve ``/git`` below a fresh working directory."""
    work, home = tmp_path / "work", tmp_path / "user"
    work.mkdir()
    home.mkdir()
    spool = Spool(tmp_path)
    procs = Procs(spool)
    environment = Environment({**variables, "HOME": str(home)})
    component = GitComponent(procs, environment, workdir=str(work), home=str(home))
    routes = [route for api in component.apis for route in collect(api)]
    server = HttpServer(routes, Access(SigningKeys()), sandbox_id="box")
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start([listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with aiohttp.ClientSession(url) as session:
        yield Git(url, work, home, environment, procs, session, component)
    await component.stop()
    await server.drain(5)
    await server.close()
    await procs.close()
    await spool.close()
    await component.close()


@pytest.fixture
def tree(served: Git) -> pathlib.Path:
    """Return a repository with one commit, which the API calls ``r``."""
    return repo.new(served.work / "r")


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Server]:
    """Serve bare repositories over HTTP."""
    root = tmp_path / "remotes"
    root.mkdir()
    with remotes.serving(root) as server:
        yield server
