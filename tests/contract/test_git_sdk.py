"""Every git method of the published SDKs against real remotes: Python (sync and async) and TypeScript."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract import apart
from tests.contract.conftest import Target
from tests.daemon_process import serving
from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.remote import TOKEN, USER, Server
from tests.git_support.repo import git

# The first test of all starts the daemon and imports two SDKs, on a machine that may be busy.
pytestmark = pytest.mark.timeout(60)


class Git:
    """The ``git`` object of the sync or the async SDK behind the same awaits."""

    def __init__(self, sandbox: Any, kind: str) -> None:
        self.sandbox = sandbox
        self.kind = kind

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        call = getattr(self.sandbox.git, method)
        if self.kind == "sync":
            return await asyncio.to_thread(call, *args, **options)
        return await call(*args, **options)

    async def fails(self, name: str, method: str, *args: Any, **options: Any) -> str:
        """Call, expect exactly the SDK's exception of that name, and return its message."""
        from daytona.common import errors

        with pytest.raises(getattr(errors, name)) as caught:
            await self(method, *args, **options)
        assert type(caught.value).__name__ == name
        return str(caught.value)


@pytest.fixture(params=["sync", "async"])
def sdk_git(request: pytest.FixtureRequest) -> Git:
    """Return the git methods of both Python SDKs in turn."""
    return Git(request.getfixturevalue("sdk" if request.param == "sync" else "async_sdk"), request.param)


@pytest.fixture
def one_git(sdk: Any) -> Git:
    """Return the git methods of the sync SDK, where the async one would prove nothing more."""
    return Git(sdk, "sync")


@pytest.fixture
def work(target: Target, tmp_path: pathlib.Path) -> str:
    """Return a fresh folder below the working directory, as the SDK addresses it."""
    (target.workdir / tmp_path.name).mkdir()
    return tmp_path.name


@pytest.fixture
def disk(target: Target, work: str) -> pathlib.Path:
    """Return the absolute path of the folder."""
    return target.workdir / work


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Server]:
    """Serve repositories over HTTP; ``away`` redirects to a second host."""
    root = tmp_path / "remotes"
    root.mkdir()
    with remotes.serving(root) as server, remotes.serving(root, "localhost") as other:
        server.elsewhere = other.url
        server.other = other  # type: ignore[attr-defined]
        yield server


async def test_whole_cycle_over_http_with_credentials(
    sdk_git: Git, work: str, disk: pathlib.Path, http: Server
) -> None:
    bare, _ = repo.published(http.root)
    url, path = f"{http.url}/auth/x.git", f"{work}/r"
    await sdk_git("clone", url, path, username=USER, password=TOKEN)
    status = await sdk_git("status", path)
    assert (status.current_branch, status.branch_published, status.file_status) == ("main", True, [])
    assert (status.upstream, status.detached, status.ahead, status.behind) == ("origin/main", False, 0, 0)
    (disk / "r" / "new.txt").write_text("new")
    await sdk_git("add", path, ["new.txt"])
    (entry,) = (await sdk_git("status", path)).file_status
    assert (entry.name, entry.staging.value, entry.worktree.value, entry.extra) == (
        "new.txt",
        "Added",
        "Unmodified",
        "",
    )
    made = await sdk_git("commit", path, "message", "Author", "author@example.com")
    assert made.sha == git(disk / "r", "rev-parse", "HEAD")
    assert (await sdk_git("status", path)).ahead == 1
    await sdk_git("push", path, username=USER, password=TOKEN)
    assert git(bare, "rev-parse", "main") == made.sha
    newer = repo.commit(repo.git(http.root, "clone", "-q", str(bare), "c2") or http.root / "c2", {"z": "1"})
    git(http.root / "c2", "push", "-q")
    await sdk_git("pull", path, username=USER, password=TOKEN)
    assert git(disk / "r", "rev-parse", "HEAD") == newer
    assert TOKEN not in (disk / "r" / ".git" / "config").read_text()


async def test_init_to_history(sdk_git: Git, work: str, disk: pathlib.Path) -> None:
    path = f"{work}/r"
    await sdk_git("init", path, initial_branch="trunk")
    status = await sdk_git("status", path)
    assert (status.current_branch, status.detached, status.file_status) == ("trunk", False, [])
    listed = await sdk_git("branches", path)
    assert (listed.branches, listed.current) == ([], "trunk")
    (disk / "r" / "a").write_text("a")
    await sdk_git("add", path, ["."])
    first = await sdk_git("commit", path, "first", "A", "a@example.com")
    await sdk_git("create_branch", path, "dev")
    assert (await sdk_git("branches", path)).current == "dev"
    second = await sdk_git("commit", path, "second", "A", "a@example.com", allow_empty=True)
    await sdk_git("checkout_branch", path, "trunk")
    assert git(disk / "r", "rev-parse", "HEAD") == first.sha
    await sdk_git("checkout_branch", path, second.sha[:8])
    assert (await sdk_git("status", path)).detached is True
    await sdk_git("checkout_branch", path, "trunk")
    await sdk_git("delete_branch", path, "dev")
    assert (await sdk_git("branches", path)).branches == ["trunk"]


async def test_reset_restore_remotes_config(sdk_git: Git, target: Target, work: str, disk: pathlib.Path) -> None:
    path = f"{work}/r"
    first = git(repo.new(disk / "r"), "rev-parse", "HEAD")
    repo.commit(disk / "r", {"a.txt": "changed\n"})
    await sdk_git("reset", path, mode="soft", target=first)
    assert git(disk / "r", "status", "--porcelain") == "M  a.txt"
    await sdk_git("restore", path, ["a.txt"], staged=True)
    assert git(disk / "r", "status", "--porcelain") == " M a.txt"
    await sdk_git("restore", path, ["a.txt"])
    assert (disk / "r" / "a.txt").read_text() == "one\n"
    await sdk_git("remote_add", path, "up", "https://example.com/x.git")
    assert [(one.name, one.url) for one in (await sdk_git("remotes", path)).remotes] == [
        ("up", "https://example.com/x.git")
    ]
    assert await sdk_git("remote_get", path, "up") == "https://example.com/x.git"
    assert await sdk_git("remote_get", path, "nope") is None
    await sdk_git("set_config", "demo.key", "line\nend é", scope="local", path=path)
    assert await sdk_git("get_config", "demo.key", scope="local", path=path) == "line\nend é"
    assert git(disk / "r", "config", "demo.key") == "line\nend é"
    assert await sdk_git("get_config", "demo.absent", scope="local", path=path) is None
    await sdk_git("configure_user", "N", "n@example.com")
    assert "name = N" in (target.home / ".gitconfig").read_text()


def test_typescript_cycle(ts: Callable[[str], Any], work: str, disk: pathlib.Path, http: Server) -> None:
    bare, _ = repo.published(http.root)
    result = ts(f"""
      const git = sandbox.git, path = '{work}/r', failed = async (work) => {{
        try {{ await work(); return null; }} catch (error) {{ return [error.constructor.name, error.statusCode]; }} }};
      await git.clone('{http.url}/auth/x.git', path, undefined, undefined, '{USER}', '{TOKEN}');
      await git.createBranch(path, 'dev');
      await git.add(path, ['.']);
      const made = await git.commit(path, 'm', 'A', 'a@example.com', true);
      await git.push(path, '{USER}', '{TOKEN}', undefined, undefined, true);
      await git.pull(path, '{USER}', '{TOKEN}');
      await git.remoteAdd(path, 'two', 'https://example.com/x.git');
      await git.setConfig('ts.key', '', 'local', path);
      await git.configureUser('N', 'n@example.com', 'local', path);
      await git.reset(path, 'hard'); await git.restore(path, ['a.txt']);
      await git.init('{work}/i', false, 'trunk');
      await git.dangerouslyAuthenticate('u', 'p', 'ts.example.com');
      const status = await git.status(path), branches = await git.branches(path);
      await git.checkoutBranch(path, 'main'); await git.deleteBranch(path, 'dev');
      return {{sha: made.sha, status, branches, empty: await git.getConfig('ts.key', 'local', path),
        absent: await git.getConfig('ts.absent', 'local', path), remotes: (await git.remotes(path)).remotes,
        auth: await failed(() => git.clone('{http.url}/auth/x.git', '{work}/n')),
        missing: await failed(() => git.status('{work}/nope'))}};""")
    assert result["sha"] == git(bare, "rev-parse", "dev")
    assert (result["status"]["currentBranch"], result["status"]["upstream"]) == ("dev", "origin/dev")
    assert (result["branches"]["branches"], result["branches"]["current"]) == (["dev", "main"], "dev")
    assert (result["empty"], result["absent"]) == ("", None)
    assert [one["name"] for one in result["remotes"]] == ["origin", "two"]
    assert result["auth"] == ["DaytonaGitAuthFailedError", 401]
    assert result["missing"] == ["DaytonaGitRepoNotFoundError", 404]


# Behaviours of the remote, chosen by the first path segment, and what the SDK raises.
REMOTE_FAILURES = [
    ("auth", "DaytonaGitAuthFailedError"),
    ("missing", "DaytonaGitRepoNotFoundError"),
    ("status/403", "DaytonaForbiddenError"),
    ("status/404", "DaytonaGitRepoNotFoundError"),
    ("status/410", "DaytonaGitRepoNotFoundError"),
    ("status/407", "DaytonaGitTransportFailedError"),
    ("status/429", "DaytonaGitTransportFailedError"),
    ("status/500", "DaytonaGitTransportFailedError"),
    ("status/503", "DaytonaGitTransportFailedError"),
    ("reset", "DaytonaGitTransportFailedError"),
    ("cut", "DaytonaGitTransportFailedError"),
]


@pytest.mark.parametrize(("kind", "error"), REMOTE_FAILURES)
async def test_remote_that_refuses(
    one_git: Git, work: str, disk: pathlib.Path, http: Server, kind: str, error: str
) -> None:
    repo.published(http.root)
    message = await one_git.fails(error, "clone", f"{http.url}/{kind}/x.git", f"{work}/a/b")
    assert message.startswith("Failed to clone repository: ")
    assert list(disk.iterdir()) == []


async def test_every_class_of_the_async_sdk(async_sdk: Any, work: str, http: Server) -> None:
    git_methods = Git(async_sdk, "async")
    repo.published(http.root)
    for kind, error in (("auth", "DaytonaGitAuthFailedError"), ("reset", "DaytonaGitTransportFailedError")):
        await git_methods.fails(error, "clone", f"{http.url}/{kind}/x.git", f"{work}/r")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.git", "https://name.invalid/x.git", "git://127.0.0.1:1/x.git"])
async def test_remote_that_is_not_there(one_git: Git, work: str, url: str) -> None:
    await one_git.fails("DaytonaGitTransportFailedError", "clone", url, f"{work}/r")


async def test_remote_that_hangs(one_git: Git, target: Target, work: str, disk: pathlib.Path, http: Server) -> None:
    """The stall timeout is a variable of git, which the sandbox may set."""
    set_env(target, {"set": {"GIT_HTTP_LOW_SPEED_TIME": "1"}})
    message = await one_git.fails("DaytonaGitTransportFailedError", "clone", f"{http.url}/hang/x.git", f"{work}/r")
    set_env(target, {"unset": ["GIT_HTTP_LOW_SPEED_TIME"]})
    assert "too slow" in message
    assert not (disk / "r").exists()


def set_env(target: Target, change: dict[str, Any]) -> None:
    """Change the environment of later child processes."""
    request = urllib.request.Request(f"{target.url}/env", data=json.dumps(change).encode(), method="POST")
    urllib.request.urlopen(request, timeout=20).close()


async def test_local_failures(one_git: Git, work: str, disk: pathlib.Path) -> None:
    path, tree = f"{work}/r", repo.new(disk / "r")
    (disk / "plain").mkdir()
    repo_missing = "DaytonaGitRepoNotFoundError"
    assert "not found" in await one_git.fails(repo_missing, "status", f"{work}/nope")
    await one_git.fails(repo_missing, "status", f"{work}/plain")
    await one_git.fails(repo_missing, "branches", f"{path}/dir")
    await one_git.fails("DaytonaGitBranchNotFoundError", "checkout_branch", path, "nope")
    await one_git.fails("DaytonaGitBranchNotFoundError", "delete_branch", path, "nope")
    await one_git.fails("DaytonaGitBranchNotFoundError", "reset", path, target="nope")
    await one_git.fails("DaytonaGitBranchNotFoundError", "restore", path, ["a.txt"], source="nope")
    await one_git.fails("DaytonaNotFoundError", "push", path)
    await one_git.fails("DaytonaFileNotFoundError", "add", path, ["nope"])
    await one_git.fails("DaytonaFileNotFoundError", "restore", path, ["nope"])
    await one_git.fails("DaytonaConflictError", "commit", path, "m", "A", "a@example.com")
    await one_git.fails("DaytonaConflictError", "delete_branch", path, "main")
    await one_git.fails("DaytonaBadRequestError", "create_branch", path, "a..b")
    await one_git.fails("DaytonaBadRequestError", "reset", path, mode="odd")
    await one_git.fails("DaytonaBadRequestError", "get_config", "nodot")
    await one_git.fails("DaytonaBadRequestError", "add", path, ["../x"])
    await one_git.fails("DaytonaBadRequestError", "clone", "ext::sh -c true", f"{work}/e")
    await one_git("create_branch", path, "dev")
    await one_git.fails("DaytonaGitBranchExistsError", "create_branch", path, "dev")
    await one_git.fails("DaytonaGitBranchExistsError", "create_branch", path, "dev/x")
    repo.commit(tree, {"a.txt": "dev\n"})
    (tree / "a.txt").write_text("dirty\n")
    await one_git.fails("DaytonaGitDirtyWorktreeError", "checkout_branch", path, "main")
    assert (git(tree, "branch", "--show-current"), (tree / "a.txt").read_text()) == ("dev", "dirty\n")
    await one_git.fails("DaytonaConflictError", "clone", str(tree), path)


async def test_local_changes_are_never_overwritten(one_git: Git, work: str, disk: pathlib.Path, http: Server) -> None:
    _, other = repo.published(http.root)
    path, url, tree = f"{work}/r", f"{http.url}/open/x.git", disk / "r"
    await one_git("clone", url, path)
    repo.commit(other, {"a.txt": "theirs\n", "new.txt": "theirs\n"})
    git(other, "push", "-q", "origin", "main")
    dirty = "DaytonaGitDirtyWorktreeError"
    for name in ("a.txt", "new.txt"):
        (tree / name).write_text("mine\n")
        await one_git.fails(dirty, "pull", path)
        await one_git.fails(dirty, "checkout_branch", path, "origin/main")
        assert (tree / name).read_text() == "mine\n"
        git(tree, "clean", "-qfd")
        git(tree, "checkout", "-q", ".")
    await one_git("pull", path)
    (tree / "a.txt").write_text("mine\n")
    for mode in ("merge", "keep"):
        await one_git.fails(dirty, "reset", path, mode=mode, target="HEAD~1")
    assert (tree / "a.txt").read_text() == "mine\n"
    (disk / "used").mkdir()
    (disk / "used" / "a.txt").write_text("mine\n")
    await one_git.fails(dirty, "clone", url, f"{work}/used")
    assert (disk / "used" / "a.txt").read_text() == "mine\n"


async def test_conflicts_with_what_is_there(one_git: Git, work: str, disk: pathlib.Path) -> None:
    path, tree = f"{work}/r", repo.new(disk / "r")
    await one_git("remote_add", path, "origin", "https://example.com/x")
    await one_git.fails("DaytonaConflictError", "remote_add", path, "origin", "https://example.com/y")
    (tree / ".git" / "index.lock").touch()
    (tree / "new").touch()
    assert "index.lock" in await one_git.fails("DaytonaConflictError", "add", path, ["new"])
    (tree / ".git" / "index.lock").unlink()
    (disk / "file").touch()
    await one_git.fails("DaytonaConflictError", "clone", str(tree), f"{work}/file")


async def test_what_is_broken_is_told_in_the_words_of_git(one_git: Git, work: str, disk: pathlib.Path) -> None:
    path, tree = f"{work}/r", repo.new(disk / "r")
    git(tree, "config", "filter.no.clean", "false")
    git(tree, "config", "filter.no.required", "true")
    (tree / ".gitattributes").write_text("*.x filter=no\n")
    (tree / "a.x").touch()
    assert "clean filter 'no' failed" in await one_git.fails("DaytonaInternalServerError", "add", path, ["a.x"])
    (tree / ".git" / "index").write_bytes(b"DIRC" + bytes(100))
    assert "index" in await one_git.fails("DaytonaInternalServerError", "status", path)


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def nobody_can_serve() -> bool:
    """Return whether another user can run the daemon from here; not from below /root, for example."""
    probe = [*NOBODY, sys.executable, "-I", "-c", "import toolbox.daemon"]
    return os.geteuid() == 0 and shutil.which("setpriv") is not None and not subprocess.run(probe, cwd="/").returncode


def test_what_the_file_system_refuses(sdk_environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    """A daemon of an ordinary user."""
    if not nobody_can_serve():
        pytest.skip("another user cannot start the daemon here")
    tree = repo.new(tmp_path / "r")
    (tree / "new").touch()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp") and folder != pathlib.Path("/tmp"):
            folder.chmod(0o755)
    (tmp_path / "box").mkdir()
    os.chown(tmp_path / "box", 65534, 65534)
    with serving(tmp_path / "box" / "it", inside=NOBODY) as box:
        found = apart.errors(
            sdk_environment,
            box,
            ("set_config", ["user.name", "x"], {"scope": "system"}),
            ("clone", [str(tree), "/etc/x"], {}),
            ("init", ["/etc/x"], {}),
        )
    assert found == [["DaytonaFileAccessDeniedError", 403]] * 3


async def test_failures_of_a_merge(one_git: Git, work: str, disk: pathlib.Path) -> None:
    path, tree = f"{work}/r", repo.new(disk / "r")
    git(tree, "branch", "other")
    repo.commit(tree, {"a.txt": "ours\n"})
    git(tree, "checkout", "-q", "other")
    repo.commit(tree, {"a.txt": "theirs\n"})
    git(tree, "merge", "main", code=1)
    (entry,) = (await one_git("status", path)).file_status
    assert (entry.staging.value, entry.worktree.value) == ("Updated but unmerged", "Updated but unmerged")
    for method, args in (("commit", ("m", "A", "a@b.c")), ("checkout_branch", ("main",)), ("create_branch", ("x",))):
        await one_git.fails("DaytonaGitMergeConflictError", method, path, *args)
    await one_git.fails("DaytonaGitMergeConflictError", "reset", path, mode="soft")
    (tree / "a.txt").write_text("both\n")
    await one_git("add", path, ["a.txt"])
    made = await one_git("commit", path, "merged", "A", "a@b.c")
    assert len(git(tree, "rev-parse", f"{made.sha}^1", f"{made.sha}^2").split()) == 2


async def test_failures_of_push(one_git: Git, work: str, disk: pathlib.Path, http: Server) -> None:
    bare, other = repo.published(http.root)
    path, url = f"{work}/r", f"{http.url}/open/x.git"
    await one_git("clone", url, path)
    repo.commit(other, {"n": "1"})
    git(other, "push", "-q", "origin", "main")
    await one_git("commit", path, "m", "A", "a@b.c", allow_empty=True)
    assert "fetch first" in await one_git.fails("DaytonaGitPushRejectedError", "push", path)
    assert "1 ahead and 1 behind" in await one_git.fails("DaytonaGitMergeConflictError", "pull", path)
    await one_git.fails("DaytonaGitPushRejectedError", "push", path)
    git(disk / "r", "reset", "-q", "--hard", "origin/main")
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho policy says no >&2\nexit 1\n")
    hook.chmod(0o755)
    await one_git("commit", path, "m", "A", "a@b.c", allow_empty=True)
    assert "policy says no" in await one_git.fails("DaytonaGitRemoteRejectedError", "push", path)
    hook.unlink()
    await one_git.fails("DaytonaGitBranchNotFoundError", "push", path, branch="nope")
    await one_git.fails("DaytonaBadRequestError", "push", path, branch="main:other")
    await one_git.fails("DaytonaNotFoundError", "push", path, remote="nope")
    await one_git.fails("DaytonaGitBranchNotFoundError", "pull", path, branch="nope")
    git(disk / "r", "remote", "set-url", "origin", f"{http.url}/readonly/x.git")
    await one_git.fails("DaytonaForbiddenError", "push", path)
    git(disk / "r", "checkout", "-q", "--detach")
    await one_git.fails("DaytonaGitBranchNotFoundError", "push", path)
    await one_git.fails("DaytonaGitBranchNotFoundError", "pull", path)


async def test_checked_out_branch_of_the_remote_is_refused(
    one_git: Git, work: str, disk: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = repo.new(tmp_path / "source")
    await one_git("clone", f"file://{source}", f"{work}/r")
    await one_git("commit", f"{work}/r", "m", "A", "a@b.c", allow_empty=True)
    assert "checked out" in await one_git.fails("DaytonaGitRemoteRejectedError", "push", f"{work}/r")


async def test_untrusted_certificate_sees_no_credentials(
    one_git: Git, work: str, disk: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    root = tmp_path / "remotes"
    root.mkdir()
    repo.published(root)
    context, _ = remotes.certificate(tmp_path)
    with remotes.serving(root, "localhost", context) as server:
        url, options = f"{server.url}/auth/x.git", {"username": USER, "password": TOKEN}
        await one_git.fails("DaytonaGitTransportFailedError", "clone", url, f"{work}/r", **options)
        assert server.seen == []
        await one_git("clone", url, f"{work}/r", insecure_skip_tls=True, **options)
        assert server.authorizations
        await one_git.fails("DaytonaGitTransportFailedError", "pull", f"{work}/r", **options)
        await one_git("set_config", f"http.{server.url}/.sslVerify", "false", scope="local", path=f"{work}/r")
        await one_git("pull", f"{work}/r", **options)


async def test_redirects_carry_credentials_only_to_the_same_host(one_git: Git, work: str, http: Server) -> None:
    repo.published(http.root)
    options = {"username": USER, "password": TOKEN}
    await one_git("clone", f"{http.url}/moved/x.git", f"{work}/same", **options)
    await one_git.fails("DaytonaGitAuthFailedError", "clone", f"{http.url}/away/x.git", f"{work}/other", **options)
    assert http.other.seen  # type: ignore[attr-defined]
    assert http.other.authorizations == []  # type: ignore[attr-defined]


async def test_wrong_credentials_are_tried_once(one_git: Git, work: str, http: Server) -> None:
    repo.published(http.root)
    message = await one_git.fails(
        "DaytonaGitAuthFailedError",
        "clone",
        f"{http.url}/auth/x.git",
        f"{work}/r",
        username=USER,
        password="wrong-token",
    )
    assert "wrong-token" not in message
    assert len(http.authorizations) == 1


async def test_stored_credentials_serve_the_api_and_terminals(
    sdk_git: Git, target: Target, work: str, http: Server
) -> None:
    repo.published(http.root)
    host = http.url.removeprefix("http://")
    await sdk_git.fails("DaytonaGitAuthFailedError", "clone", f"{http.url}/auth/x.git", f"{work}/r")
    await sdk_git("dangerously_authenticate", USER, "old", host=host, protocol="http")
    await sdk_git("dangerously_authenticate", USER, TOKEN, host=host, protocol="http")
    store = target.home / ".git-credentials"
    assert [line for line in store.read_text().splitlines() if host.replace(":", "%3a") in line] == [
        f"http://{USER}:tok%2ben%2fWith%25Odd%3achars%3d%3d@{host.replace(':', '%3a')}"
    ]
    assert store.stat().st_mode & 0o777 == 0o600
    await sdk_git("clone", f"{http.url}/auth/x.git", f"{work}/r")
    env = {"HOME": str(target.home), "PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["git", "ls-remote", f"{http.url}/auth/x.git"], check=True, env=env, capture_output=True)
    await sdk_git.fails("DaytonaBadRequestError", "dangerously_authenticate", "a\nhost=evil", "p")


async def test_empty_remote(sdk_git: Git, work: str, disk: pathlib.Path, http: Server) -> None:
    bare = repo.bare(http.root / "empty.git")
    await sdk_git("clone", f"{http.url}/open/empty.git", f"{work}/r")
    assert (await sdk_git("status", f"{work}/r")).current_branch == "main"
    made = await sdk_git("commit", f"{work}/r", "m", "A", "a@b.c", allow_empty=True)
    await sdk_git("push", f"{work}/r")
    assert git(bare, "rev-parse", "main") == made.sha


@pytest.fixture
def ssh(tmp_path: pathlib.Path) -> Iterator[tuple[pathlib.Path, int]]:
    with remotes.serving_ssh(tmp_path / "ssh") as port:
        yield tmp_path / "ssh", port


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
async def test_ssh(
    one_git: Git, target: Target, work: str, disk: pathlib.Path, ssh: tuple[pathlib.Path, int], tmp_path: pathlib.Path
) -> None:
    folder, port = ssh
    bare, _ = repo.published(tmp_path / "remotes")
    url = f"ssh://git@127.0.0.1:{port}{bare}"

    def command(key: str, hosts: str) -> str:
        options = f"-o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile={hosts} -o StrictHostKeyChecking=yes"
        return f"ssh -F /dev/null -i {folder / key} {options}"

    known = str(folder / "known_hosts")
    try:
        await one_git("set_config", "core.sshCommand", command("user", "/dev/null"))
        await one_git.fails("DaytonaGitTransportFailedError", "clone", url, f"{work}/r")
        await one_git("set_config", "core.sshCommand", command("stranger", known))
        await one_git.fails("DaytonaGitAuthFailedError", "clone", url, f"{work}/r")
        await one_git("set_config", "core.sshCommand", command("user", known))
        await one_git.fails("DaytonaGitRepoNotFoundError", "clone", f"{url}-nope", f"{work}/r")
        await one_git("clone", url, f"{work}/r")
        made = await one_git("commit", f"{work}/r", "m", "A", "a@b.c", allow_empty=True)
        await one_git("push", f"{work}/r")
        await one_git("pull", f"{work}/r")
        assert git(bare, "rev-parse", "main") == made.sha
    finally:
        git(target.home, "config", "--file", str(target.home / ".gitconfig"), "--unset", "core.sshCommand", code=None)
