from __future__ import annotations

import asyncio
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.timing import bare_spawn
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.pages import LateAnswers
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.exec.api import ExecApi
from toolbox.process.exec.commands import Commands
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry

MIB = 1024 * 1024


class Served:
    """An HTTP server with exec."""

    def __init__(self, home: pathlib.Path, **beats: float) -> None:
        self.home = home
        self.env = Environment({"PATH": os.environ["PATH"], "HOME": str(home), "TOOLBOX_TOKEN": "x"})
        self.spool = Spool(home / "spool")
        self.procs = Procs(self.spool)
        shells = Shells(self.env.get)
        self.registry = Registry()
        context = ProcessContext(self.procs, self.env, shells, self.spool, self.registry, workdir=str(home))
        self.exec = Commands(context, max_output=16 * MIB)
        routes = collect(ExecApi(self.exec, LateAnswers(**beats)))
        self.server = HttpServer(routes, Access(SigningKeys()), sandbox_id="box")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def __aenter__(self) -> Served:
        await self.server.start([self.listener])
        return self

    async def stop(self) -> None:
        await asyncio.gather(self.exec.close(), self.server.drain(5))

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.exec.release()
        await self.registry.close()
        await self.procs.close()
        await self.spool.close()
        await self.server.close()


@pytest.fixture
async def server(clean_environment: pathlib.Path) -> AsyncIterator[Served]:
    async with Served(clean_environment) as served:
        yield served


@pytest.fixture
async def client(server: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def execute(client: aiohttp.ClientSession, command: Any, status: int = 200, **fields: Any) -> dict[str, Any]:
    async with client.post("/process/execute", json={"command": command, **fields}) as response:
        body = await response.json()
        assert response.status == status, body
        return body


def alive(pid: int) -> bool:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int) -> None:
    os.kill(pid, 9)


@pytest.mark.parametrize(
    ("command", "code", "result"),
    [
        ("echo hello; echo err >&2; exit 3", 3, "hello\nerr\n"),
        ("true", 0, ""),
        ("false", 1, ""),
        ("exit 255", 255, ""),
        ("kill -9 $$", 137, ""),
        ("sh -c 'kill -TERM $$'; exit $?", 143, None),
        ("cat\necho hi", 0, "hi\n"),
        ("read x; echo end $?", 0, "end 1\n"),
        ("printf '\\xff\\xfe ok'", 0, "\ufffd\ufffd ok"),
        ("printf 'no newline'", 0, "no newline"),
        ("printf 'a\\0b'", 0, "a\0b"),
        ('echo \'dtn_artifact_k39fd2:{"type":"chart"}\'', 0, 'dtn_artifact_k39fd2:{"type":"chart"}\n'),
        ("echo ünïcödé 🎉", 0, "ünïcödé 🎉\n"),
        ("for i in 1 2 3\ndo\necho $i\ndone", 0, "1\n2\n3\n"),
        ("echo one\nif fi", None, None),
    ],
)
async def test_result_and_exit_code(
    client: aiohttp.ClientSession, command: str, code: int | None, result: str | None
) -> None:
    body = await execute(client, command)
    assert set(body) == {"exitCode", "result"}
    assert type(body["exitCode"]) is int
    assert code is None or body["exitCode"] == code
    assert result is None or body["result"] == result


async def test_error_in_the_script_does_not_stop_the_lines_before(client: aiohttp.ClientSession) -> None:
    body = await execute(client, "echo one\nif fi; x\necho three")
    assert body["result"].startswith("one\n")
    assert "three\n" not in body["result"].splitlines()
    assert body["exitCode"] != 0


async def test_command_not_found_and_not_executable(client: aiohttp.ClientSession) -> None:
    missing = await execute(client, "no-such-program-here")
    assert missing["exitCode"] == 127
    assert "not found" in missing["result"]
    assert (await execute(client, "/etc/passwd"))["exitCode"] == 126


async def test_shell_is_the_first_of_the_preferred_ones(client: aiohttp.ClientSession) -> None:
    body = await execute(
        client, 'command -v zsh || command -v bash || command -v sh\nreadlink /proc/$$/exe; basename "$0"'
    )
    best, exe, zero = body["result"].split()
    assert os.path.realpath(best) == exe
    assert pathlib.Path(best).name == zero


async def test_commands_start_in_the_working_directory(client: aiohttp.ClientSession, server: Served) -> None:
    (server.home / "sub").mkdir()
    assert (await execute(client, "pwd"))["result"] == f"{server.home}\n"
    assert (await execute(client, "pwd", cwd="sub"))["result"] == f"{server.home}/sub\n"
    assert (await execute(client, "pwd", cwd="~/sub"))["result"] == f"{server.home}/sub\n"
    assert (await execute(client, "pwd", cwd="/tmp"))["result"] == "/tmp\n"
    assert (await execute(client, "pwd", cwd=""))["result"] == f"{server.home}\n"


@pytest.mark.parametrize(
    ("cwd", "text"),
    [("/x", "chdir /x: no such file or directory"), ("/etc/passwd", "chdir /etc/passwd: not a directory")],
)
async def test_bad_directory_is_an_outcome(client: aiohttp.ClientSession, cwd: str, text: str) -> None:
    assert await execute(client, "pwd", cwd=cwd) == {"exitCode": 1, "result": text}


async def test_variables_of_the_request_and_of_the_sandbox(client: aiohttp.ClientSession, server: Served) -> None:
    server.env.update({"KEPT": "sandbox", "OVER": "sandbox"})
    show = "echo $KEPT $OVER $ALIAS; env | grep -c ^TOOLBOX_"
    body = await execute(client, show, envs={"OVER": "request"}, env={"ALIAS": "alias", "OVER": "loses"})
    assert body["result"] == "sandbox request alias\n0\n"


async def test_no_time_limit_unless_asked(client: aiohttp.ClientSession) -> None:
    assert (await execute(client, "sleep 0.3; echo ok", timeout=0))["result"] == "ok\n"


@pytest.mark.parametrize("limit", [1, 0.4])
async def test_timeout_kills_the_tree_and_answers_at_once(client: aiohttp.ClientSession, limit: float) -> None:
    command = "echo part; sleep 100 & echo $!; setsid sleep 100 & echo $!; sleep 100"
    bare = bare_spawn()
    start = time.monotonic()
    body = await execute(client, command, 408, timeout=limit)
    assert limit <= time.monotonic() - start < limit + 100 * bare
    assert body["message"] == "command execution timeout"
    assert body["code"] == "PROCESS_EXECUTION_TIMEOUT"
    assert body["source"] == "DAYTONA_DAEMON"
    assert body["exitCode"] == 124
    first, *pids = body["result"].split()
    assert first == "part"
    assert len(pids) == 2
    assert not [pid for pid in map(int, pids) if alive(pid)]


async def test_command_can_clean_up_within_the_kill_grace(client: aiohttp.ClientSession) -> None:
    command = "trap 'echo cleaned; exit 0' TERM; while :; do sleep 0.02; done"
    body = await execute(client, command, 408, timeout=0.3, killGraceMs=5000)
    assert body["result"].endswith("cleaned\n")


async def test_kill_grace_ends(client: aiohttp.ClientSession) -> None:
    bare = bare_spawn()
    start = time.monotonic()
    await execute(client, "trap '' TERM; while :; do sleep 0.02; done", 408, timeout=0.3, killGraceMs=300)
    assert 0.6 <= time.monotonic() - start < 0.6 + 100 * bare


async def test_finished_command_is_no_timeout_though_a_child_holds_the_pipe(client: aiohttp.ClientSession) -> None:
    body = await execute(client, "sleep 100 & echo $!", timeout=0.1)
    assert body["exitCode"] == 0
    kill(int(body["result"]))


async def test_background_child_survives_and_does_not_block(
    client: aiohttp.ClientSession, tmp_path: pathlib.Path
) -> None:
    bare = bare_spawn()
    start = time.monotonic()
    body = await execute(client, "sleep 60 & echo $!")
    assert time.monotonic() - start < 0.25 + 100 * bare  # the pipe has to be silent that long
    pid = int(body["result"])
    assert alive(pid)
    kill(pid)


async def test_background_writer_is_not_killed_by_its_pipe(
    client: aiohttp.ClientSession, tmp_path: pathlib.Path
) -> None:
    loop = f"while [ ! -e {tmp_path}/stop ]; do echo tick; sleep 0.01; done; seq 100000; echo ok > {tmp_path}/done"
    body = await execute(client, f"({loop}) & echo $!")
    pid = int(body["result"].split()[0])
    assert alive(pid)
    (tmp_path / "stop").touch()
    pidfd = os.pidfd_open(pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    await asyncio.wait_for(ended.wait(), 5)
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    assert (tmp_path / "done").read_text(encoding="ascii") == "ok\n"


@pytest.mark.parametrize("size", [130_000, 300_000, 1_000_000])
async def test_command_of_any_length(client: aiohttp.ClientSession, size: int) -> None:
    body = await execute(client, f"x='{'a' * size}'; echo ${{#x}}")
    assert body == {"exitCode": 0, "result": f"{size}\n"}


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "INVALID_REQUEST_BODY", "command is required"),
        (b"{}", "INVALID_REQUEST_BODY", "command is required"),
        (b'{"command": ""}', "INVALID_REQUEST_BODY", "command is required"),
        (b'{"command": null}', "INVALID_REQUEST_BODY", "command"),
        (b'{"command": 3}', "INVALID_REQUEST_BODY", "command"),
        (b"{", "INVALID_REQUEST_BODY", ""),
        (b"[" * 200_000, "INVALID_REQUEST_BODY", ""),
        (b'{"command": "  \\n "}', "BAD_REQUEST", "command cannot be empty or whitespace-only"),
        (b'{"command": "echo \\u0000"}', "BAD_REQUEST", "command contains a NUL byte"),
        (b'{"command": "true", "cwd": "/\\u0000"}', "BAD_REQUEST", "cwd contains a NUL byte"),
        (b'{"command": "true", "envs": {"A-B": "1"}}', "BAD_REQUEST", "invalid environment variable name: 'A-B'"),
        (b'{"command": "true", "envs": {"A": "\\u0000"}}', "BAD_REQUEST", "variable A contains a NUL byte"),
        (b'{"command": "true", "envs": {"A": 1}}', "INVALID_REQUEST_BODY", "envs"),
        (b'{"command": "true", "timeout": -1}', "INVALID_REQUEST_BODY", "timeout"),
        (b'{"command": "true", "timeout": "5"}', "INVALID_REQUEST_BODY", "timeout"),
        (b'{"command": "true", "maxOutputBytes": -1}', "INVALID_REQUEST_BODY", "maxOutputBytes"),
    ],
)
async def test_bad_request_is_named(client: aiohttp.ClientSession, body: bytes, code: str, message: str) -> None:
    async with client.post("/process/execute", data=body) as response:
        answer = await response.json()
        assert response.status == 400
        assert answer["code"] == code
        assert message in answer["message"]
        assert answer["message"].startswith("invalid request body" if code != "BAD_REQUEST" else "bad request: ")


async def test_null_fields_and_no_content_type_are_accepted(client: aiohttp.ClientSession) -> None:
    data = b'{"command":"echo ok","cwd":null,"envs":null,"timeout":null,"unknown":1}'
    async with client.post("/process/execute", data=data, skip_auto_headers=["Content-Type"]) as response:
        assert response.status == 200
        assert await response.json(content_type=None) == {"exitCode": 0, "result": "ok\n"}


async def test_split_output(client: aiohttp.ClientSession) -> None:
    command = "echo out; sleep 0.1; echo err >&2; sleep 0.1; echo end"
    body = await execute(client, command, splitOutput=True)
    assert body == {"exitCode": 0, "result": "out\nerr\nend\n", "stdout": "out\nend\n", "stderr": "err\n"}
    headers = {"X-Daytona-Split-Output": "true"}
    async with client.post("/process/execute", json={"command": command}, headers=headers) as response:
        assert (await response.json())["stderr"] == "err\n"


async def test_strict_old_client_gets_no_extra_fields(client: aiohttp.ClientSession) -> None:
    headers = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "0.187.0"}
    body = {"command": "echo x", "splitOutput": True}
    async with client.post("/process/execute", json=body, headers=headers) as response:
        assert await response.json() == {"exitCode": 0, "result": "x\n"}


@pytest.mark.parametrize("split", [False, True])
async def test_output_over_the_cap_keeps_head_and_tail(client: aiohttp.ClientSession, split: bool) -> None:
    request = {"command": "seq 100000", "maxOutputBytes": 100, "splitOutput": split}
    async with client.post("/process/execute", json=request) as response:
        body = await response.json()
        total = len("".join(f"{n}\n" for n in range(1, 100_001)))
        assert response.headers["X-Output-Truncated"] == "true"
        assert response.headers["X-Output-Bytes"] == str(total)
    head, notice, tail = re.split(r"\n(\[\.\.\. .* bytes omitted \.\.\.\])\n", body["result"])
    assert head.startswith("1\n2\n3\n")
    assert notice == f"[... {total - 100} bytes omitted ...]"
    assert tail.endswith("\n99999\n100000\n")
    assert len(head) + len(tail) == 100
    assert body.get("stdout", body["result"]) == body["result"]


async def test_output_headers_of_a_short_answer(client: aiohttp.ClientSession) -> None:
    async with client.post("/process/execute", json={"command": "echo ok"}) as response:
        assert response.headers["X-Output-Truncated"] == "false"
        assert response.headers["X-Output-Bytes"] == "3"


async def test_long_answer_is_exact(client: aiohttp.ClientSession) -> None:
    body = await execute(client, "seq 1000000; printf '\"\\\\\\t\\001é'")
    assert body["result"] == "".join(f"{n}\n" for n in range(1, 1_000_001)) + '"\\\t\x01é'


async def test_concurrent_commands_do_not_mix(client: aiohttp.ClientSession) -> None:
    async def one(n: int) -> bool:
        body = await execute(client, f"echo start {n}; sleep 0.0{n % 5}; echo end {n} >&2; exit {n}")
        return body == {"exitCode": n, "result": f"start {n}\nend {n}\n"}

    assert all(await asyncio.gather(*(one(n) for n in range(60))))


# SDKs up to 0.160 send the command as base64, decoded by a shell.


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_wrapper_of_sdk_0_150(client: aiohttp.ClientSession) -> None:
    inner = "echo \"hello $NAME\"; echo 'single' >&2; exit 3"
    command = f"sh -c \"export NAME=$(echo '{b64('wörld x')}' | base64 -d); echo '{b64(inner)}' | base64 -d | sh\""
    body = await execute(client, command)
    assert body["result"] == "hello wörld\nsingle\n" or body["result"] == "hello wörld x\nsingle\n"
    assert body["exitCode"] == 3


async def test_wrapper_of_sdk_0_160(client: aiohttp.ClientSession) -> None:
    prefix = f"export NAME=\"$(printf '%s' '{b64('a b')}' | base64 -d)\"; "
    assert (await execute(client, prefix + 'echo "[$NAME]"'))["result"] == "[a b]\n"


@pytest.mark.skipif(not shutil.which("python3"), reason="no python3")
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_code_run_of_old_sdks(client: aiohttp.ClientSession, padding: int) -> None:
    code = f"# {'x' * padding}\nimport sys\nprint('out', sys.argv[1:])\nraise SystemExit(4)"
    piped = f"printf '%s' '{b64(code)}' | base64 -d | python3 -u - one two"
    body = await execute(client, piped)
    assert body == {"exitCode": 4, "result": "out ['one', 'two']\n"}


@pytest.mark.skipif(not shutil.which("python3"), reason="no python3")
async def test_nested_quotes_of_the_oldest_code_run(client: aiohttp.ClientSession) -> None:
    code = "print('he said \"hi\"')"
    command = f'sh -c \'python3 -u -c "exec(__import__(\\"base64\\").b64decode(\\"{b64(code)}\\").decode())" \''
    assert (await execute(client, command))["result"] == 'he said "hi"\n'


# Streams.


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


SSE = {"Accept": "text/event-stream"}


async def stream(client: aiohttp.ClientSession, command: str, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    async with client.post("/process/execute", json={"command": command, **fields}, headers=SSE) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        return [event async for event in events(response)]


async def test_stream_of_events(client: aiohttp.ClientSession) -> None:
    got = await stream(client, "echo out; sleep 0.1; echo err >&2; exit 3")
    assert [name for name, _ in got] == ["start", "stdout", "stderr", "exit"]
    assert got[0][1]["pid"] > 0
    assert got[1][1] == {"data": "out\n", "offset": 0}
    assert got[2][1] == {"data": "err\n", "offset": 4}
    assert got[3][1] == {"exitCode": 3, "reason": "exited"}


async def test_stream_as_json_lines(client: aiohttp.ClientSession) -> None:
    headers = {"Accept": "application/x-ndjson"}
    async with client.post("/process/execute", json={"command": "echo hi"}, headers=headers) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines() if line]
    assert [line["event"] for line in lines] == ["start", "stdout", "exit"]
    assert lines[1]["data"] == "hi\n"


async def test_stream_delivers_while_the_command_runs(client: aiohttp.ClientSession, tmp_path: pathlib.Path) -> None:
    command = f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo second"
    async with client.post("/process/execute", json={"command": command}, headers=SSE) as response:
        async for name, event in events(response):
            if event.get("data") == "first\n":
                (tmp_path / "go").touch()
            last = name
    assert last == "exit"


@pytest.mark.parametrize(
    ("command", "fields", "end"),
    [
        ("kill -9 $$", {}, {"exitCode": 137, "reason": "signaled", "signal": "SIGKILL"}),
        ("sleep 100", {"timeout": 0.2}, {"exitCode": 124, "reason": "timed_out"}),
        ("true", {"cwd": "/no/where"}, {"exitCode": 1, "reason": "failed"}),
    ],
)
async def test_stream_ends_with_the_exit_event(
    client: aiohttp.ClientSession, command: str, fields: dict[str, Any], end: dict[str, Any]
) -> None:
    assert (await stream(client, command, **fields))[-1] == ("exit", end)


async def test_stream_keeps_code_points_whole(client: aiohttp.ClientSession) -> None:
    got = await stream(client, "printf '\\303'; sleep 0.1; printf '\\251'; printf '\\377'")
    assert "".join(event["data"] for name, event in got if name == "stdout") == "é\ufffd"


@pytest.mark.slow
async def test_slow_reader_of_a_stream_loses_nothing(client: aiohttp.ClientSession) -> None:
    total = 0
    command = {"command": "seq 4000000", "maxOutputBytes": 4 * MIB}
    async with client.post("/process/execute", json=command, headers=SSE) as response:
        async for name, event in events(response):
            if name == "stdout":
                assert event["offset"] == total
                total += len(event["data"])
        assert name == "exit"
    assert total == len("".join(f"{n}\n" for n in range(1, 4_000_001)))


async def test_command_outlives_its_stream(client: aiohttp.ClientSession, tmp_path: pathlib.Path) -> None:
    command = f"echo go; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; seq 100000; touch {tmp_path}/done"
    async with client.post("/process/execute", json={"command": command}, headers=SSE) as response:
        _, start = await anext(events(response))
    (tmp_path / "go").touch()
    await ended(start["pid"])
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("headers", [SSE, {}])
async def test_kill_on_disconnect(
    client: aiohttp.ClientSession, tmp_path: pathlib.Path, headers: dict[str, str]
) -> None:
    command = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 100"
    request = asyncio.create_task(
        client.post("/process/execute", json={"command": command}, headers={**headers, "X-Kill-On-Disconnect": "true"})
    )
    while not (tmp_path / "pid").exists():
        await asyncio.sleep(0.01)
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    waiting = asyncio.create_task(ended(pid))
    await asyncio.sleep(0)
    if headers:
        (await request).close()
    else:
        request.cancel()
    await waiting


async def ended(pid: int) -> None:
    """Wait for the exit of a process that may have exited already."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, done.set)
    try:
        await asyncio.wait_for(done.wait(), 5)
    finally:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)


# Late answers and shutdown.


async def test_long_silence_is_filled_with_white_space(clean_environment: pathlib.Path) -> None:
    beats = {"first_beat": 0.1, "beat": 0.1}
    async with Served(clean_environment, **beats) as server, aiohttp.ClientSession(server.url) as client:
        async with client.post("/process/execute", json={"command": "sleep 0.5; echo late; exit 2"}) as response:
            assert server.registry.get(response.headers["X-Process-Id"]).running
            raw = await response.read()
        assert re.fullmatch(rb" {3,6}\{.*\}", raw)
        assert json.loads(raw) == {"exitCode": 2, "result": "late\n"}
        # With a time limit the status may still be 408, so nothing is sent early.
        assert (await execute(client, "sleep 0.3; echo x", timeout=5))["result"] == "x\n"
        await execute(client, "sleep 5", 408, timeout=0.3)


@pytest.mark.parametrize("headers", [SSE, {}])
async def test_daemon_that_ends_answers_who_waits(clean_environment: pathlib.Path, headers: dict[str, str]) -> None:
    async with Served(clean_environment) as server, aiohttp.ClientSession(server.url) as client:
        body = {"command": "echo up > up; sleep 100"}
        request = asyncio.create_task(client.post("/process/execute", json=body, headers=headers))
        while not (server.home / "up").exists():
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(server.stop())
        async with await request as response:
            if headers:
                assert [event async for event in events(response)][-1][1]["reason"] == "sandbox_stopped"
            else:
                answer = await response.json()
                assert response.status == answer["statusCode"] == 503
                assert answer["source"] == "DAYTONA_DAEMON"
        await closing
