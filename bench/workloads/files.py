"""Listing, searching and moving files, beside ripgrep, cp and a bare sendfile over loopback."""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import quote, urlsplit

import aiohttp

from bench.spawn import spawned
from bench.workload import Server, Workload

GIB = 1 << 30
BLOCK = 1 << 20


@functools.cache
def folder() -> pathlib.Path:
    """Return a folder for the generated files; it goes with the process."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="toolbox-bench-files-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def tree() -> pathlib.Path:
    """Generate 20,000 text files in 400 folders; one in a hundred holds the needle."""
    root, chance = folder() / "tree", random.Random(1)
    words = [f"word{number}" for number in range(2000)]
    for number in range(20_000):
        path = root / f"d{number % 20}" / f"s{number // 20 % 20}" / f"f{number}.{'py' if number % 2 else 'txt'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(chance.choices(words, k=10)) for _ in range(chance.randint(20, 80))]
        path.write_text("\n".join([*lines, "needle_in_haystack"] if number % 100 == 0 else lines), encoding="ascii")
    return root


@functools.cache
def flat() -> pathlib.Path:
    """Make a folder of 10,000 entries."""
    root = folder() / "flat"
    root.mkdir()
    for number in range(10_000):
        (root / f"entry-{number}").touch()
    return root


@functools.cache
def gigabyte() -> pathlib.Path:
    """Make a file of 1 GiB that is in the page cache."""
    path = folder() / "gigabyte"
    block = os.urandom(BLOCK)
    with path.open("wb") as file:
        for _ in range(GIB // BLOCK):
            file.write(block)
    return path


async def timed(work: object) -> float:
    started = time.perf_counter()
    await work  # type: ignore[misc]
    return (time.perf_counter() - started) * 1000


async def get(server: Server, route: str, **query: str) -> bytes:
    async with server.http.get(f"{server.url}{route}", params=query) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        return body


async def sample_list(server: Server) -> list[float]:
    return [await timed(get(server, "/files", path=str(flat()))) for _ in range(3)]


async def sample_info(server: Server) -> list[float]:
    path = str(next(flat().iterdir()))
    return [await timed(get(server, "/files/info", path=path)) for _ in range(200)]


async def sample_find(server: Server) -> list[float]:
    query = {"path": str(tree()), "pattern": "needle_in_haystack"}
    body = await get(server, "/files/find", **query)
    assert body.count(b'"line"') == 200
    return [await timed(get(server, "/files/find", **query)) for _ in range(3)]


async def sample_ripgrep(_: Server) -> list[float]:
    own = pathlib.Path(sys.prefix) / "bin" / "rg"
    command = (str(own) if own.exists() else "rg", "-F", "needle_in_haystack", str(tree()))

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        await process.communicate()

    return [await timed(run()) for _ in range(3)]


async def sample_search(server: Server) -> list[float]:
    return [await timed(get(server, "/files/search", path=str(tree()), pattern="f1*.py")) for _ in range(3)]


async def sample_replace(server: Server) -> list[float]:
    names = [str(path) for path in sorted((tree() / "d0").rglob("*.txt"))[:200]]
    times = []
    for old, new in (("word1", "Word1"), ("Word1", "word1")):
        body = {"files": names, "pattern": old, "newValue": new}
        started = time.perf_counter()
        async with server.http.post(f"{server.url}/files/replace", json=body) as answer:
            assert all(item["success"] for item in await answer.json())
        times.append((time.perf_counter() - started) * 1000)
    return times


async def sample_small_uploads(server: Server) -> list[float]:
    target = f"{folder()}/small"
    started = time.perf_counter()
    for number in range(1000):
        query = {"path": f"{target}/{number}"}
        async with server.http.post(f"{server.url}/files/upload-v2", params=query, data=b"x" * 1000) as answer:
            assert answer.status == 200
    return [(time.perf_counter() - started) * 1000 / 1000]


async def sample_bulk_upload(server: Server) -> list[float]:
    form = aiohttp.FormData()
    for number in range(500):
        form.add_field(f"files[{number}].path", f"{folder()}/bulk/{number}")
        form.add_field(f"files[{number}].file", b"x" * 2000, filename="x")  # type: ignore[arg-type]
    started = time.perf_counter()
    async with server.http.post(f"{server.url}/files/bulk-upload", data=form) as answer:
        assert answer.status == 200, await answer.text()
    return [(time.perf_counter() - started) * 1000]


async def sample_bulk_download(server: Server) -> list[float]:
    paths = [str(path) for path in sorted((tree() / "d1").rglob("*")) if path.is_file()][:500]
    started = time.perf_counter()
    async with server.http.post(f"{server.url}/files/bulk-download", json={"paths": paths}) as answer:
        body = await answer.read()
    assert body.count(b'name="file"') == 500
    return [(time.perf_counter() - started) * 1000]


def send(sock: socket.socket, path: pathlib.Path) -> None:
    """Send a file by the kernel."""
    with path.open("rb") as file:
        offset = 0
        while offset < GIB:
            offset += os.sendfile(sock.fileno(), file.fileno(), offset, GIB - offset)


def receive(sock: socket.socket, into: int | None = None) -> int:
    """Read a socket to its end through one buffer, and write it away if a descriptor is given."""
    view, total = memoryview(bytearray(BLOCK)), 0
    while got := sock.recv_into(view):
        total += got
        if into is not None:
            os.write(into, view[:got])
    return total


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 80))


def upload(server: Server, *, form: bool) -> float:
    """Upload 1 GiB by the kernel; return milliseconds."""
    boundary = "----benchmark0123456789abcdef0123456789abcdef"
    opening = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode() if form else b""
    )
    end = f"\r\n--{boundary}--\r\n".encode() if form else b""
    kind = f"multipart/form-data; boundary={boundary}" if form else "application/octet-stream"
    target = folder() / "uploaded"
    # Replacing would keep both contents in memory for a moment, which cp does not have to do either.
    target.unlink(missing_ok=True)
    with connect(server) as sock:
        started = time.perf_counter()
        sock.sendall(
            f"POST /files/upload-v2?path={quote(str(target))} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {GIB + len(opening) + len(end)}\r\n\r\n".encode()
            + opening
        )
        send(sock, gigabyte())
        sock.sendall(end)
        answer = sock.recv(65536)
        took = time.perf_counter() - started
    assert b" 200 " in answer[:20], answer
    assert target.stat().st_size == GIB
    return took * 1000


def download(server: Server) -> float:
    """Download 1 GiB into one buffer; return milliseconds."""
    with connect(server) as sock:
        started = time.perf_counter()
        path = quote(str(gigabyte()))
        sock.sendall(
            f"GET /files/download?path={path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        total = receive(sock)
        took = time.perf_counter() - started
    assert total > GIB
    return took * 1000


def bare(*, write: bool) -> float:
    """Move 1 GiB between two processes over loopback with nothing around it; return milliseconds."""
    target = folder() / "uploaded"
    target.unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        root = str(pathlib.Path(__file__).parents[2])
        code = f"""
import sys
sys.path.insert(0, {root!r})
from bench.workloads.files import pathlib, send, socket
send(socket.create_connection(('127.0.0.1', {listener.getsockname()[1]})), pathlib.Path({str(gigabyte())!r}))
"""
        with subprocess.Popen([sys.executable, "-c", code]) as process, listener.accept()[0] as sock:
            started = time.perf_counter()
            into = os.open(target, os.O_WRONLY | os.O_CREAT) if write else None
            assert receive(sock, into) == GIB
            took = time.perf_counter() - started
            if into is not None:
                os.close(into)
            process.wait()
    return took * 1000


def copy() -> float:
    """Copy 1 GiB with cp; return milliseconds."""
    target = folder() / "uploaded"
    target.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(["cp", gigabyte(), target], check=True)
    return (time.perf_counter() - started) * 1000


class PeakMemory:
    """Watch how far the resident memory of a process grows."""

    def __init__(self, pid: int) -> None:
        self._path = pathlib.Path(f"/proc/{pid}/statm")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._before = self._peak = 0

    def _pages(self) -> int:
        return int(self._path.read_text(encoding="ascii").split()[1])

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self._peak = max(self._peak, self._pages())

    def __enter__(self) -> PeakMemory:
        self._before = self._peak = self._pages()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown_mb(self) -> float:
        return (self._peak - self._before) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def sample_upload(server: Server) -> list[float]:
    return [await asyncio.to_thread(functools.partial(upload, server, form=False))]


async def sample_upload_form(server: Server) -> list[float]:
    return [await asyncio.to_thread(functools.partial(upload, server, form=True))]


async def sample_download(server: Server) -> list[float]:
    return [await asyncio.to_thread(download, server)]


async def sample_bare_upload(_: Server) -> list[float]:
    return [await asyncio.to_thread(functools.partial(bare, write=True))]


async def sample_bare_download(_: Server) -> list[float]:
    return [await asyncio.to_thread(functools.partial(bare, write=False))]


async def sample_copy(_: Server) -> list[float]:
    return [await asyncio.to_thread(copy)]


async def sample_upload_memory(_: Server) -> list[float]:
    async with spawned() as server:
        assert server.pid is not None
        await get(server, "/files/info", path=str(gigabyte()))
        with PeakMemory(server.pid) as memory:
            await sample_upload(server)
            await sample_upload_form(server)
            await sample_download(server)
        return [memory.grown_mb]


# The two ends share two cores, so a few samples decide little: the median of seven.
TRANSFER = 7
WORKLOADS = [
    Workload("rg, 20,000 files", sample_ripgrep, baseline=True),
    Workload("loopback to file, 1 GiB", sample_bare_upload, rounds=TRANSFER, per_second=1024, baseline=True),
    Workload("loopback, 1 GiB", sample_bare_download, rounds=TRANSFER, per_second=1024, baseline=True),
    Workload("files: cp, 1 GiB", sample_copy, rounds=TRANSFER, per_second=1024, baseline=True),
    Workload("files: list 10,000", sample_list),
    Workload("files: info", sample_info),
    Workload("files: find in 20,000", sample_find, against="rg, 20,000 files", limit=1.5),
    Workload("files: search 20,000 names", sample_search),
    Workload("files: replace in 200", sample_replace),
    Workload("files: small upload", sample_small_uploads, per_second=1),
    Workload("files: bulk upload 500", sample_bulk_upload),
    Workload("files: bulk download 500", sample_bulk_download),
    Workload(
        "files: upload 1 GiB",
        sample_upload,
        rounds=TRANSFER,
        per_second=1024,
        against="loopback to file, 1 GiB",
        limit=1 / 0.7,
    ),
    Workload(
        "files: upload 1 GiB in a form",
        sample_upload_form,
        rounds=TRANSFER,
        per_second=1024,
        against="loopback to file, 1 GiB",
        limit=1 / 0.7,
    ),
    Workload(
        "files: download 1 GiB",
        sample_download,
        rounds=TRANSFER,
        per_second=1024,
        against="loopback, 1 GiB",
        limit=1 / 0.7,
    ),
    Workload("files: memory of 1 GiB both ways", sample_upload_memory, unit="MB", rounds=3, needs_pid=True, limit=32),
]
