"""Every file method of the published SDKs: Python sync and async through one set of tests, TypeScript, old Python."""

# ruff: noqa: E501 - JavaScript inside of strings

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import pathlib
import random
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.contract.conftest import OLD_VERSIONS, Target

MIB = 1024 * 1024
NAMES = [
    "a b",
    "+",
    "%41",
    '"',
    "\\",
    "'",
    ";",
    "line\nend",
    " lead",
    "trail ",
    "😀",
    "文件",
    "e\u0301",
    "x" * 255,
    "-rf",
    "~",
]
SIZES = [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 7 * MIB + 3]
DATA = random.Random(7).randbytes(8 * MIB)


class Fs:
    """The ``fs`` object of the sync or the async SDK behind the same awaits."""

    def __init__(self, fs: Any, kind: str) -> None:
        self.fs = fs
        self.kind = kind

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        call = getattr(self.fs, method)
        if self.kind == "sync":
            return await asyncio.to_thread(call, *args, **options)
        return await call(*args, **options)

    async def stream(self, path: str, **options: Any) -> AsyncIterator[bytes]:
        if self.kind == "sync":
            source = self.fs.download_file_stream(path, **options)
            try:
                while (chunk := await asyncio.to_thread(next, source, None)) is not None:
                    yield chunk
            finally:
                await asyncio.to_thread(source.close)
        else:
            async for chunk in await self.fs.download_file_stream(path, **options):
                yield chunk


@pytest.fixture(params=["sync", "async"])
def fs(request: pytest.FixtureRequest) -> Fs:
    """Return the file methods of both Python SDKs in turn."""
    return Fs(request.getfixturevalue("sdk" if request.param == "sync" else "async_sdk").fs, request.param)


@pytest.fixture
def work(target: Target, tmp_path: pathlib.Path) -> str:
    """Return a fresh folder below the working directory, as the SDK addresses it."""
    folder = target.workdir / tmp_path.name
    folder.mkdir()
    return tmp_path.name


@pytest.fixture
def disk(target: Target, work: str) -> pathlib.Path:
    """Return the same folder as the machine has it."""
    return target.workdir / work


async def put(fs: Fs, path: str, data: bytes, disk: pathlib.Path) -> None:
    """Upload; the async SDK itself refuses line ends in names, so such a file is made on the disk."""
    if fs.kind == "async" and "\n" in path:
        (disk / "d").mkdir()
        (disk / "d" / path.rpartition("/")[2]).write_bytes(data)
    else:
        await fs("upload_file", data, path)


@pytest.mark.parametrize("name", NAMES)
async def test_names_through_every_method(fs: Fs, work: str, disk: pathlib.Path, name: str) -> None:
    path = f"{work}/d/{name}"
    await put(fs, path, b"some needle", disk)
    assert (disk / "d" / name).read_bytes() == b"some needle"
    (entry,) = await fs("list_files", f"{work}/d")
    assert (entry.name, entry.path, entry.is_dir, entry.size) == (name, path, False, 11)
    assert (await fs("get_file_info", path)).name == name
    assert await fs("download_file", path) == b"some needle"
    assert b"".join([chunk async for chunk in fs.stream(path)]) == b"some needle"
    assert [match.file for match in await fs("find_files", f"{work}/d", "needle")] == [path]
    assert path in (await fs("search_files", f"{work}/d", "*")).files
    (result,) = await fs("replace_in_files", [path], "needle", "pin")
    assert (result.file, result.success) == (path, True)
    await fs("set_file_permissions", path, mode="600")
    assert (await fs("get_file_info", path)).permissions == "0600"
    await fs("move_files", path, f"{work}/moved")
    assert (disk / "moved").read_bytes() == b"some pin"
    await fs("delete_file", f"{work}/moved")
    await fs("delete_file", f"{work}/d", True)
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("size", SIZES)
async def test_contents_of_every_size(fs: Fs, work: str, disk: pathlib.Path, tmp_path: pathlib.Path, size: int) -> None:
    data = DATA[:size]
    local = tmp_path / "local"
    local.write_bytes(data)
    await fs("upload_file", data, f"{work}/bytes")
    await fs("upload_file", str(local), f"{work}/path")
    await fs("upload_file_stream", io.BytesIO(data), f"{work}/stream")
    for name in ("bytes", "path", "stream"):
        assert (disk / name).read_bytes() == data
        assert await fs("download_file", f"{work}/{name}") == data
    await fs("download_file", f"{work}/path", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert sorted(os.listdir(disk)) == ["bytes", "path", "stream"]


async def test_progress_of_streams(fs: Fs, work: str) -> None:
    sent: list[int] = []
    await fs(
        "upload_file_stream",
        io.BytesIO(DATA),
        f"{work}/a",
        on_progress=lambda progress: sent.append(progress.bytes_sent),
    )
    assert sent[-1] == len(DATA)
    seen: list[tuple[int, int | None]] = []
    stream = fs.stream(
        f"{work}/a", on_progress=lambda progress: seen.append((progress.bytes_received, progress.total_bytes))
    )
    assert b"".join([chunk async for chunk in stream]) == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert {total for _, total in seen} == {len(DATA)}


async def test_download_cancelled_in_the_middle(fs: Fs, work: str, disk: pathlib.Path, target: Target) -> None:
    from daytona.common.errors import DaytonaError

    with (disk / "large").open("wb") as file:
        file.truncate(5 << 30)
    cancel = threading.Event()
    with pytest.raises(DaytonaError, match=r"(?i)cancelled"):  # noqa: PT012
        async for _ in fs.stream(f"{work}/large", cancel_event=cancel):
            cancel.set()
    await _released(target.pid, disk / "large")


async def _released(pid: int, path: pathlib.Path) -> None:
    """Wait until the server has let go of a file."""
    async with asyncio.timeout(10):
        while str(path) in {
            os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir() if os.path.lexists(link)
        }:
            await asyncio.sleep(0.01)


class Cancelling(io.BytesIO):
    """Set an event once half of it was read."""

    def __init__(self, data: bytes, cancel: threading.Event) -> None:
        super().__init__(data)
        self._cancel = cancel

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            self._cancel.set()
        return super().read(size)


async def test_upload_cancelled_in_the_middle(fs: Fs, work: str, disk: pathlib.Path) -> None:
    from daytona.common.errors import DaytonaError

    (disk / "a").write_bytes(b"old")
    cancel = threading.Event()
    with pytest.raises(DaytonaError):
        await fs("upload_file_stream", Cancelling(DATA, cancel), f"{work}/a", cancel_event=cancel)
    # The daemon notices the lost connection at its own pace; a later request shows that it goes on.
    assert (await fs("get_file_info", f"{work}/a")).size == 3
    assert (disk / "a").read_bytes() == b"old"
    assert os.listdir(disk) == ["a"]


async def test_many_files_at_once(fs: Fs, work: str, disk: pathlib.Path) -> None:
    from daytona import FileDownloadRequest, FileUpload

    contents = {f"{work}/m {number}/ä{number}": DATA[number * 1000 : number * 5000] for number in range(20)}
    await fs("upload_files", [FileUpload(source=data, destination=path) for path, data in contents.items()])
    wanted = [*contents, f"{work}/gone", f"{work}/m 0"]
    answers = await fs("download_files", [FileDownloadRequest(source=path) for path in wanted])
    by_path = {answer.source: answer for answer in answers}
    assert {path: by_path[path].result for path in contents} == contents
    codes = {path: by_path[path].error_details.code for path in wanted[len(contents) :]}
    assert codes == {f"{work}/gone": "FILE_NOT_FOUND", f"{work}/m 0": "INVALID_FILE_PATH"}


async def test_upload_errors_name_every_failure(fs: Fs, work: str, disk: pathlib.Path) -> None:
    from daytona import FileUpload
    from daytona.common.errors import DaytonaError

    (disk / "dir").mkdir()
    files = [FileUpload(source=b"x", destination=f"{work}/{name}") for name in ("ok", "dir", "dir", "fine")]
    with pytest.raises(DaytonaError, match="is a directory") as caught:
        await fs("upload_files", files)
    assert caught.value.status_code == 400
    assert (disk / "ok").read_bytes() == (disk / "fine").read_bytes() == b"x"


async def test_list_depth_and_root(fs: Fs, work: str, disk: pathlib.Path, target: Target) -> None:
    (disk / "a" / "b" / "c").mkdir(parents=True)
    (disk / "broken").symlink_to("nowhere")
    two = await fs("list_files", work, 2)
    assert [entry.path for entry in two] == [f"{work}/a", f"{work}/a/b", f"{work}/broken"]
    assert work in [entry.name for entry in await fs("list_files", "")]
    assert await fs("list_files", f"{work}/a/b/c") == []


async def test_listing_survives_a_name_that_is_not_utf8(fs: Fs, work: str, disk: pathlib.Path, target: Target) -> None:
    pathlib.Path(os.fsdecode(os.fsencode(disk) + b"/\xff")).write_bytes(b"x")
    (entry,) = await fs("list_files", work)
    assert entry.name == "\ufffd"
    raw = entry.additional_properties["rawName"]
    url = f"{target.url}/files/download?path={work}/{raw}"
    assert urllib.request.urlopen(url).read() == b"x"


async def test_folder_move_permissions_delete(fs: Fs, work: str, disk: pathlib.Path) -> None:
    await fs("create_folder", f"{work}/x/y", "700")
    await fs("upload_file", b"1", f"{work}/x/y/f")
    await fs("move_files", f"{work}/x", f"{work}/z")
    await fs("set_file_permissions", f"{work}/z/y/f", mode="640", owner="nobody", group="daemon")
    info = await fs("get_file_info", f"{work}/z/y/f")
    assert (info.permissions, info.mode, info.owner, info.group) == ("0640", "-rw-r-----", "65534", "1")
    await fs("delete_file", f"{work}/z", recursive=True)
    assert list(disk.iterdir()) == []


async def test_find_search_replace(fs: Fs, work: str, disk: pathlib.Path) -> None:
    (disk / "a.py").write_text("x = (1)\r\ny = (1)\n")
    (disk / "b.txt").write_text("none")
    matches = await fs("find_files", work, "(1)")
    assert [(match.file, match.line, match.content) for match in matches] == [
        (f"{work}/a.py", 1, "x = (1)"),
        (f"{work}/a.py", 2, "y = (1)"),
    ]
    assert await fs("find_files", work, "nowhere") == []
    assert (await fs("search_files", work, "*.py")).files == [f"{work}/a.py"]
    results = await fs("replace_in_files", [f"{work}/a.py", f"{work}/gone"], "(1)", "(2)")
    assert [(result.success, bool(result.error)) for result in results] == [(True, False), (False, True)]
    assert (disk / "a.py").read_bytes() == b"x = (2)\r\ny = (2)\n"


FAILURES = [
    ("list_files", ("gone",), "DaytonaFileNotFoundError"),
    ("get_file_info", ("gone",), "DaytonaFileNotFoundError"),
    ("download_file", ("gone",), "DaytonaFileNotFoundError"),
    ("download_file", ("dir",), "DaytonaInvalidFilePathError"),
    ("delete_file", ("gone",), "DaytonaFileNotFoundError"),
    ("delete_file", ("dir",), "DaytonaBadRequestError"),
    ("move_files", ("gone", "x"), "DaytonaFileNotFoundError"),
    ("move_files", ("file", "dir"), "DaytonaConflictError"),
    ("set_file_permissions", ("gone", "600"), "DaytonaFileNotFoundError"),
    ("set_file_permissions", ("file", "9"), "DaytonaBadRequestError"),
    ("create_folder", ("file", "755"), "DaytonaBadRequestError"),
    ("list_files", ("file",), "DaytonaInvalidFilePathError"),
]


@pytest.mark.parametrize(("method", "paths", "expected"), FAILURES)
async def test_failures_have_their_own_classes(
    fs: Fs, work: str, disk: pathlib.Path, method: str, paths: tuple[str, ...], expected: str
) -> None:
    from daytona.common import errors

    (disk / "dir").mkdir()
    (disk / "file").touch()
    count = 2 if method == "move_files" else 1
    args = [f"{work}/{path}" for path in paths[:count]] + list(paths[count:])
    with pytest.raises(getattr(errors, expected)) as caught:
        await fs(method, *args)
    assert paths[0] in str(caught.value) or "invalid mode" in str(caught.value)


async def test_async_stream_of_an_async_iterable(async_sdk: Any, work: str, disk: pathlib.Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 100_000):
            yield DATA[start : start + 100_000]

    await async_sdk.fs.upload_file_stream(chunks(), f"{work}/a")
    assert (disk / "a").read_bytes() == DATA


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("size", [256 * MIB, pytest.param(5 << 30, marks=pytest.mark.soak)])
async def test_large_file_is_streamed(fs: Fs, work: str, disk: pathlib.Path, target: Target, size: int) -> None:
    """A sparse file with marks at its end: right in size, content and in what the daemon needs for it."""
    with (disk / "large").open("wb") as file:
        file.truncate(size)
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    before = _resident(target.pid)
    assert (await fs("get_file_info", f"{work}/large")).size == size
    received, tail = 0, b""
    async for chunk in fs.stream(f"{work}/large"):
        received += len(chunk)
        tail = chunk
    assert (received, tail[-3:]) == (size, b"end")
    assert _resident(target.pid) - before < 32 * MIB


async def test_size_beyond_four_gigabytes(fs: Fs, work: str, disk: pathlib.Path) -> None:
    with (disk / "large").open("wb") as file:
        file.truncate(5 << 30)
    assert (await fs("get_file_info", f"{work}/large")).size == 5 << 30


def _resident(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_typescript(ts: Callable[[str], Any], work: str, disk: pathlib.Path, tmp_path: pathlib.Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(DATA)
    (disk / "dir").mkdir()
    result = ts(
        f"""
        const fs = sandbox.fs, work = {work!r}, local = {str(local)!r};
        const {{Readable}} = require('stream'), node = require('fs'), crypto = require('crypto');
        const hash = (data) => crypto.createHash('sha256').update(data).digest('hex');
        const names = {NAMES!r};
        const out = {{}};
        await fs.uploadFiles(names.map((name) => ({{source: Buffer.from('some needle'), destination: work + '/n/' + name}})));
        out.names = (await fs.listFiles(work + '/n')).map((entry) => entry.name);
        out.contents = [];
        for (const name of names) {{
          const path = work + '/n/' + name;
          out.contents.push([(await fs.getFileDetails(path)).size, (await fs.downloadFile(path)).toString()]);
        }}
        await fs.uploadFile(local, work + '/big');
        await fs.uploadFile(Buffer.alloc(0), work + '/empty');
        out.empty = (await fs.downloadFile(work + '/empty')).length;
        const sent = [];
        await fs.uploadFileStream(node.createReadStream(local), work + '/stream', {{onProgress: (p) => sent.push(p.bytesSent)}});
        out.sent = sent[sent.length - 1];
        const seen = [], parts = [];
        const stream = await fs.downloadFileStream(work + '/big', {{onProgress: (p) => seen.push([p.bytesReceived, p.totalBytes])}});
        for await (const part of stream) parts.push(part);
        out.seen = seen[seen.length - 1];
        out.hash = hash(Buffer.concat(parts));
        await fs.downloadFile(work + '/big', {str(tmp_path / "back")!r});
        const many = await fs.downloadFiles([{{source: work + '/big'}}, {{source: work + '/gone'}}, {{source: work + '/dir'}}]);
        out.many = many.map((one) => [one.source, one.errorDetails ? one.errorDetails.code || one.errorDetails.errorCode : null]);
        const stop = new AbortController();
        try {{
          const cut = await fs.downloadFileStream(work + '/big', {{signal: stop.signal}});
          for await (const part of cut) stop.abort();
          out.cut = 'not cut';
        }} catch (error) {{ out.cut = 'cut' }}
        const half = new AbortController();
        const slow = Readable.from((async function* () {{
          yield Buffer.alloc(1e6); half.abort(); await new Promise((go) => setTimeout(go, 200)); yield Buffer.alloc(1e6);
        }})());
        try {{ await fs.uploadFileStream(slow, work + '/empty', {{signal: half.signal}}); out.half = 'whole' }}
        catch (error) {{ out.half = 'cut' }}
        out.empty_after = (await fs.getFileDetails(work + '/empty')).size;
        await fs.createFolder(work + '/made/deep', '750');
        await fs.setFilePermissions(work + '/big', {{mode: '600', owner: 'nobody'}});
        const info = await fs.getFileDetails(work + '/big');
        out.info = [info.permissions, info.owner];
        out.found = (await fs.findFiles(work + '/n', 'needle')).length;
        out.search = (await fs.searchFiles(work, 'dee*')).files;
        out.replace = await fs.replaceInFiles([work + '/n/+', work + '/gone'], 'needle', 'pin');
        await fs.moveFiles(work + '/made', work + '/moved');
        out.depth = (await fs.listFiles(work + '/moved', {{depth: 3}})).map((entry) => entry.path);
        await fs.deleteFile(work + '/moved', true);
        await fs.deleteFile(work + '/stream');
        out.errors = [];
        for (const call of [() => fs.getFileDetails(work + '/gone'), () => fs.moveFiles(work + '/big', work + '/dir'),
                            () => fs.deleteFile(work + '/dir'), () => fs.uploadFile(Buffer.from('x'), work + '/dir')]) {{
          try {{ await call(); out.errors.push(null) }} catch (error) {{ out.errors.push([error.constructor.name, error.statusCode]) }}
        }}
        return out;
        """
    )
    digest = hashlib.sha256(DATA).hexdigest()
    assert sorted(result["names"]) == sorted(NAMES)
    assert result["contents"] == [[11, "some needle"]] * len(NAMES)
    assert result["sent"] == len(DATA)
    assert (result["seen"], result["hash"]) == ([len(DATA), len(DATA)], digest)
    assert (tmp_path / "back").read_bytes() == DATA
    assert result["many"] == [
        [f"{work}/big", None],
        [f"{work}/gone", "FILE_NOT_FOUND"],
        [f"{work}/dir", "INVALID_FILE_PATH"],
    ]
    assert (result["cut"], result["half"], result["empty"], result["empty_after"]) == ("cut", "cut", 0, 0)
    assert result["info"] == ["0600", "65534"]
    assert (result["found"], result["search"]) == (len(NAMES), [f"{work}/made/deep"])
    assert [item["success"] for item in result["replace"]] == [True, False]
    assert result["depth"] == [f"{work}/moved/deep"]
    assert result["errors"] == [
        ["DaytonaFileNotFoundError", 404],
        ["DaytonaConflictError", 409],
        ["DaytonaValidationError", 400],
        result["errors"][3],
    ]
    assert result["errors"][3][1] == 400
    assert sorted(os.listdir(disk)) == ["big", "dir", "empty", "n"]


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_old_sdks(old_sdk: Callable[[str, str], Any], version: str, work: str, disk: pathlib.Path) -> None:
    result = old_sdk(
        version,
        f"""
fs, work = sandbox.fs, {work!r}
fs.create_folder(work + "/d", "755")
if {version!r} == "0.25.6" and "bytes" not in str(fs.upload_file.__annotations__):
    fs.upload_file(work + "/d/a b.txt", b"some needle")
else:
    fs.upload_file(b"some needle", work + "/d/a b.txt")
out = [fs.download_file(work + "/d/a b.txt").decode()]
out.append([entry.name for entry in fs.list_files(work + "/d")])
info = fs.get_file_info(work + "/d/a b.txt")
out.append([info.size, info.permissions, info.is_dir])
out.append([match.line for match in fs.find_files(work, "needle")])
out.append([file[file.index(work):] for file in fs.search_files(work, "*.txt").files])
out.append([item.success for item in fs.replace_in_files([work + "/d/a b.txt"], "needle", "pin")])
fs.set_file_permissions(work + "/d/a b.txt", mode="600")
fs.move_files(work + "/d/a b.txt", work + "/moved")
fs.delete_file(work + "/moved")
result = out
""",
    )
    path = f"{work}/d/a b.txt"
    assert result == ["some needle", ["a b.txt"], [11, "0644", False], [1], [path], [True]]
