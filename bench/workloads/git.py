"""Git on a generated repository of 20,000 files, beside the bare git program on a twin of it."""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer

from bench.workload import Server, Workload

FILES, COMMITS, CHANGED = 20_000, 1000, 500
FORMAT = "%H%x00%an%x00%ae%x00%aI%x00%B%x00"
WHO = {"author": "Bench", "email": "bench@example.com"}
IDENTITY = {
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "LC_ALL": "C",
}


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder()), **IDENTITY}


@functools.cache
def folder() -> pathlib.Path:
    """Return a folder for the repositories; it goes with the process."""
    # In memory where possible: the disk would be measured twice, and other work on it in between.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="toolbox-bench-git-", dir=place))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def git(*args: str, cwd: pathlib.Path | None = None, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["git", *args], cwd=cwd or folder(), env=environment(), input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def source() -> pathlib.Path:
    """Generate 20,000 text files and 1,000 commits."""
    path = folder() / "source.git"
    git("init", "-q", "--bare", "-b", "main", str(path))
    lines = [b"commit refs/heads/main\ncommitter Bench <bench@example.com> 1700000000 +0100\ndata 5\nfirst\n"]
    for number in range(FILES):
        text = b"".join(b"line %d of file %d\n" % (line, number) for line in range(20))
        lines.append(
            b"M 100644 inline d%d/s%d/f%d.txt\ndata %d\n%s\n"
            % (number % 20, number // 20 % 20, number, len(text), text)
        )
    for number in range(1, COMMITS):
        when, name = 1700000000 + 60 * number, b"d0/s0/f0.txt"
        lines.append(
            b"commit refs/heads/main\ncommitter Bench <bench@example.com> %d +0100\ndata 11\ncommit %04d\n"
            % (when, number)
        )
        lines.append(b"M 100644 inline %s\ndata 5\n%04d\n\n" % (name, number))
    git("fast-import", "--quiet", cwd=path, stdin=b"".join(lines))
    git("gc", "-q", cwd=path)
    return path


@functools.cache
def twin(name: str) -> pathlib.Path:
    """Return a clone of its own, for one side of a comparison."""
    path = folder() / name
    git("clone", "-q", str(source()), str(path))
    for number in range(20):
        git("branch", f"branch-{number}", cwd=path)
    return path


@functools.cache
def remote() -> str:
    """Serve the source over smart HTTP, for as long as this process lives."""
    from bench.http_remote import Backend

    source()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Backend, root=str(folder()), env=environment()))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/source.git"


async def timed(work: object) -> float:
    started = time.perf_counter()
    await work  # type: ignore[misc]
    return (time.perf_counter() - started) * 1000


async def bare(*args: str, cwd: pathlib.Path, stdin: bytes | None = None) -> None:
    """Run the git program the way any program would, and take its output."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *args,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, errors = await process.communicate(stdin)
    assert process.returncode == 0, errors


async def get(server: Server, route: str) -> None:
    params = {"path": str(twin("ours"))}
    async with server.http.get(f"{server.url}/git/{route}", params=params) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def post(server: Server, route: str, **fields: object) -> None:
    async with server.http.post(f"{server.url}/git/{route}", json=fields) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def prepared(name: str) -> pathlib.Path:
    return await asyncio.to_thread(twin, name)


def touch_all(path: pathlib.Path) -> None:
    """Give every file another time, so that git has to read them all again."""
    now = time.time()
    for number in range(FILES):
        os.utime(path / f"d{number % 20}/s{number // 20 % 20}/f{number}.txt", (now, now))


def change(path: pathlib.Path, turn: int) -> list[str]:
    """Change 500 files; return their names."""
    names = [f"d{number % 20}/s{number // 20 % 20}/f{number}.txt" for number in range(0, FILES, FILES // CHANGED)]
    for name in names:
        (path / name).write_text(f"changed {turn} {time.time_ns()}\n", encoding="ascii")
    return names


async def sample_clone(server: Server) -> list[float]:
    url, target = await asyncio.to_thread(remote), folder() / "clone-ours"
    took = await timed(post(server, "clone", path=str(target), url=url))
    await asyncio.to_thread(shutil.rmtree, target)
    return [took]


async def sample_bare_clone(_: Server) -> list[float]:
    url, target = await asyncio.to_thread(remote), folder() / "clone-bare"
    took = await timed(bare("clone", "-q", "--single-branch", url, str(target), cwd=folder()))
    await asyncio.to_thread(shutil.rmtree, target)
    return [took]


STATUS = ("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--find-renames")


async def sample_status_cold(server: Server) -> list[float]:
    path = await prepared("ours")
    await asyncio.to_thread(touch_all, path)
    return [await timed(get(server, "status"))]


async def sample_bare_status_cold(_: Server) -> list[float]:
    path = await prepared("bare")
    await asyncio.to_thread(touch_all, path)
    return [await timed(bare("--no-optional-locks", *STATUS, cwd=path))]


async def sample_status(server: Server) -> list[float]:
    await bare("update-index", "-q", "--refresh", cwd=await prepared("ours"))
    return [await timed(get(server, "status")) for _ in range(5)]


async def sample_bare_status(_: Server) -> list[float]:
    path = await prepared("bare")
    await bare("update-index", "-q", "--refresh", cwd=path)
    return [await timed(bare(*STATUS, cwd=path)) for _ in range(5)]


async def sample_add(server: Server) -> list[float]:
    path = await prepared("ours")
    names = await asyncio.to_thread(change, path, 1)
    return [await timed(post(server, "add", path=str(path), files=names))]


async def sample_bare_add(_: Server) -> list[float]:
    path = await prepared("bare")
    names = await asyncio.to_thread(change, path, 1)
    stdin = "\0".join(names).encode()
    return [await timed(bare("add", "-A", "--pathspec-from-file=-", "--pathspec-file-nul", cwd=path, stdin=stdin))]


async def sample_commit(server: Server) -> list[float]:
    path = await prepared("ours")
    await asyncio.to_thread(change, path, 2)
    await bare("add", "-A", cwd=path)
    return [await timed(post(server, "commit", path=str(path), message="m", **WHO))]


async def sample_bare_commit(_: Server) -> list[float]:
    path = await prepared("bare")
    await asyncio.to_thread(change, path, 2)
    await bare("add", "-A", cwd=path)
    return [await timed(bare("commit", "-q", "--no-verify", "-F", "-", cwd=path, stdin=b"m"))]


async def sample_branches(server: Server) -> list[float]:
    await prepared("ours")
    return [await timed(get(server, "branches")) for _ in range(40)]


async def sample_bare_branches(_: Server) -> list[float]:
    path = await prepared("bare")
    return [await timed(bare("for-each-ref", "--format=%(refname)", "refs/heads", cwd=path)) for _ in range(40)]


async def sample_history(server: Server) -> list[float]:
    path = await prepared("history-ours")
    params = {"path": str(path)}

    async def ask() -> None:
        async with server.http.get(f"{server.url}/git/history", params=params) as answer:
            assert (await answer.read()).startswith(b"[{")

    return [await timed(ask()) for _ in range(10)]


async def sample_next_history(server: Server) -> list[float]:
    """Ask after another commit."""
    path = await prepared("history-ours")
    await bare("reset", "-q", "--soft", "HEAD~1", cwd=path)
    await sample_history(server)
    await bare("commit", "-q", "--allow-empty", "-m", str(time.time_ns()), cwd=path)
    return (await sample_history(server))[:1]


async def sample_first_history(server: Server) -> list[float]:
    """Ask for a repository that was never seen."""
    path = folder() / f"history-{time.time_ns()}"
    await asyncio.to_thread(shutil.copytree, await prepared("history-ours"), path)
    params = {"path": str(path)}
    started = time.perf_counter()
    async with server.http.get(f"{server.url}/git/history", params=params) as answer:
        await answer.read()
    took = (time.perf_counter() - started) * 1000
    await asyncio.to_thread(shutil.rmtree, path)
    return [took]


async def sample_bare_history(_: Server) -> list[float]:
    path = await prepared("history-bare")
    return [await timed(bare("log", "-z", f"--format={FORMAT}", cwd=path)) for _ in range(10)]


WORKLOADS = [
    Workload("bare git clone over http", sample_bare_clone, baseline=True, rounds=3),
    Workload("bare git status, files touched", sample_bare_status_cold, baseline=True),
    Workload("bare git status", sample_bare_status, baseline=True),
    Workload("bare git add of 500 files", sample_bare_add, baseline=True),
    Workload("bare git commit", sample_bare_commit, baseline=True),
    Workload("bare git for-each-ref", sample_bare_branches, baseline=True),
    Workload("bare git log of 1,000 commits", sample_bare_history, baseline=True),
    Workload(
        "git clone over http, 20,000 files", sample_clone, rounds=3, against="bare git clone over http", limit=1.3
    ),
    Workload("git status, files touched", sample_status_cold, against="bare git status, files touched", limit=1.3),
    Workload("git status", sample_status, against="bare git status", limit=1.3),
    Workload("git add of 500 files", sample_add, against="bare git add of 500 files", limit=1.3),
    Workload("git commit", sample_commit, against="bare git commit", limit=1.3),
    Workload("git branches", sample_branches, against="bare git for-each-ref", limit=0.5),
    Workload("git history of 1,000 commits", sample_history, against="bare git log of 1,000 commits", limit=0.5),
    Workload("git history after a commit", sample_next_history, against="bare git log of 1,000 commits", limit=0.5),
    Workload("git history, asked first", sample_first_history, against="bare git log of 1,000 commits"),
]
