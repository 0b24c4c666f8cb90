"""Every terminal method of the published SDKs, byte for byte: Python sync and async, TypeScript, old Python."""

# ruff: noqa: E501 - JavaScript inside of strings

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.conftest import Target
from tests.terminal_client import same

DATA = bytes(range(256)) * 2000
# From ``begin`` on only the data comes: the shell has made way for a program, and nothing is translated.
SCRIPT = "stty -echo -opost; exec sh -c \"printf 'be''gin'; cat '{path}'; exit {code}\"\n"
PTY_VERSIONS = ("0.115.2", "0.150.0", "0.166.0")


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=["sync", "async"])
def terminals(request: pytest.FixtureRequest) -> Terminals:
    sandbox = request.getfixturevalue("sdk" if request.param == "sync" else "async_sdk")
    return Terminals(sandbox.process, request.param)


class Terminals:
    """The terminal methods of the sync or the async SDK behind the same awaits."""

    def __init__(self, process: Any, kind: str) -> None:
        self._process = process
        self._sync = kind == "sync"

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        if self._sync:
            return await asyncio.to_thread(getattr(self._process, method), *args, **options)
        return await getattr(self._process, method)(*args, **options)

    async def open(self, method: str, *args: Any, **options: Any) -> Handle:
        seen = bytearray()
        if not self._sync:
            options["on_data"] = seen.extend
        return Handle(await self(method, *args, **options), seen, sync=self._sync)


class Handle:
    """What ``create_pty_session`` returns, the same for both."""

    def __init__(self, handle: Any, seen: bytearray, *, sync: bool) -> None:
        self.handle = handle
        self.seen = seen
        self._sync = sync

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        call = getattr(self.handle, method)
        return await asyncio.to_thread(call, *args, **options) if self._sync else await call(*args, **options)

    async def end(self) -> Any:
        """Return the result, with all output in ``seen``."""
        return await (self("wait", on_data=self.seen.extend) if self._sync else self("wait"))

    async def until(self, text: bytes) -> None:
        """Read until the output has a text."""
        while text not in self.seen:
            if self._sync:
                await self("wait", on_data=self.seen.extend, timeout=0.05)
            else:
                await asyncio.sleep(0.01)


async def test_output_is_complete_and_untouched(terminals: Terminals, data: pathlib.Path) -> None:
    handle = await terminals.open("create_pty_session", id="bytes")
    await handle("send_input", SCRIPT.format(path=data, code=0))
    result = await handle.end()
    assert (result.exit_code, result.error) == (0, None)
    assert same(handle.seen.partition(b"begin")[2], DATA)
    await handle("disconnect")


@pytest.mark.parametrize(("code", "reason"), [(5, "non-zero exit"), (137, "SIGKILL"), (130, "Ctrl+C")])
async def test_exit_code_and_reason(terminals: Terminals, code: int, reason: str) -> None:
    handle = await terminals.open("create_pty_session", id="code")
    await handle("send_input", f"exit {code}\n")
    result = await handle.end()
    assert (result.exit_code, result.error) == (code, reason)
    await handle("disconnect")


async def test_directory_variables_and_size(terminals: Terminals, target: Target) -> None:
    from daytona.common.pty import PtySize

    handle = await terminals.open(
        "create_pty_session", id="where", cwd="/tmp", envs={"MINE": "vérité " * 100}, pty_size=PtySize(cols=99, rows=31)
    )
    info = await terminals("get_pty_session_info", "where")
    assert (info.id, info.cwd, info.cols, info.rows, info.active, info.lazy_start) == (
        "where",
        "/tmp",
        99,
        31,
        True,
        False,
    )
    assert info.envs == {"TERM": "xterm-256color", "MINE": "vérité " * 100}
    await handle("send_input", "echo ${#MINE} $PWD; stty size\n")
    await handle.until(b"700 /tmp\r\n31 99\r\n")
    assert (await handle("resize", PtySize(cols=120, rows=40))).cols == 120
    await handle("send_input", b"stty size\n")
    await handle.until(b"40 120\r\n")
    assert "where" in [each.id for each in await terminals("list_pty_sessions")]
    await handle("kill")
    result = await handle.end()
    assert (result.exit_code, result.error) == (137, "SIGKILL")
    assert "where" not in [each.id for each in await terminals("list_pty_sessions")]
    await handle("disconnect")


async def test_reconnect_sees_what_was_written_meanwhile(terminals: Terminals) -> None:
    handle = await terminals.open("create_pty_session", id="again")
    await handle("send_input", "(read x; echo la''ter) </dev/tty; echo fi''rst\n")
    await handle("disconnect")
    handle = await terminals.open("connect_pty_session", "again")
    await handle("send_input", "\n")
    await handle.until(b"first")
    assert b"later" in handle.seen
    await terminals("kill_pty_session", "again")
    assert (await handle.end()).exit_code == 137
    await handle("disconnect")


async def test_errors_are_precise(terminals: Terminals) -> None:
    from daytona.common import errors
    from daytona.common.pty import PtySize

    first = await terminals.open("create_pty_session", id="taken")
    with pytest.raises(errors.DaytonaConflictError):
        await terminals.open("create_pty_session", id="taken")
    with pytest.raises(errors.DaytonaBadRequestError):
        await terminals.open("create_pty_session", id="wide", pty_size=PtySize(cols=1001, rows=1))
    with pytest.raises(errors.DaytonaProcessNotFoundError, match="PTY session not found"):
        await terminals("get_pty_session_info", "nobody")
    with pytest.raises(errors.DaytonaProcessNotFoundError, match="PTY session not found"):
        await terminals("kill_pty_session", "nobody")
    with pytest.raises(errors.DaytonaGoneError):
        await terminals("resize_pty_session", "nobody", PtySize(cols=80, rows=24))
    with pytest.raises(errors.DaytonaError, match="PTY session nobody not found"):
        await terminals.open("connect_pty_session", "nobody")
    await first("kill")
    await first("disconnect")


async def test_paste(terminals: Terminals, tmp_path: pathlib.Path) -> None:
    text = b"".join(b"%07d\n" % number for number in range(128 * 1024))
    handle = await terminals.open("create_pty_session", id="paste", cwd=str(tmp_path))
    await handle("send_input", "stty -echo; echo re''ady; cat >pasted; echo do''ne\n")
    await handle.until(b"ready")
    await handle("send_input", text)
    await handle("send_input", "\x04")
    await handle.until(b"done")
    assert same((tmp_path / "pasted").read_bytes(), text)
    await handle("kill")
    await handle("disconnect")


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Have more programs want the processors than there are."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_sync_create_under_load(sdk: Any) -> None:
    """It waits 0.1 s for the first frame, and fails without a message if that is late."""
    with busy():
        for number in range(10):
            handle = sdk.process.create_pty_session(id=f"load{number}")
            sdk.process.kill_pty_session(f"load{number}")
            handle.disconnect()


@pytest.mark.soak
@pytest.mark.timeout(120)
async def test_connection_stays_up_while_nothing_happens(terminals: Terminals) -> None:
    """Both clients ping every 20 s, and hang up without an answer."""
    handle = await terminals.open("create_pty_session", id="idle")
    await handle.until(b"$" if os.getuid() else b"#")
    await asyncio.sleep(65)
    await handle("send_input", "echo still he''re\n")
    await handle.until(b"still here")
    await handle("kill")
    await handle("disconnect")


def test_typescript(ts: Callable[[str], Any], data: pathlib.Path) -> None:
    script = SCRIPT.format(path=data, code=5).replace("\n", "\\n").replace('"', '\\"')
    answer = ts(f"""
        const parts = [];
        const p = sandbox.process;
        const h = await p.createPty({{id: 'ts', cwd: '/tmp', envs: {{A: 'b'}}, cols: 90, rows: 20, onData: (d) => {{ parts.push(Buffer.from(d)) }}}});
        await h.waitForConnection();
        const info = await p.getPtySessionInfo('ts');
        await h.sendInput("{script}");
        const result = await h.wait();
        await new Promise((done) => setTimeout(done, 300));
        await h.disconnect();
        return {{info, result, data: Buffer.concat(parts).toString('base64')}};
    """)
    assert answer["result"] == {"exitCode": 5, "error": "non-zero exit"}
    assert same(base64.b64decode(answer["data"]).partition(b"begin")[2], DATA)
    info = answer["info"]
    assert (info["cwd"], info["cols"], info["rows"], info["envs"]["A"]) == ("/tmp", 90, 20, "b")


def test_typescript_reconnect_resize_kill_and_errors(ts: Callable[[str], Any]) -> None:
    answer = ts("""
        const p = sandbox.process;
        const text = async (h, parts, wanted) => { while (!Buffer.concat(parts).toString().includes(wanted)) await new Promise((d) => setTimeout(d, 10)) };
        const one = [], two = [];
        const first = await p.createPty({id: 'ts2', onData: (d) => { one.push(Buffer.from(d)) }});
        await first.waitForConnection();
        await first.sendInput("echo fi''rst\\n");
        await text(first, one, 'first');
        await first.disconnect();
        const second = await p.connectPty('ts2', {onData: (d) => { two.push(Buffer.from(d)) }});
        await second.waitForConnection();
        await text(second, two, 'first');
        const size = await second.resize(111, 22);
        await second.sendInput('stty size\\n');
        await text(second, two, '22 111');
        const listed = (await p.listPtySessions()).map((each) => each.id);
        const fails = [];
        for (const call of [() => p.createPty({id: 'ts2', onData: () => {}}), () => p.connectPty('nobody', {onData: () => {}}), () => p.getPtySessionInfo('nobody'), () => p.resizePtySession('nobody', 1, 1)])
          await call().then((h) => h && h.waitForConnection ? h.waitForConnection() : h).then(() => fails.push('none'), (error) => fails.push(error.message));
        await second.kill();
        const result = await second.wait();
        return {size: [size.cols, size.rows], listed, fails, result};
    """)
    assert answer["size"] == [111, 22]
    assert "ts2" in answer["listed"]
    taken, nobody, missing, dead = answer["fails"]
    assert "PTY session with id 'ts2' already exists" in taken
    assert "PTY session nobody not found" in nobody
    assert "PTY session not found" in missing
    assert "PTY session not found" in dead
    assert answer["result"] == {"exitCode": 137, "error": "SIGKILL"}


@pytest.mark.parametrize("version", PTY_VERSIONS)
def test_old_releases(old_sdk: Callable[[str, str], Any], version: str, data: pathlib.Path) -> None:
    """They create a terminal that starts with the first connection, and know no ``exited``."""
    answer = old_sdk(
        version,
        f"""
import base64
from daytona.common.pty import PtySize
seen = bytearray()
p = sandbox.process
h = p.create_pty_session(id="old", cwd="/tmp", envs={{"A": "b"}}, pty_size=PtySize(cols=90, rows=20))
h.wait_for_connection()
info = p.get_pty_session_info("old")
h.send_input({SCRIPT.format(path=data, code=5)!r})
end = h.wait(on_data=seen.extend)
h.disconnect()
other = p.create_pty_session(id="old2")
other.kill()
killed = other.wait()
result = [info.cols, info.active, info.lazy_start, end.exit_code, end.error, killed.exit_code, base64.b64encode(seen).decode()]
""",
    )
    assert answer[:-1] == [90, True, True, 5, "non-zero exit", 137]
    assert same(base64.b64decode(answer[-1]).partition(b"begin")[2], DATA)
