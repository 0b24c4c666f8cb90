"""A sandbox without a git program: each row of libgit2's error table, provoked and raised by the SDK."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import apart
from tests.contract.apart import Call
from tests.daemon_process import Process, serving
from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git

pytestmark = pytest.mark.timeout(90)

AUTH = ["DaytonaGitAuthFailedError", 401]
FORBIDDEN = ["DaytonaForbiddenError", 403]
NO_REPOSITORY = ["DaytonaGitRepoNotFoundError", 404]
NO_BRANCH = ["DaytonaGitBranchNotFoundError", 404]
TRANSPORT = ["DaytonaGitTransportFailedError", 502]
BRANCH_EXISTS = ["DaytonaGitBranchExistsError", 409]
CONFLICT = ["DaytonaConflictError", 409]
DIRTY = ["DaytonaGitDirtyWorktreeError", 409]
PUSH_REJECTED = ["DaytonaGitPushRejectedError", 409]
REMOTE_REJECTED = ["DaytonaGitRemoteRejectedError", 422]
UNSUPPORTED = ["DaytonaUnprocessableEntityError", 422]
BAD_REQUEST = ["DaytonaBadRequestError", 400]
NOTHING = "nothing"


@pytest.fixture
def box(tmp_path: pathlib.Path) -> Iterator[Process]:
    """Serve where no program but a shell is found."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    with serving(tmp_path / "box", PATH=str(tmp_path / "bin"), GIT_HTTP_LOW_SPEED_TIME="1") as served:
        yield served


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Server]:
    root = tmp_path / "remotes"
    root.mkdir()
    repo.published(root)
    with remotes.serving(root) as server:
        yield server


def check(environ: dict[str, str], box: Process, *rows: tuple[Any, Call]) -> None:
    """Make the calls and compare what each raised."""
    found = apart.errors(environ, box, *(call for _, call in rows))
    assert [(call, what) for (_, call), what in zip(rows, found, strict=True)] == [(call, kind) for kind, call in rows]


def clone(url: str, path: str, **options: Any) -> Call:
    return "clone", [url, path], options


def test_remotes(sdk_environment: dict[str, str], box: Process, http: Server, tmp_path: pathlib.Path) -> None:
    context, _ = remotes.certificate(tmp_path)
    with remotes.serving(http.root, "localhost", context) as tls, remotes.serving_ssh(tmp_path / "ssh") as ssh:
        check(
            sdk_environment,
            box,
            (AUTH, clone(f"{http.url}/auth/x.git", "a")),
            (AUTH, clone(f"{http.url}/auth/x.git", "a", username=USER, password="wrong")),
            (FORBIDDEN, clone(f"{http.url}/status/403/x.git", "a")),
            *((NO_REPOSITORY, clone(f"{http.url}/status/{status}/x.git", "a")) for status in (404, 410)),
            *((TRANSPORT, clone(f"{http.url}/status/{status}/x.git", "a")) for status in (429, 500, 503)),
            (TRANSPORT, clone(f"{http.url}/reset/x.git", "a")),
            (TRANSPORT, clone(f"{http.url}/cut/x.git", "a")),
            (TRANSPORT, clone(f"{http.url}/hang/x.git", "a")),
            (TRANSPORT, clone(f"ssh://git@127.0.0.1:{ssh}{http.root}/x.git", "a")),
            (TRANSPORT, clone(f"{tls.url}/auth/x.git", "a", username=USER, password=TOKEN)),
            (TRANSPORT, clone("https://name.invalid/x.git", "a")),
            (TRANSPORT, clone("http://127.0.0.1:1/x.git", "a")),
            (NO_REPOSITORY, clone(str(tmp_path / "nowhere"), "a")),
            (NOTHING, clone(f"{http.url}/open/x.git", "a")),
        )
        assert not tls.authorizations


def test_local_repositories(sdk_environment: dict[str, str], box: Process, tmp_path: pathlib.Path) -> None:
    tree = repo.new(box.workdir / "r")
    git(tree, "checkout", "-q", "-b", "other")
    repo.commit(tree, {"a.txt": "other\n"})
    git(tree, "checkout", "-q", "main")
    (tree / "a.txt").write_text("mine\n")
    (box.workdir / "plain").mkdir()
    odd = repo.new(box.workdir / "odd")
    git(odd, "config", "core.repositoryFormatVersion", "1")
    git(odd, "config", "extensions.odd", "true")
    subprocess.run(
        ["git", "init", "-q", "--object-format=sha256", str(box.workdir / "sha256")],
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    check(
        sdk_environment,
        box,
        (NO_REPOSITORY, ("status", ["nope"], {})),
        (NO_REPOSITORY, ("status", ["plain"], {})),
        (NO_BRANCH, ("checkout_branch", ["r", "nope"], {})),
        (NO_BRANCH, ("delete_branch", ["r", "nope"], {})),
        (NO_BRANCH, ("reset", ["r"], {"target": "nope"})),
        (NO_BRANCH, ("restore", ["r", ["a.txt"]], {"source": "nope"})),
        (BRANCH_EXISTS, ("create_branch", ["r", "other"], {})),
        (NOTHING, ("remote_add", ["r", "origin", "https://example.com/x"], {})),
        (CONFLICT, ("remote_add", ["r", "origin", "https://example.com/x"], {})),
        (CONFLICT, clone(str(tree), "odd")),
        (BAD_REQUEST, ("create_branch", ["r", "a..b"], {})),
        (DIRTY, ("checkout_branch", ["r", "other"], {})),
        (UNSUPPORTED, ("status", ["odd"], {})),
        (UNSUPPORTED, ("status", ["sha256"], {})),
        (UNSUPPORTED, ("reset", ["r"], {"mode": "keep"})),
    )
    assert (tree / "a.txt").read_text() == "mine\n"


def test_pushes(sdk_environment: dict[str, str], box: Process, http: Server, tmp_path: pathlib.Path) -> None:
    url, commit = f"{http.url}/open/x.git", ("m", "A", "a@example.com")
    check(sdk_environment, box, (NOTHING, clone(url, "r")), (NOTHING, clone(url, "behind")))
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(http.root / "x.git"), str(other))
    repo.commit(other, {"new": "1"})
    git(other, "push", "-q", "origin", "HEAD:main")
    hook = http.root / "x.git" / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    check(
        sdk_environment,
        box,
        (NO_BRANCH, ("push", ["r"], {"branch": "nope"})),
        (NOTHING, ("commit", ["r", *commit], {"allow_empty": True})),
        (PUSH_REJECTED, ("push", ["r"], {})),
        (NOTHING, ("pull", ["behind"], {})),
        (NOTHING, ("commit", ["behind", *commit], {"allow_empty": True})),
        (REMOTE_REJECTED, ("push", ["behind"], {})),
    )
