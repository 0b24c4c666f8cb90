"""Archives and watches over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pathlib
import stat
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from tests.http.conftest import Files
from toolbox.fs.watch_feed import RING


@pytest.fixture
def tree(work: pathlib.Path) -> pathlib.Path:
    """Create a tree with modes, links, unusual names and a FIFO, which archives skip."""
    root = work / "tree"
    (root / "inner" / "deep").mkdir(parents=True)
    (root / "inner" / "deep" / "a.txt").write_bytes(os.urandom(100_000))
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o750)
    (root / "link").symlink_to("inner/deep/a.txt")
    (root / "empty").mkdir()
    (root / "ä 😀\n").write_text("x")
    (root / ("long" * 50)).write_text("y")
    os.mkfifo(root / "fifo")
    return root


def facts(root: pathlib.Path) -> dict[str, tuple[str, int, bytes]]:
    """Return type, mode and content of every entry that an archive must preserve."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(path.relative_to(root))] = ("link", 0, os.readlink(os.fsencode(path)))
        elif stat.S_ISDIR(status.st_mode):
            found[str(path.relative_to(root))] = ("dir", status.st_mode, b"")
        elif stat.S_ISREG(status.st_mode):
            found[str(path.relative_to(root))] = ("file", status.st_mode, path.read_bytes())
    return found


async def archive(api: aiohttp.ClientSession, **query: Any) -> bytes:
    async with api.get("/files/archive", params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def extract(api: aiohttp.ClientSession, data: Any, status: int = 200, **query: str) -> dict[str, Any]:
    body = io.BytesIO(data) if isinstance(data, bytes) else data
    async with api.post("/files/extract", params=query, data=body) as answer:
        result = await answer.json()
        assert answer.status == status, result
        return result


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
async def test_there_and_back(api: aiohttp.ClientSession, work: pathlib.Path, tree: pathlib.Path, kind: str) -> None:
    data = await archive(api, path="tree", format=kind)
    answer = await extract(api, data, path="new/copy")
    assert facts(work / "new" / "copy") == facts(tree)
    assert answer["files"] == 5
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="x")
    await extract(api, form, path="form")
    assert facts(work / "form") == facts(tree)


async def test_names_that_are_not_utf8_survive_in_tar(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "odd").mkdir()
    pathlib.Path(os.fsdecode(os.fsencode(work / "odd") + b"/\xff\xfe")).write_bytes(b"x")
    await extract(api, await archive(api, path="odd"), path="copy")
    assert os.listdir(os.fsencode(work / "copy")) == [b"\xff\xfe"]


async def test_archive_of_one_file_and_with_excludes(api: aiohttp.ClientSession, tree: pathlib.Path) -> None:
    data = await archive(api, path="tree/run.sh", format="tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        assert packed.getnames() == ["run.sh"]
    data = await archive(api, path="tree", format="zip", exclude="inner")
    assert "inner/" not in zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert "run.sh" in zipfile.ZipFile(io.BytesIO(data)).namelist()


async def test_archive_headers_and_failures(api: aiohttp.ClientSession, tree: pathlib.Path) -> None:
    async with api.get("/files/archive", params={"path": "tree"}) as answer:
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="tree.tar.gz"')
        await answer.read()
    for path, status in (("gone", 404), ("tree/fifo", 400), ("", 400)):
        async with api.get("/files/archive", params={"path": path}) as answer:
            assert answer.status == status


async def test_archive_of_a_client_that_left_ends(files: Files, work: pathlib.Path) -> None:
    with (work / "large").open("wb") as file:
        file.truncate(1 << 34)
    reader, writer = await asyncio.open_connection("127.0.0.1", files.port)
    writer.write(b"GET /files/archive?path=large&format=tar HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readexactly(1000)
    writer.transport.abort()
    async with asyncio.timeout(10):
        await files.server.drain(15)


def tar(*members: tuple[str, bytes, str], content: bytes = b"evil") -> bytes:
    """Build a tar of (name, type, link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.mode = 0o755
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


FILE, LINK, HARD, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
ESCAPES = {
    "dots": [("../evil", FILE, "")],
    "inner dots": [("a/../../evil", FILE, "")],
    "absolute": [("/tmp/evil", FILE, "")],
    "through a link": [("l", LINK, ".."), ("l/evil", FILE, "")],
    "absolute link": [("l", LINK, "/etc")],
    "link up": [("l", LINK, "../..")],
    "chain of links": [("p/q/r", DIR, ""), ("p/q/r/l", LINK, "../../.."), ("s", LINK, "p/q/r/l/..")],
    "late target": [("s", LINK, "d/x"), ("d", LINK, "..")],
    "looping link": [("l", LINK, "l"), ("ok", FILE, "")],
    "hard link out": [("h", HARD, "/etc/passwd")],
    "hard link up": [("h", HARD, "../secret")],
    "hard link to a link": [("l", LINK, "x"), ("h", HARD, "l")],
    "file as directory": [("a", FILE, ""), ("a/evil", FILE, "")],
    "directory as file": [("a", DIR, ""), ("a", FILE, "")],
    "device": [("d", tarfile.CHRTYPE, "")],
    "fifo": [("f", tarfile.FIFOTYPE, "")],
    "deep names": [("/".join(["x" * 250] * 17) + "/l", LINK, "../" * 20 + "evil")],
}


@pytest.mark.parametrize("name", ESCAPES)
async def test_nothing_leads_outside(api: aiohttp.ClientSession, work: pathlib.Path, name: str) -> None:
    (work / "secret").write_text("secret")
    (work / "dest").mkdir()
    (work / "dest" / "old").write_text("old")
    answer = await extract(api, tar(("fine", FILE, ""), *ESCAPES[name]), 400, path="dest")
    assert answer["code"] in ("BAD_REQUEST", "INVALID_FILE_PATH")
    assert sorted(os.listdir(work)) == ["dest", "secret"]
    assert os.listdir(work / "dest") == ["old"]


async def test_zip_with_dots_is_refused(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("../evil", b"x")
    await extract(api, out.getvalue(), 400, path="dest")
    assert os.listdir(work) == []


async def test_link_in_the_destination_is_not_written_through(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "outside").mkdir()
    (work / "dest").mkdir()
    (work / "dest" / "d").symlink_to("../outside")
    await extract(api, tar(("d", DIR, ""), ("d/evil", FILE, "")), 400, path="dest", overwrite="true")
    assert os.listdir(work / "outside") == []


async def test_existing_files_are_kept_unless_asked(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "dest" / "d").mkdir(parents=True)
    (work / "dest" / "d" / "a").write_text("old")
    data = tar(("b", FILE, ""), ("d", DIR, ""), ("d/a", FILE, ""), content=b"new")
    assert (await extract(api, data, 409, path="dest"))["code"] == "CONFLICT"
    assert not (work / "dest" / "b").exists()
    assert (work / "dest/d/a").read_text() == "old"
    await extract(api, data, path="dest", overwrite="true")
    assert (work / "dest/d/a").read_text() == "new"
    assert sorted(os.listdir(work / "dest")) == ["b", "d"]


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
async def test_damaged_archives_change_nothing(
    api: aiohttp.ClientSession, work: pathlib.Path, tree: pathlib.Path, kind: str, cut: float
) -> None:
    data = await archive(api, path="tree/inner", format=kind)
    answer = await extract(api, data[: int(len(data) * cut)] or b"garbage" * 100, 400, path="copy", format=kind)
    assert "archive" in answer["message"]
    assert not (work / "copy").exists()


@pytest.mark.parametrize("kind", [FILE, DIR])
@pytest.mark.parametrize("value", ["1e300", "-1e300", "nan", "inf", "-inf", "1e19"])
async def test_a_time_that_is_none_is_named(
    api: aiohttp.ClientSession, work: pathlib.Path, value: str, kind: bytes
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as packed:
        info = tarfile.TarInfo("odd")
        info.type, info.pax_headers = kind, {"mtime": value}
        packed.addfile(info)
    answer = await extract(api, out.getvalue(), 400, path="dest")
    assert "odd" in answer["message"]
    assert "time" in answer["message"]
    assert not (work / "dest").exists()


@pytest.mark.parametrize(("depth", "status"), [(1200, 200), (3000, 400)])
@pytest.mark.parametrize("kind", [FILE, DIR])
async def test_a_deep_path_in_an_archive(
    api: aiohttp.ClientSession, work: pathlib.Path, depth: int, status: int, kind: bytes
) -> None:
    name = "/".join("a" * depth)
    answer = await extract(api, tar((name, kind, "")), status, path="dest")
    if status == 200:
        assert (work / "dest" / name).exists()
        # The clean-up of pytest recurses into folders: it cannot remove so deep a tree.
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(work / "dest")], check=True)
    else:
        assert "too long" in answer["message"]
        assert not (work / "dest").exists()


@pytest.mark.parametrize("value", ["-1.5", "9e18", "0", "abc", "1e10"])
async def test_an_odd_time_is_taken(api: aiohttp.ClientSession, work: pathlib.Path, value: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as packed:
        info = tarfile.TarInfo("odd")
        info.pax_headers = {"mtime": value}
        packed.addfile(info)
    await extract(api, out.getvalue(), path="dest")
    assert (work / "dest" / "odd").exists()


async def test_full_disk_during_extract(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    tiny = work / "tiny"
    tiny.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tiny], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (tiny / "a").write_bytes(b"old")
        data = tar(("new", FILE, ""), ("a", FILE, ""), ("d/b", FILE, ""), content=os.urandom(3_000_000))
        answer = await extract(api, data, 507, path="tiny", overwrite="true")
        assert answer["code"] == "INSUFFICIENT_STORAGE"
        assert os.listdir(tiny) == ["a"]
        assert (tiny / "a").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", tiny], check=True)


class Events:
    """Read server-sent events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while True:
                line = await self._answer.content.readline()
                if line.startswith(b"data: "):
                    return json.loads(line[6:])

    async def until(self, *wanted: tuple[str, str]) -> list[dict[str, Any]]:
        """Read until every (type, path) was received."""
        missing, seen = set(wanted), []
        while missing:
            seen.append(await self.next())
            missing.discard((seen[-1]["type"], seen[-1]["path"]))
        return seen


Watching = Callable[..., Awaitable[Events]]


@pytest.fixture
async def watching(api: aiohttp.ClientSession) -> AsyncIterator[Watching]:
    """Return a function that starts a watch; all are closed after the test."""
    answers = []

    async def start(headers: dict[str, str] | None = None, **query: Any) -> Events:
        answer = await api.get("/files/watch", params=query, headers=headers)
        answers.append(answer)
        assert answer.status == 200, await answer.text()
        return Events(answer)

    yield start
    for answer in answers:
        answer.close()


async def test_watch_reports_changes(watching: Watching, work: pathlib.Path) -> None:
    events = await watching(path=".")
    ready = await events.next()
    assert (ready["type"], ready["isDir"]) == ("READY", True)
    (work / "a").write_text("x")
    (first,) = await events.until(("CREATE", "a"))
    assert (first["name"], first["isDir"]) == ("a", False)
    (work / "a").write_text("y")
    await events.until(("WRITE", "a"))
    (work / "a").unlink()
    await events.until(("DELETE", "a"))


async def test_watch_does_not_miss_what_is_in_a_new_directory(watching: Watching, work: pathlib.Path) -> None:
    """A file created before the watch of its new directory is active is found by a scan of the directory."""
    events = await watching(path=".")
    await events.next()
    for number in range(5):
        (work / f"n{number}" / "x" / "y").mkdir(parents=True)
        (work / f"n{number}" / "x" / "y" / "file").touch()
    await events.until(*(("CREATE", f"n{number}/x/y/file") for number in range(5)))


async def test_watch_filters_and_depth(watching: Watching, work: pathlib.Path) -> None:
    (work / "d").mkdir()
    only = await watching(path=".", include="*.py", exclude="skip*")
    flat = await watching(path=".", recursive="false")
    for events in (only, flat):
        await events.next()
    for name in ("skip.py", "a.txt", "d/in.py", "last.py"):
        (work / name).touch()
    seen = {event["path"] for event in await only.until(("CREATE", "last.py"))}
    assert seen <= {"d/in.py", "last.py"}
    assert "d/in.py" not in {event["path"] for event in await flat.until(("CREATE", "last.py"))}


async def test_watch_of_one_file_survives_its_replacement(watching: Watching, work: pathlib.Path) -> None:
    (work / "a").write_text("1")
    events = await watching(path="a")
    assert (await events.next())["isDir"] is False
    for content in ("2", "3"):
        (work / "other").write_text(content)
        (work / "other").rename(work / "a")
        event = await events.next()
        assert event["name"] == "a"


async def test_watch_resumes_after_a_cursor(watching: Watching, work: pathlib.Path) -> None:
    events = await watching(path=".")
    start = (await events.next())["id"]
    (work / "a").touch()
    await events.until(("CREATE", "a"))
    (work / "b").touch()
    await events.until(("CREATE", "b"))
    events._answer.close()
    (work / "c").touch()
    by_query = await watching(path=".", cursor=start)
    assert (await by_query.until(("CREATE", "c")))[0]["type"] == "READY"
    by_header = await watching({"Last-Event-ID": start}, path=".")
    paths = [event["path"] for event in await by_header.until(("CREATE", "c"))]
    assert paths.index("a") < paths.index("b") < paths.index("c")
    unknown = await watching(path=".", cursor="nonsense-1")
    assert (await unknown.next())["type"] == "OVERFLOW"


async def test_slow_watcher_learns_that_changes_are_lost(files: Files, work: pathlib.Path) -> None:
    from toolbox.fs.watch_feed import Change, WatchFeed
    from toolbox.host.worker_pool import WorkerPool

    workers = WorkerPool("test", 1)
    feed = WatchFeed(os.fsencode(work), workers, recursive=True, debounce=50)
    await feed.start()
    feed._publish([Change("CREATE", b"x", is_dir=False, time="")] * (RING + 1))
    assert await feed.after(0) is None
    position, changes = await feed.after(1) or (0, [])
    assert (position, len(changes)) == (RING + 1, RING)
    await feed.close()
    await workers.close()


async def test_name_that_is_not_utf8_is_an_overflow_and_no_end(watching: Watching, work: pathlib.Path) -> None:
    events = await watching(path=".")
    await events.next()
    pathlib.Path(os.fsdecode(os.fsencode(work) + b"/\xff")).touch()
    while (await events.next())["type"] != "OVERFLOW":
        pass
    (work / "after").touch()
    await events.until(("CREATE", "after"))


async def test_watch_over_websocket(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    async with api.ws_connect("/files/watch?path=.") as ws:
        assert (await ws.receive_json(timeout=5))["type"] == "READY"
        (work / "a").touch()
        event = await ws.receive_json(timeout=5)
        assert (event["type"], event["path"]) == ("CREATE", "a")


@pytest.mark.parametrize(("path", "status"), [("gone", 404), ("", 400)])
async def test_watch_failures(api: aiohttp.ClientSession, path: str, status: int) -> None:
    async with api.get("/files/watch", params={"path": path}) as answer:
        assert answer.status == status
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.ws_connect(f"/files/watch?path={path}")
    assert caught.value.status == status


@pytest.fixture
def few_watches() -> Iterator[None]:
    """Lower the limit of inotify watches to 1."""
    knob = pathlib.Path("/proc/sys/fs/inotify/max_user_watches")
    before = knob.read_text()
    try:
        knob.write_text("1")
    except OSError:
        pytest.skip("the limit cannot be changed here")
    yield
    knob.write_text(before)


async def test_limit_of_watches_names_the_sysctl(
    api: aiohttp.ClientSession, work: pathlib.Path, few_watches: None
) -> None:
    for number in range(5):
        (work / f"d{number}").mkdir()
    async with api.get("/files/watch", params={"path": "."}) as answer:
        body = await answer.json()
    assert (answer.status, "max_user_watches" in body["message"]) == (507, True)


async def test_watchers_share_a_thread(files: Files, watching: Watching, work: pathlib.Path) -> None:
    streams = [await watching(path=".") for _ in range(5)]
    for events in streams:
        await events.next()
    (work / "a").touch()
    for events in streams:
        await events.until(("CREATE", "a"))
    # One thread waits for changes; the pool keeps some idle that resolved paths.
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("fs-watch")]) < len(streams)
