"""List, info, folder, move, copy, permissions, delete, search, find, replace over HTTP on a real tree."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import re
import stat
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.http.conftest import Files

NAMES = [b"a b", b"+", b"%41", b'"', b"\\", b"'", b";", b"line\nend", b" lead", b"trail ", "😀".encode()]
NAMES += [
    "文件".encode(),
    b"e\xcc\x81",
    b"\xc3\xa9",
    b"x" * 255,
    b"\xff\xfe",
    b"half\xc3",
    b"-rf",
    b"~",
    b"$HOME",
    b"*",
]


async def call(api: aiohttp.ClientSession, method: str, path: str, status: int = 200, **options: Any) -> Any:
    """Send a request with a percent-encoded query, byte for byte; return the decoded response."""
    query = options.pop("query", {})
    text = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    from yarl import URL

    url = URL(f"{str(api._base_url).rstrip(chr(47))}/{path.lstrip('/')}?{text}", encoded=True)
    async with api.request(method, url, **options) as answer:
        body = await answer.read()
        assert answer.status == status, body
        return json.loads(body) if body else None


async def failure(api: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, str, str]:
    query = options.pop("query", {})
    async with api.request(method, path, params=query, **options) as answer:
        body = await answer.json()
        assert body["source"] == "DAYTONA_DAEMON"
        assert body["statusCode"] == answer.status
        return answer.status, body["code"], body["message"]


async def test_info_is_exact(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    path = work / "a.txt"
    path.write_bytes(b"12345")
    path.chmod(0o640)
    os.utime(path, ns=(0, 1_767_366_245_123_456_700))
    info = await call(api, "GET", "/files/info", query={"path": "a.txt"})
    assert re.fullmatch(r"2026-01-02 1\d:04:05\.1234567 [+-]\d{4} \w+", info.pop("modTime"))
    assert re.fullmatch(r"2026-01-02T1\d:04:05\.1234567(Z|[+-]\d\d:\d\d)", info.pop("modifiedAt"))
    assert info == {
        "name": "a.txt",
        "isDir": False,
        "size": 5,
        "mode": "-rw-r-----",
        "permissions": "0640",
        "owner": "0",
        "group": "0",
        "type": "file",
        "ownerName": "root",
        "groupName": "root",
    }


@pytest.mark.parametrize(
    ("kind", "mode", "text", "octal"),
    [
        ("file", 0o4755, "urwxr-xr-x", "0755"),
        ("file", 0o644, "-rw-r--r--", "0644"),
        ("dir", 0o755, "drwxr-xr-x", "0755"),
        ("dir", 0o1777, "dtrwxrwxrwx", "0777"),
        ("dir", 0o2775, "dgrwxrwxr-x", "0775"),
        ("fifo", 0o600, "prw-------", "0600"),
        ("char", 0o666, "Dcrw-rw-rw-", "0666"),
        ("block", 0o660, "Drw-rw----", "0660"),
    ],
)
async def test_mode_text(
    api: aiohttp.ClientSession, work: pathlib.Path, kind: str, mode: int, text: str, octal: str
) -> None:
    path = work / "a"
    makers = {
        "file": path.touch,
        "dir": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "char": lambda: os.mknod(path, stat.S_IFCHR, os.makedev(1, 3)),
        "block": lambda: os.mknod(path, stat.S_IFBLK, os.makedev(7, 200)),
    }
    makers[kind]()
    path.chmod(mode)
    info = await call(api, "GET", "/files/info", query={"path": "a"})
    assert (info["mode"], info["permissions"], info["type"]) == (text, octal, kind)


async def test_info_of_links(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "dir").mkdir()
    (work / "link").symlink_to("dir")
    (work / "broken").symlink_to("nowhere")
    (work / "loop").symlink_to("loop")
    info = await call(api, "GET", "/files/info", query={"path": "link"})
    assert (info["isDir"], info["isSymlink"], info["symlinkTarget"]) == (True, True, "dir")
    assert (await failure(api, "GET", "/files/info", query={"path": "broken"}))[:2] == (404, "FILE_NOT_FOUND")
    assert (await failure(api, "GET", "/files/info", query={"path": "loop"}))[:2] == (400, "INVALID_FILE_PATH")


async def test_hashes(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"abc")
    info = await call(api, "GET", "/files/info", query={"path": "a", "hash": "sha256,md5"})
    assert info["hashes"] == {
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "md5": "900150983cd24fb0d6963f7d28e17f72",
    }
    assert "unknown hash crc" in (await failure(api, "GET", "/files/info", query={"path": "a", "hash": "crc"}))[2]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nope", (404, "FILE_NOT_FOUND")),
        ("file/x", (400, "INVALID_FILE_PATH")),
        ("a\0b", (400, "INVALID_FILE_PATH")),
        ("y" * 300, (400, "INVALID_FILE_PATH")),
        ("z/" * 3000, (400, "INVALID_FILE_PATH")),
        ("", (400, "BAD_REQUEST")),
    ],
)
@pytest.mark.parametrize(
    ("method", "route"), [("GET", "info"), ("GET", "download"), ("POST", "permissions"), ("DELETE", "")]
)
async def test_bad_paths_are_named(
    api: aiohttp.ClientSession, work: pathlib.Path, method: str, route: str, path: str, expected: tuple[int, str]
) -> None:
    (work / "file").touch()
    status, code, message = await failure(api, method, f"/files/{route}", query={"path": path})
    assert (status, code) == expected
    assert path[:20].strip("\0") in message or "path is required" in message or "NUL" in message


async def test_list_in_byte_order_with_hidden_and_broken(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    for name in ("b", "a", ".hidden", "B"):
        (work / name).touch()
    (work / "broken").symlink_to("nowhere")
    found = await call(api, "GET", "/files", query={"path": ""})
    assert [entry["name"] for entry in found] == [".hidden", "B", "a", "b", "broken"]
    assert [entry["path"] for entry in found] == [".hidden", "B", "a", "b", "broken"]
    assert (found[4]["isSymlink"], found[4]["symlinkBroken"], found[4]["isDir"]) == (True, True, False)
    assert await call(api, "GET", "/files") == found


async def test_list_depth_goes_before_siblings_and_not_through_links(
    api: aiohttp.ClientSession, work: pathlib.Path
) -> None:
    (work / "r" / "a" / "deep").mkdir(parents=True)
    (work / "r" / "a" / "deep" / "x").touch()
    (work / "r" / "a.txt").touch()
    (work / "r" / "link").symlink_to("a")
    (work / "root").symlink_to("r")
    two = await call(api, "GET", "/files", query={"path": "root", "depth": "2"})
    assert [entry["path"] for entry in two] == ["root/a", "root/a/deep", "root/a.txt", "root/link"]
    all_ = await call(api, "GET", "/files", query={"path": str(work / "r"), "depth": "100"})
    assert [entry["path"] for entry in all_][:3] == [f"{work}/r/a", f"{work}/r/a/deep", f"{work}/r/a/deep/x"]


@pytest.mark.parametrize("depth", ["0", "-1", "x", "1.5", "٣"])
async def test_bad_depth(api: aiohttp.ClientSession, depth: str) -> None:
    status, code, message = await failure(api, "GET", "/files", query={"path": ".", "depth": depth})
    assert (status, code, message) == (400, "BAD_REQUEST", "bad request: depth must be an integer >= 1")


@pytest.mark.parametrize(("path", "status"), [("nope", 404), ("file", 400)])
async def test_list_of_what_is_no_directory(
    api: aiohttp.ClientSession, work: pathlib.Path, path: str, status: int
) -> None:
    (work / "file").touch()
    assert (await failure(api, "GET", "/files", query={"path": path}))[0] == status


async def test_old_go_clients_get_no_additive_fields(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").touch()
    known = {"name", "isDir", "size", "modTime", "mode", "permissions", "owner", "group"}
    for version, expected in (("0.187.0", True), ("0.188.0", False)):
        headers = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": version}
        info = await call(api, "GET", "/files/info", query={"path": "a"}, headers=headers)
        assert (set(info) == known) is expected


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_any_bytes_survive_every_operation(
    api: aiohttp.ClientSession, work: pathlib.Path, name: bytes
) -> None:
    """Every operation, addressing the file only by the name and ``rawName`` of the listing."""
    raw = os.fsdecode(name).encode("utf-8", "surrogateescape")
    await call(api, "POST", "/files/upload-v2", query={"path": b"d/" + raw}, data=b"needle")
    (entry,) = await call(api, "GET", "/files", query={"path": "d"})
    address = b"d/" + (raw if "rawName" not in entry else _unquoted(entry["rawName"]))
    assert address == b"d/" + name
    assert entry["name"] == name.decode("utf-8", "replace")
    assert (await call(api, "GET", "/files/info", query={"path": address}))["size"] == 6
    found = await call(api, "GET", "/files/find", query={"path": "d", "pattern": "needle"})
    assert [match["file"] for match in found] == [f"d/{entry['name']}"]
    names = (await call(api, "GET", "/files/search", query={"path": "d", "pattern": "*"}))["files"]
    assert names == ["d", f"d/{entry['name']}"]
    await call(api, "POST", "/files/copy", query={"source": address, "destination": "copy"})
    await call(api, "POST", "/files/move", query={"source": address, "destination": b"moved" + name[:200]})
    assert os.listdir(os.fsencode(work / "d")) == []
    await call(api, "DELETE", "/files", 204, query={"path": b"moved" + name[:200]})
    assert sorted(os.listdir(work)) == ["copy", "d"]


def _unquoted(text: str) -> bytes:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(text)


@pytest.mark.parametrize(
    ("mode", "expected"), [("755", 0o755), ("0755", 0o755), ("", 0o755), ("0777", 0o777), ("2775", 0o2775)]
)
async def test_folder_gets_exactly_the_mode(
    api: aiohttp.ClientSession, work: pathlib.Path, mode: str, expected: int
) -> None:
    await call(api, "POST", "/files/folder", 201, query={"path": "a/b", "mode": mode})
    assert stat.S_IMODE((work / "a" / "b").stat().st_mode) == expected


async def test_folder_with_a_closed_mode_still_gets_its_leaf(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    await call(api, "POST", "/files/folder", 201, query={"path": "a/b/c", "mode": "0444"})
    assert stat.S_IMODE((work / "a/b/c").stat().st_mode) == 0o444


async def test_folder_that_exists_is_left_alone(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").mkdir(0o700)
    await call(api, "POST", "/files/folder", 201, query={"path": "a", "mode": "0777"})
    assert stat.S_IMODE((work / "a").stat().st_mode) == 0o700


async def test_folder_failures(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "file").touch()
    assert (await failure(api, "POST", "/files/folder", query={"path": "file", "mode": "0755"}))[0] == 400
    assert (await failure(api, "POST", "/files/folder", query={"path": "file/x", "mode": "0755"}))[0] == 400
    assert "mode" in (await failure(api, "POST", "/files/folder", query={"path": "x", "mode": "9"}))[2]


async def test_move_never_replaces(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_text("a")
    (work / "dir").mkdir()
    (work / "broken").symlink_to("nowhere")
    for destination in ("a", "dir", "broken"):
        answer = await failure(api, "POST", "/files/move", query={"source": "a", "destination": destination})
        assert answer[:2] == (409, "CONFLICT")
    assert (await failure(api, "POST", "/files/move", query={"source": "x", "destination": "y"}))[0] == 404
    assert (await failure(api, "POST", "/files/move", query={"source": "a", "destination": "no/y"}))[0] == 404
    assert (await failure(api, "POST", "/files/move", query={"source": "a", "destination": ""}))[0] == 400
    assert (await failure(api, "POST", "/files/move", query={"source": "dir", "destination": "dir/x"}))[0] == 400
    await call(api, "POST", "/files/move", query={"source": "broken", "destination": "moved"})
    assert (work / "moved").is_symlink()


@pytest.fixture
def elsewhere(work: pathlib.Path) -> pathlib.Path:
    """Return a directory on another file system."""
    import shutil
    import tempfile

    path = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    if path.stat().st_dev == work.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    yield path
    shutil.rmtree(path)


async def test_move_across_file_systems_keeps_everything(
    api: aiohttp.ClientSession, work: pathlib.Path, elsewhere: pathlib.Path
) -> None:
    tree = work / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "file").write_bytes(b"data")
    os.chown(tree / "inner" / "file", 12, 34)
    (tree / "inner" / "file").chmod(0o4711)
    os.utime(tree / "inner" / "file", ns=(0, 1_000_000_000_123_456_789))
    (tree / "link").symlink_to("inner")
    (tree / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    (tree / "inner").chmod(0o555)
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    await call(api, "POST", "/files/move", query={"source": "tree", "destination": f"{elsewhere}/tree"})
    assert not tree.exists()
    status = (elsewhere / "tree/inner/file").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4711, 12, 34)
    assert status.st_mtime_ns == 1_000_000_000_123_456_789
    assert stat.S_IMODE((elsewhere / "tree/inner").stat().st_mode) == 0o555
    assert os.readlink(elsewhere / "tree/link") == "inner"
    assert os.readlink(elsewhere / "tree/broken") == "nowhere"
    assert stat.S_ISFIFO((elsewhere / "tree/fifo").stat().st_mode)
    assert (elsewhere / "tree/sparse").stat().st_blocks == 0
    assert os.listdir(elsewhere) == ["tree"]


async def test_copy(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "tree" / "inner").mkdir(parents=True)
    (work / "tree" / "inner" / "a").write_bytes(b"data")
    answer = await call(api, "POST", "/files/copy", query={"source": "tree", "destination": "copy"})
    assert answer["files"] == 1
    assert (work / "copy/inner/a").read_bytes() == b"data"
    assert (work / "tree/inner/a").exists()
    again = {"source": "tree", "destination": "copy"}
    assert (await failure(api, "POST", "/files/copy", query=again))[:2] == (409, "CONFLICT")
    inside = {"source": "tree", "destination": "tree/inner/x"}
    assert (await failure(api, "POST", "/files/copy", query=inside))[:2] == (400, "INVALID_FILE_PATH")
    (work / "old").write_bytes(b"old")
    query = {"source": "tree/inner/a", "destination": "old", "overwrite": "true"}
    await call(api, "POST", "/files/copy", query=query)
    assert (work / "old").read_bytes() == b"data"
    assert sorted(os.listdir(work)) == ["copy", "old", "tree"]


async def test_permissions_all_or_nothing(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    path = work / "a"
    path.touch(0o644)
    bad = [{"mode": "0700", "owner": "nobody-here"}, {"mode": "0700", "group": "nothing"}, {"mode": "9"}]
    bad += [{"owner": "99999999999"}, {"mode": "17777"}]
    for query in bad:
        assert (await failure(api, "POST", "/files/permissions", query={"path": "a", **query}))[0] == 400
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    query = {"path": "a", "mode": "6750", "owner": "nobody", "group": "7"}
    await call(api, "POST", "/files/permissions", query=query)
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o6750, 7)
    await call(api, "POST", "/files/permissions", query={"path": "a"})


async def test_delete(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "full" / "inner").mkdir(parents=True)
    (work / "empty").mkdir()
    (work / "link").symlink_to("full")
    (work / "broken").symlink_to("nowhere")
    for path in ("empty", "full"):
        for flag in ("", "false", "True", "1"):
            query = {"path": path, "recursive": flag}
            status, _, message = await failure(api, "DELETE", "/files", query=query)
            assert (status, "without recursive flag" in message) == (400, True)
    for path in ("link", "broken"):
        await call(api, "DELETE", "/files", 204, query={"path": path})
    assert (work / "full" / "inner").exists()
    await call(api, "DELETE", "/files", 204, query={"path": "full/", "recursive": "true"})
    assert os.listdir(work) == ["empty"]


@pytest.mark.parametrize("path", ["/", "//", "/.", "/../", "/usr/.."])
async def test_the_root_is_not_deleted(api: aiohttp.ClientSession, path: str) -> None:
    assert (await failure(api, "DELETE", "/files", query={"path": path, "recursive": "true"}))[0] == 400


@pytest.fixture
def grove(work: pathlib.Path) -> pathlib.Path:
    """Create a tree with links, FIFOs, devices and binary files, which a walk must survive."""
    root = work / "grove"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "a" / "one.py").write_text("needle one\nnothing\n")
    (root / "a" / "deep" / "two.txt").write_text("no\r\nthe needle\r\nneedle")
    (root / "a.py").write_text("NEEDLE")
    (root / ".hidden").write_text("needle")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("needle")
    (root / "binary").write_bytes(b"\0needle")
    (root / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    (root / "broken").symlink_to("nowhere")
    (root / "proc").symlink_to("/proc")
    os.mkfifo(root / "fifo")
    os.mknod(root / "zero", stat.S_IFCHR, os.makedev(1, 5))
    (root / "z").write_text("a.c needle")
    return root


async def find(api: aiohttp.ClientSession, **query: str) -> list[tuple[str, int, str]]:
    matches = await call(api, "GET", "/files/find", query=query)
    return [(match["file"], match["line"], match["content"]) for match in matches]


async def test_find_is_literal_and_in_walk_order(api: aiohttp.ClientSession, grove: pathlib.Path) -> None:
    assert await find(api, path="grove", pattern="needle") == [
        ("grove/.git/config", 1, "needle"),
        ("grove/.hidden", 1, "needle"),
        ("grove/a/deep/two.txt", 2, "the needle"),
        ("grove/a/deep/two.txt", 3, "needle"),
        ("grove/a/one.py", 1, "needle one"),
        ("grove/z", 1, "a.c needle"),
    ]
    assert await find(api, path="grove/", pattern=".c") == [("grove/z", 1, "a.c needle")]
    assert await find(api, path=f"{grove}/z", pattern="a.c") == [(f"{grove}/z", 1, "a.c needle")]
    assert await find(api, path="grove", pattern="(needle") == []
    assert await find(api, path="nowhere", pattern="x") == []
    assert await find(api, path="grove/fifo", pattern="x") == []
    assert len(await find(api, path="grove/self", pattern="needle")) == 6


async def test_find_options(api: aiohttp.ClientSession, grove: pathlib.Path) -> None:
    assert await find(api, path="grove", pattern="^a.c n", regex="true") == [("grove/z", 1, "a.c needle")]
    assert len(await find(api, path="grove", pattern="needle", ignoreCase="true")) == 7
    assert {file for file, _, _ in await find(api, path="grove", pattern="needle", include="*.py")} == {
        "grove/a/one.py"
    }
    assert "grove/.git/config" not in {file for file, *_ in await find(api, path="grove", pattern="e", exclude=".git")}
    assert len(await find(api, path="grove", pattern="needle", maxResults="2")) == 2
    (match,) = await call(api, "GET", "/files/find", query={"path": "grove/a/deep", "pattern": "the", "context": "1"})
    assert (match["before"], match["after"]) == (["no"], ["needle"])
    status, _, message = await failure(api, "GET", "/files/find", query={"path": ".", "pattern": "(", "regex": "true"})
    assert (status, "invalid pattern" in message) == (400, True)
    assert (await failure(api, "GET", "/files/find", query={"path": ".", "pattern": ""}))[0] == 400


async def test_find_tells_when_a_limit_cut(api: aiohttp.ClientSession, grove: pathlib.Path) -> None:
    query = {"path": "grove", "pattern": "needle", "maxResults": "6"}
    async with api.get("/files/find", params=query) as answer:
        assert "X-Result-Truncated" not in answer.headers
    async with api.get("/files/find", params={**query, "maxResults": "5"}) as answer:
        assert answer.headers["X-Result-Truncated"] == "true"


async def search(api: aiohttp.ClientSession, **query: str) -> list[str]:
    return (await call(api, "GET", "/files/search", query={"path": "grove", **query}))["files"]


async def test_search_matches_names_of_files_and_directories(api: aiohttp.ClientSession, grove: pathlib.Path) -> None:
    assert await search(api, pattern="*.py") == ["grove/a/one.py", "grove/a.py"]
    assert await search(api, pattern="grove") == ["grove"]
    assert await search(api, pattern="deep") == ["grove/a/deep"]
    assert await search(api, pattern="**/*.txt") == ["grove/a/deep/two.txt"]
    assert await search(api, pattern="a/*.{py,txt}") == ["grove/a/one.py"]
    assert await search(api, pattern="./a.py") == ["grove/a.py"]
    assert await search(api, pattern="a/./deep//two.txt") == ["grove/a/deep/two.txt"]
    assert await search(api, pattern="*", type="symlink") == [
        f"grove/{name}" for name in ("broken", "proc", "self", "up")
    ]
    assert await search(api, pattern="*", type="dir", exclude=".git") == ["grove", "grove/a", "grove/a/deep"]
    assert await search(api, pattern="*", type="file", minSize="11") == ["grove/a/deep/two.txt", "grove/a/one.py"]
    assert await search(api, pattern="*", modifiedAfter="2999-01-01T00:00:00Z") == []
    assert await search(api, pattern="*", path="nowhere") == []
    assert (await failure(api, "GET", "/files/search", query={"path": ".", "pattern": "["}))[0] == 400


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "**/" * 30 + "b", "{a,aa}" * 40 + "b"])
async def test_a_hostile_pattern_delays_no_one(api: aiohttp.ClientSession, work: pathlib.Path, pattern: str) -> None:
    (work / "hostile").mkdir()
    (work / "hostile" / ("a" * 200)).touch()
    async with asyncio.timeout(5):
        for query in ({"pattern": pattern}, {"pattern": "*", "exclude": pattern}):
            found = await call(api, "GET", "/files/search", query={"path": "hostile", **query})
            assert len(found["files"]) == (0 if "exclude" not in query else 2)


async def test_replace(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"old \xff old\r\nrest\r\n")
    (work / "a").chmod(0o751)
    (work / "same").write_bytes(b"nothing")
    os.utime(work / "same", ns=(1, 1))
    (work / "link").symlink_to("a")
    body = {"files": ["a", "same", "gone", ".", "link"], "pattern": "old", "newValue": "newer"}
    results = await call(api, "POST", "/files/replace", json=body)
    assert [(item["file"], item["success"], item.get("replacements")) for item in results] == [
        ("a", True, 2),
        ("same", True, 0),
        ("gone", False, None),
        (".", False, None),
        ("link", True, 0),
    ]
    assert (work / "a").read_bytes() == b"newer \xff newer\r\nrest\r\n"
    assert stat.S_IMODE((work / "a").stat().st_mode) == 0o751
    assert (work / "same").stat().st_mtime_ns == 1
    assert (work / "link").is_symlink()
    assert "no such file" in results[2]["error"]
    assert await call(api, "POST", "/files/replace", json={"files": [], "pattern": "x", "newValue": ""}) == []
    empty = {"files": ["a"], "pattern": "", "newValue": ""}
    assert (await failure(api, "POST", "/files/replace", json=empty))[:2] == (400, "INVALID_REQUEST_BODY")


async def test_replace_dry_run_changes_nothing(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_text("one\ntwo\nthree\n")
    body = {"files": ["a"], "pattern": "two", "newValue": "2\n2", "dryRun": True}
    (result,) = await call(api, "POST", "/files/replace", json=body)
    assert result["diff"].splitlines()[2:] == ["@@ -1,3 +1,4 @@", " one", "-two", "+2", "+2", " three"]
    assert (work / "a").read_text() == "one\ntwo\nthree\n"


async def test_the_search_of_a_client_that_left_is_stopped(files: Files, work: pathlib.Path) -> None:
    """The file is so large that ripgrep is busy for longer than the time limit of the test."""
    with (work / "huge").open("wb") as file:
        file.write(b"text\n" * 4096)
        file.truncate(200 << 30)
    _, writer = await asyncio.open_connection("127.0.0.1", files.port)
    writer.write(b"GET /files/find?path=huge&pattern=needle HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(10):
        while not files.procs.live:
            await asyncio.sleep(0)
        (child,) = files.procs.live
        writer.close()
        assert (await child.wait()).code != 0
