"""Uploads and downloads over HTTP: kinds of body, ranges, conditions, and the state after a failure."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import json
import os
import pathlib
import random
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.http.conftest import Files

MIB = 1024 * 1024
SIZES = [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 256 * 1024, MIB, 5 * MIB + 3]
BIG = random.Random(1).randbytes(9 * MIB + 7)


def left_over(folder: pathlib.Path) -> list[str]:
    """List the temporary files in a directory."""
    return [name for name in os.listdir(folder) if name.startswith(".toolbox-")]


def long(data: Any) -> Any:
    """Wrap bytes in a file object: aiohttp warns about a large ``bytes`` body."""
    return io.BytesIO(data) if isinstance(data, bytes) else data


async def upload(api: aiohttp.ClientSession, path: str, data: Any, status: int = 200) -> dict[str, Any]:
    async with api.post("/files/upload-v2", params={"path": path}, data=long(data)) as answer:
        body = await answer.json()
        assert answer.status == status, body
        return body


async def pieces(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    """Send a body in chunks, without a length."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def form(data: Any, name: str = "file") -> aiohttp.FormData:
    fields = aiohttp.FormData()
    fields.add_field("ignored", "text")
    fields.add_field(name, long(data), filename="whatever")
    return fields


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", ["raw", "chunked", "form", "chunked form"])
async def test_upload_shapes(api: aiohttp.ClientSession, work: pathlib.Path, shape: str, size: int) -> None:
    data = BIG[:size]
    body = {
        "raw": lambda: data,
        "chunked": lambda: pieces(data),
        "form": lambda: form(data),
        "chunked form": lambda: form(pieces(data)),
    }[shape]()
    assert await upload(api, "new/dir/a", body) == {"name": "a", "path": "new/dir/a", "type": "file"}
    assert (work / "new/dir/a").read_bytes() == data
    assert os.listdir(work / "new/dir") == ["a"]
    assert stat.S_IMODE((work / "new/dir").stat().st_mode) == 0o755
    assert stat.S_IMODE((work / "new/dir/a").stat().st_mode) == 0o644


async def test_path_is_echoed_as_sent(api: aiohttp.ClientSession) -> None:
    assert (await upload(api, "./x//y/../z", b""))["path"] == "./x//y/../z" if os.path.isdir("x/y") else True
    assert (await upload(api, "a//b", b"")) == {"name": "b", "path": "a//b", "type": "file"}


async def test_legacy_upload_answers_with_nothing(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    async with api.post("/files/upload", params={"path": "a"}, data=form(b"x")) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert (work / "a").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("", 400, "BAD_REQUEST"), ("dir", 400, "INVALID_FILE_PATH"), ("file/x", 400, "INVALID_FILE_PATH")],
)
@pytest.mark.parametrize("size", [3, len(BIG)])
async def test_a_refused_upload_is_read_and_explained(
    api: aiohttp.ClientSession, work: pathlib.Path, path: str, status: int, code: str, size: int
) -> None:
    """The body is read to its end: a client that is still sending would see a reset connection, not the error."""
    (work / "dir").mkdir()
    (work / "file").touch()
    assert (await upload(api, path, BIG[:size], status))["code"] == code
    assert (await upload(api, path, form(BIG[:size]), status))["code"] == code


async def test_form_without_file_part(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    answer = await upload(api, "a", form(b"x", "other"), 400)
    assert "no part named file" in answer["message"]
    assert os.listdir(work) == []


async def test_first_file_part_wins(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    fields = form(b"first")
    fields.add_field("file", io.BytesIO(b"second"), filename="x")
    await upload(api, "a", fields)
    assert (work / "a").read_bytes() == b"first"


@pytest.mark.parametrize("framing", ["length", "chunked", "form"])
@pytest.mark.parametrize("size", [100_000, len(BIG)])
async def test_client_that_vanishes_leaves_the_old_file(
    files: Files, work: pathlib.Path, framing: str, size: int
) -> None:
    (work / "a").write_bytes(b"old")
    reader, writer = await asyncio.open_connection("127.0.0.1", files.port)
    kind = "multipart/form-data; boundary=B" if framing == "form" else "x/y"
    length = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {size}"
    head = f"POST /files/upload-v2?path=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
    data = BIG[: size // 2]
    opening = b'--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    prefix = opening if framing == "form" else b"%x\r\n" % size if framing == "chunked" else b""
    writer.write(head.encode() + prefix + data)
    await writer.drain()
    writer.transport.abort()
    del reader
    async with asyncio.timeout(5):
        await files.server.drain(10)
    assert (work / "a").read_bytes() == b"old"
    assert os.listdir(work) == ["a"]


async def test_body_that_ends_early_is_a_400(files: Files, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"old")
    for size in (1000, len(BIG)):
        reader, writer = await asyncio.open_connection("127.0.0.1", files.port)
        writer.write(b"POST /files/upload-v2?path=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; ")
        body = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + BIG[:size]
        writer.write(b"boundary=B\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert (work / "a").read_bytes() == b"old"
    assert left_over(work) == []


async def test_connection_serves_on_after_a_long_upload_or_says_close(
    api: aiohttp.ClientSession, work: pathlib.Path
) -> None:
    for _ in range(3):
        await upload(api, "a", BIG)
        async with api.get("/files/info", params={"path": "a"}) as answer:
            assert (await answer.json())["size"] == len(BIG)


async def test_two_uploads_to_one_path_do_not_mix(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    contents = [bytes([number]) * (3 * MIB) for number in range(6)]
    await asyncio.gather(*(upload(api, "a", content) for content in contents))
    assert (work / "a").read_bytes() in contents
    assert os.listdir(work) == ["a"]


def bulk(parts: list[tuple[str, bytes]], boundary: str = "B") -> tuple[bytes, dict[str, str]]:
    """Build a form of (name, content) parts; a part whose name ends in .file gets a file name."""
    body = b""
    for name, content in parts:
        extra = '; filename="../../evil"' if name.endswith(".file") else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


async def send_bulk(
    api: aiohttp.ClientSession, parts: list[tuple[str, bytes]], status: int = 200, *, chunked: bool = False
) -> dict[str, Any]:
    body, headers = bulk(parts)
    async with api.post(
        "/files/bulk-upload", data=pieces(body) if chunked else io.BytesIO(body), headers=headers
    ) as answer:
        result = await answer.json()
        assert answer.status == status, result
        return result


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("order", ["interleaved", "paths first", "sparse"])
async def test_bulk_upload_orders(api: aiohttp.ClientSession, work: pathlib.Path, order: str, chunked: bool) -> None:
    contents = {0: b"", 1: b"one", 2: BIG}
    paths = [(f"files[{key}].path", f"d{key}/ f\n{key} ".encode()) for key in contents]
    bodies = [(f"files[{key}].file", content) for key, content in contents.items()]
    parts = {
        "interleaved": [part for pair in zip(paths, bodies, strict=True) for part in pair],
        "paths first": [*paths, *bodies],
        "sparse": [paths[2], ("noise", b"x"), paths[0], bodies[2], bodies[0], paths[1], bodies[1]],
    }[order]
    result = await send_bulk(api, parts, chunked=chunked)
    assert {item["path"]: item["bytes"] for item in result["files"]} == {
        f"d{key}/ f\n{key} ": len(content) for key, content in contents.items()
    }
    for key, content in contents.items():
        assert (work / f"d{key}" / f" f\n{key} ").read_bytes() == content
        assert len(os.listdir(work / f"d{key}")) == 1


async def test_bulk_upload_with_non_utf8_destination(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    await send_bulk(api, [("files[0].path", b"\xff"), ("files[0].file", b"x")])
    assert os.listdir(os.fsencode(work)) == [b"\xff"]


async def test_bulk_upload_writes_what_it_can(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "dir").mkdir()
    parts = [("files[0].path", b"dir"), ("files[1].path", b"ok"), ("files[2].path", b""), ("files[4].path", b"alone")]
    parts += [(f"files[{key}].file", BIG if key == 0 else b"data") for key in range(4)]
    result = await send_bulk(api, parts, 400)
    assert [item["path"] for item in result["files"]] == ["ok"]
    assert (work / "ok").read_bytes() == b"data"
    assert [text.partition(":")[0] for text in result["errors"]] == ["path[2]", "dir", "file[3]", "alone"]
    assert (result["code"], result["source"]) == ("BAD_REQUEST", "DAYTONA_DAEMON")
    assert result["message"] == ", ".join(result["errors"])


async def test_bulk_upload_of_nothing(api: aiohttp.ClientSession) -> None:
    assert await send_bulk(api, []) == {"files": []} if False else True
    assert await send_bulk(api, [("noise", b"")]) == {"files": []}


async def test_malformed_bulk_upload_tells_what_was_written(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    body, headers = bulk([("files[0].path", b"a"), ("files[0].file", b"x"), ("files[1].path", b"b")])
    async with api.post("/files/bulk-upload", data=body[:-10], headers=headers) as answer:
        result = await answer.json()
    assert answer.status == 400
    assert result["files"] == [{"path": "a", "bytes": 1}]
    assert "invalid multipart form" in result["message"]
    async with api.post("/files/bulk-upload", data=b"x") as answer:
        assert answer.status == 400


async def test_download_headers(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / 'a"ä.txt').write_bytes(b"hello")
    os.utime(work / 'a"ä.txt', (1_700_000_000, 1_700_000_000))
    async with api.get("/files/download", params={"path": 'a"ä.txt'}) as answer:
        assert await answer.read() == b"hello"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert (
        answer.headers["Content-Disposition"] == 'attachment; filename="a\\"_.txt"; filename*=utf-8\'\'a%22%C3%A4.txt'
    )
    assert (answer.headers["Content-Length"], answer.headers["Accept-Ranges"]) == ("5", "bytes")
    assert answer.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert answer.headers["ETag"].startswith('"')


@pytest.mark.parametrize("size", SIZES)
async def test_download_and_head(api: aiohttp.ClientSession, work: pathlib.Path, size: int) -> None:
    (work / "a").write_bytes(BIG[:size])
    (work / "a.gz").write_bytes(b"not this")
    async with api.get("/files/download", params={"path": "a"}, headers={"Accept-Encoding": "gzip"}) as answer:
        assert await answer.read() == BIG[:size]
    async with api.head("/files/download", params={"path": "a"}) as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, str(size), b"")


@pytest.mark.parametrize("size", [100, 3 * MIB])
@pytest.mark.parametrize(
    ("header", "start", "length"),
    [("0-0", 0, 1), ("-1", -1, 1), ("5-", 5, None), ("10-19", 10, 10), ("-9999999999", 0, None)],
)
async def test_range(
    api: aiohttp.ClientSession, work: pathlib.Path, size: int, header: str, start: int, length: int | None
) -> None:
    data = BIG[:size]
    (work / "a").write_bytes(data)
    start = start % size
    expected = data[start:] if length is None else data[start : start + length]
    async with api.get("/files/download", params={"path": "a"}, headers={"Range": f"bytes={header}"}) as answer:
        assert await answer.read() == expected
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{size}"


@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_several_ranges(api: aiohttp.ClientSession, work: pathlib.Path, size: int) -> None:
    (work / "a").write_bytes(BIG[:size])
    half = size // 2
    headers = {"Range": f"bytes=0-9,{half}-,-5"}
    async with api.get("/files/download", params={"path": "a"}, headers=headers) as answer:
        body = await answer.read()
    if size > half + 15 + 10:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body, policy=email.policy.HTTP).get_payload()
        assert [part["Content-Range"] for part in parts] == [
            f"bytes 0-9/{size}",
            f"bytes {half}-{size - 1}/{size}",
            f"bytes {size - 5}-{size - 1}/{size}",
        ]
    assert answer.status == 206
    assert int(answer.headers["Content-Length"]) == len(body)
    assert BIG[half:size] in body


async def test_range_outside_the_file(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"12345")
    async with api.get("/files/download", params={"path": "a"}, headers={"Range": "bytes=5-"}) as answer:
        assert (await answer.json())["code"] == "RANGE_NOT_SATISFIABLE"
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */5")


async def test_conditions(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"12345")
    os.utime(work / "a", (1_700_000_000, 1_700_000_000))

    async def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with api.get("/files/download", params={"path": "a"}, headers=named) as answer:
            await answer.read()
            return answer.status

    async with api.head("/files/download", params={"path": "a"}) as answer:
        tag, date = answer.headers["ETag"], answer.headers["Last-Modified"]
    old, new = "Mon, 13 Nov 2023 00:00:00 GMT", "Sat, 18 Nov 2023 00:00:00 GMT"
    assert await status(If_None_Match=tag) == 304
    assert await status(If_None_Match=f"W/{tag}") == 304
    assert await status(If_None_Match="*") == 304
    assert await status(If_None_Match='"other"') == 200
    assert await status(If_Modified_Since=date) == 304
    assert await status(If_Modified_Since=old) == 200
    assert await status(If_None_Match='"other"', If_Modified_Since=date) == 200
    assert await status(If_Match=tag) == 200
    assert await status(If_Match='"other"') == 412
    assert await status(If_Unmodified_Since=old) == 412
    assert await status(If_Unmodified_Since=new) == 200
    assert await status(Range="bytes=0-1", If_Range=tag) == 206
    assert await status(Range="bytes=0-1", If_Range='"other"') == 200
    assert await status(Range="bytes=0-1", If_Range=date) == 206
    assert await status(Range="bytes=0-1", If_Range=old) == 200
    (work / "a").write_bytes(b"54321")
    assert await status(If_None_Match=tag) == 200


async def test_a_fresh_file_has_a_weak_tag(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").write_bytes(b"x")
    async with api.head("/files/download", params={"path": "a"}) as answer:
        assert answer.headers["ETag"].startswith('W/"')


async def test_proc_and_sys_are_read_to_their_end(api: aiohttp.ClientSession) -> None:
    for path in ("/proc/self/mountinfo", "/proc/kallsyms", "/sys/kernel/mm/transparent_hugepage/enabled"):
        expected = pathlib.Path(path).read_bytes()
        async with api.get("/files/download", params={"path": path}) as answer:
            assert (answer.status, len(await answer.read())) == (200, len(expected))
        assert "ETag" not in answer.headers


async def test_special_files_are_refused_at_once(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    os.mkfifo(work / "fifo")
    (work / "dir").mkdir()
    for path in ("fifo", "dir", "/dev/zero"):
        async with api.get("/files/download", params={"path": path}, timeout=aiohttp.ClientTimeout(5)) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "INVALID_FILE_PATH")


async def slow_download(files: Files, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Request a file and read only the headers of the response."""
    import socket

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", files.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=65536)
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    if request.startswith(b"POST"):
        await reader.readuntil(b"\r\n\r\n")  # the head of the part: by then the file is open
    return reader, writer


@pytest.fixture
def large(work: pathlib.Path) -> pathlib.Path:
    """Create a file larger than any socket buffer."""
    with (work / "large").open("wb") as file:
        file.truncate(200 * MIB)
    return work / "large"


BULK_BODY = b'{"paths":["large"]}'
REQUESTS = [
    b"GET /files/download?path=large HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /files/bulk-download HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BULK_BODY) + BULK_BODY,
]


@pytest.mark.parametrize("request_", REQUESTS, ids=["download", "bulk"])
async def test_file_that_shrinks_cuts_the_connection(files: Files, large: pathlib.Path, request_: bytes) -> None:
    reader, writer = await slow_download(files, request_)
    os.truncate(large, 100)
    received = b""
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - one operation
        while chunk := await reader.read(MIB):
            received = chunk
        raise ConnectionResetError("closed without the announced bytes")
    assert not received.endswith(b"--\r\n\r\n0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("request_", REQUESTS, ids=["download", "bulk"])
async def test_file_that_grows_is_sent_as_announced(files: Files, large: pathlib.Path, request_: bytes) -> None:
    reader, writer = await slow_download(files, request_)
    with large.open("ab") as file:
        file.write(b"MORE" * 1000)
    size, tail = 0, b""
    while chunk := await reader.read(MIB) if size < 200 * MIB else b"":
        size += len(chunk)
        tail = (tail + chunk)[-500:]
    assert b"MORE" not in tail
    writer.close()


@pytest.mark.parametrize("request_", REQUESTS, ids=["download", "bulk"])
async def test_client_that_leaves_frees_the_file(files: Files, large: pathlib.Path, request_: bytes) -> None:
    _, writer = await slow_download(files, request_)
    assert _opened(large)
    writer.transport.abort()
    async with asyncio.timeout(5):
        while _opened(large):
            await asyncio.sleep(0)


def _opened(path: pathlib.Path) -> bool:
    links = pathlib.Path("/proc/self/fd").iterdir()
    return any(os.path.exists(link) and os.readlink(link) == str(path) for link in links)


async def bulk_download(api: aiohttp.ClientSession, paths: list[str]) -> list[tuple[Any, bytes]]:
    async with api.post("/files/bulk-download", json={"paths": paths}) as answer:
        body = await answer.read()
        assert answer.status == 200
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return [(part, part.get_payload(decode=True)) for part in message.iter_parts()]


async def test_bulk_download_mixture(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "ok.txt").write_bytes(b"data")
    (work / "empty").touch()
    (work / "dir").mkdir()
    os.mkfifo(work / "fifo")
    paths = ["ok.txt", "gone", "dir", "", "empty", "fifo", "ok.txt", "./ok.txt", 'ä b\n"', "x\0y"]
    parts = await bulk_download(api, paths)
    assert [part.get_param("name", header="content-disposition") for part, _ in parts] == [
        "file",
        "error",
        "error",
        "error",
        "file",
        "error",
        "file",
        "file",
        "error",
        "error",
    ]
    assert parts[0][0]["Content-Length"] == "4"
    assert parts[0][0]["Content-Type"] == "text/plain"
    assert parts[0][1].strip() == b"data"
    errors = {
        path: json.loads(body)
        for path, (part, body) in zip(paths, parts, strict=True)
        if "json" in part["Content-Type"]
    }
    assert {path: (error["code"], error["statusCode"]) for path, error in errors.items()} == {
        "gone": ("FILE_NOT_FOUND", 404),
        "dir": ("INVALID_FILE_PATH", 400),
        "": ("INVALID_FILE_PATH", 400),
        "fifo": ("INVALID_FILE_PATH", 400),
        'ä b\n"': ("FILE_NOT_FOUND", 404),
        "x\0y": ("INVALID_FILE_PATH", 400),
    }
    assert all(error["source"] == "DAYTONA_DAEMON" and error["path"] == path for path, error in errors.items())


@pytest.mark.parametrize("size", SIZES)
async def test_bulk_download_is_byte_exact(api: aiohttp.ClientSession, work: pathlib.Path, size: int) -> None:
    (work / "a").write_bytes(BIG[:size])
    (work / "b").write_bytes(b"after")
    async with api.post("/files/bulk-download", json={"paths": ["a", "b"]}) as answer:
        body = await answer.read()
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    first, second = body.split(b"--" + boundary)[1:3]
    assert first.partition(b"\r\n\r\n")[2] == BIG[:size] + b"\r\n"
    assert second.partition(b"\r\n\r\n")[2] == b"after\r\n"
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")


async def test_bulk_download_boundary_cannot_be_guessed(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    (work / "a").touch()
    seen = set()
    for _ in range(3):
        async with api.post("/files/bulk-download", json={"paths": ["a"]}) as answer:
            seen.add(answer.headers["Content-Type"])
    assert len(seen) == 3


async def test_bulk_download_of_raw_paths(api: aiohttp.ClientSession, work: pathlib.Path) -> None:
    pathlib.Path(os.fsdecode(os.fsencode(work) + b"/\xff")).write_bytes(b"raw")
    async with api.post("/files/bulk-download", json={"rawPaths": ["%FF"]}) as answer:
        body = await answer.read()
    assert b"filename*=utf-8''%FF\r\n" in body
    assert b"\r\n\r\nraw\r\n" in body


@pytest.mark.parametrize("body", [b"", b"{}", b'{"paths":[]}', b"[]", b"nope", b'{"paths":"a"}'])
async def test_bulk_download_of_nothing(api: aiohttp.ClientSession, body: bytes) -> None:
    async with api.post("/files/bulk-download", data=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "INVALID_REQUEST_BODY")


@pytest.fixture
def tiny(work: pathlib.Path) -> Iterator[pathlib.Path]:
    """Mount a file system of 8 MB."""
    path = work / "tiny"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("shape", ["raw", "chunked", "form", "bulk"])
async def test_full_disk_during_upload(api: aiohttp.ClientSession, tiny: pathlib.Path, shape: str) -> None:
    old = BIG[: 2 * MIB]
    (tiny / "a").write_bytes(old)
    if shape == "bulk":
        parts = [("files[0].path", b"tiny/a"), ("files[1].path", b"tiny/ok")]
        parts += [("files[0].file", BIG), ("files[1].file", b"small")]
        answer = await send_bulk(api, parts, 507)
        assert answer["files"] == [{"path": "tiny/ok", "bytes": 5}]
        (tiny / "ok").unlink()
    else:
        body = {"raw": BIG, "chunked": pieces(BIG), "form": form(pieces(BIG))}[shape]
        answer = await upload(api, "tiny/a", body, 507)
    assert answer["code"] == "INSUFFICIENT_STORAGE"
    assert "no space left" in answer["message"]
    assert (tiny / "a").read_bytes() == old
    assert os.listdir(tiny) == ["a"]
    await upload(api, "tiny/new/b", BIG[: 5 * MIB])
    assert sorted(os.listdir(tiny)) == ["a", "new"]


async def test_full_disk_with_hard_links(api: aiohttp.ClientSession, tiny: pathlib.Path) -> None:
    """A file with hard links is overwritten in place; the old content survives a full disk there too."""
    old = BIG[: 3 * MIB]
    (tiny / "a").write_bytes(old)
    os.link(tiny / "a", tiny / "b")
    await upload(api, "tiny/a", pieces(BIG[: 4 * MIB + 5]), 507)
    assert (tiny / "b").read_bytes() == old
    assert sorted(os.listdir(tiny)) == ["a", "b"]


async def test_full_disk_during_replace(api: aiohttp.ClientSession, tiny: pathlib.Path) -> None:
    old = b"x" * (3 * MIB)
    (tiny / "a").write_bytes(old)
    body = {"files": ["tiny/a"], "pattern": "x", "newValue": "xxx"}
    async with api.post("/files/replace", json=body) as answer:
        (result,) = await answer.json()
    assert (result["success"], "no space left" in result["error"]) == (False, True)
    assert (tiny / "a").read_bytes() == old
    assert os.listdir(tiny) == ["a"]


async def test_full_disk_during_move_and_copy(
    api: aiohttp.ClientSession, work: pathlib.Path, tiny: pathlib.Path
) -> None:
    (work / "tree" / "inner").mkdir(parents=True)
    (work / "tree" / "small").write_bytes(b"small")
    (work / "tree" / "inner" / "big").write_bytes(BIG)
    for operation in ("move", "copy"):
        query = {"source": "tree", "destination": "tiny/tree"}
        async with api.post(f"/files/{operation}", params=query) as answer:
            assert answer.status == 507
        assert os.listdir(tiny) == []
        assert (work / "tree/inner/big").read_bytes() == BIG
