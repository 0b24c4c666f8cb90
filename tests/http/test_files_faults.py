"""Files left on disk when the daemon is killed, and permission errors of an unprivileged daemon."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

MIB = 1024 * 1024
# open() with these flags fails as on a file system without O_TMPFILE.
NAMED = "import os; os.O_TMPFILE = os.O_DIRECTORY | os.O_RDWR; "
# Root without the capabilities that bypass file permissions.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", "--inh-caps=-all")
MAIN = "import sys; from toolbox.__main__ import main; sys.exit(main())"


class Daemon:
    """A daemon in its own process, started as in a sandbox."""

    def __init__(self, home: pathlib.Path, work: pathlib.Path, *, named: bool = False, bound: bool = False) -> None:
        code = (NAMED if named else "") + MAIN
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "DAYTONA_DAEMON_LOG_FILE_PATH": ""}
        self.process = subprocess.Popen(
            [*(BOUND if bound else ()), sys.executable, "-c", code, "serve", "--port", "0", "--workdir", str(work)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            cwd=pathlib.Path(__file__).parents[2],
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[-1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                data = answer.read()
                return answer.status, json.loads(data) if data else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def daemon(*args: Any, **options: Any) -> Iterator[Daemon]:
    running = Daemon(*args, **options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end()


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "daemon-home"
    path.mkdir()
    return path


@pytest.fixture
def work(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def ours(folder: pathlib.Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".toolbox-")]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_killed_during_upload(home: pathlib.Path, work: pathlib.Path, named: bool) -> None:
    (work / "a").write_bytes(b"old")
    first = Daemon(home, work, named=named)
    client = first.connect()
    client.sendall(
        b"POST /files/upload-v2?path=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (64 * MIB)
    )
    client.sendall(bytes(32 * MIB))
    if named:
        wait_until(lambda: ours(work))
    first.end(signal.SIGKILL)
    client.close()
    assert len(ours(work)) == named
    assert (work / "a").read_bytes() == b"old"
    with daemon(home, work) as second:
        wait_until(lambda: not ours(work))
        assert second.call("GET", "/files/info?path=a")[0] == 200
    assert os.listdir(work) == ["a"]
    assert (work / "a").read_bytes() == b"old"


@pytest.mark.slow
def test_killed_during_extract_and_copy(home: pathlib.Path, work: pathlib.Path) -> None:
    (work / "dest").mkdir()
    (work / "dest" / "old").write_text("old")
    tree = work / "tree"
    tree.mkdir()
    for number in range(3000):
        (tree / f"f{number}").write_bytes(b"x" * 10_000)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(tree, "t")
    data = out.getvalue()
    requests = {
        "dest": b"POST /files/extract?path=dest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data,
        ".": b"POST /files/copy?source=tree&destination=copy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    }
    for where, request in requests.items():
        first = Daemon(home, work)
        client = first.connect()
        client.sendall(request.replace(b"Host: x", b"Host: localhost"))
        wait_until(lambda where=where: ours(work / where))
        first.end(signal.SIGKILL)
        client.close()
        assert ours(work / where)
        with daemon(home, work):
            wait_until(lambda where=where: not ours(work / where))
    assert sorted(os.listdir(work)) == ["dest", "tree"]
    assert os.listdir(work / "dest") == ["old"]


@pytest.mark.slow
def test_terminated_during_upload_leaves_nothing(home: pathlib.Path, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"old")
    with daemon(home, work, named=True) as running:
        client = running.connect()
        client.sendall(b"POST /files/upload-v2?path=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n")
        client.sendall(bytes(5_000_000))
        wait_until(lambda: ours(work))
        running.end()
        client.close()
    assert os.listdir(work) == ["a"]


NOBODY = 65534


@pytest.fixture
def guarded(tmp_path: pathlib.Path) -> pathlib.Path:
    """Create a tree that a process without root capabilities can read only in part."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv")
    work = tmp_path / "work"
    for name, mode in (("b-closed", 0o700), ("d-open", 0o755)):
        (work / name).mkdir(parents=True)
        (work / name / "e.txt").write_text("needle\n")
        os.chown(work / name, NOBODY, NOBODY)
        (work / name).chmod(mode)
    for name, mode in (("a.txt", 0o644), ("c.txt", 0o600), ("foreign", 0o644)):
        (work / name).write_text("needle\n")
        os.chown(work / name, NOBODY if name != "a.txt" else 0, NOBODY)
        (work / name).chmod(mode)
    return work


@pytest.mark.slow
def test_unreadable_entries_do_not_hide_their_siblings(home: pathlib.Path, guarded: pathlib.Path) -> None:
    with daemon(home, guarded, bound=True) as running:
        names = [entry["path"] for entry in running.call("GET", "/files?path=.&depth=5")[1]]
        assert names == ["a.txt", "b-closed", "c.txt", "d-open", "d-open/e.txt", "foreign"]
        found = running.call("GET", "/files/search?path=.&pattern=*")[1]["files"]
        assert found == [".", *names]
        found = running.call("GET", "/files/find?path=.&pattern=needle")[1]
        assert [match["file"] for match in found] == ["a.txt", "d-open/e.txt", "foreign"]
        refused = ("download?path=c.txt", "info?path=b-closed/x", "?path=b-closed")
        assert [running.call("GET", f"/files/{path}")[1]["code"] for path in refused] == ["FILE_ACCESS_DENIED"] * 3
        body = json.dumps({"files": ["c.txt", "foreign", "a.txt"], "pattern": "needle", "newValue": "pin"}).encode()
        results = running.call("POST", "/files/replace", body)[1]
        assert [item["success"] for item in results] == [False, False, True]
        assert running.call("POST", "/files/permissions?path=foreign&mode=0777")[0] == 403
        assert running.call("POST", "/files/upload-v2?path=d-open/new", b"x")[0] == 403
        assert running.call("POST", "/files/upload-v2?path=foreign", b"x")[0] == 403
        assert running.call("DELETE", "/files?path=b-closed&recursive=true")[0] == 403
        assert running.call("POST", "/files/move?source=d-open/e.txt&destination=moved")[0] == 403
        url = f"http://127.0.0.1:{running.port}/files/archive?path=.&format=tar"
        with urllib.request.urlopen(url) as answer, tarfile.open(fileobj=answer, mode="r|") as archive:
            archived = archive.getnames()
        assert archived == ["a.txt", "b-closed", "d-open", "d-open/e.txt", "foreign"]
    assert (guarded / "foreign").read_text() == "needle\n"


@pytest.mark.slow
def test_writable_file_in_a_closed_directory_is_overwritten_in_place(home: pathlib.Path, guarded: pathlib.Path) -> None:
    path = guarded / "d-open" / "e.txt"
    inode = path.stat().st_ino
    path.chmod(0o666)
    with daemon(home, guarded, bound=True) as running:
        assert running.call("POST", "/files/upload-v2?path=d-open/e.txt", b"new")[0] == 200
    assert (path.read_text(), path.stat().st_ino) == ("new", inode)
    assert os.listdir(path.parent) == ["e.txt"]
