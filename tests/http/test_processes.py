"""The process API on real processes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from toolbox.host.env import Environment
from toolbox.host.limits import Limits
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.exec.api import ExecApi
from toolbox.process.exec.commands import Commands
from toolbox.process.processes.component import ProcessesComponent
from toolbox.runs.context import ProcessContext
from toolbox.runs.exit_info import ExitInfo
from toolbox.runs.registry import Controls, Entry, Kind, Registry

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
NO_LIMITS = Limits()
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"


class Served:
    """An HTTP server with the process API and exec."""

    def __init__(self, home: pathlib.Path, limits: Limits = NO_LIMITS) -> None:
        self.home = home
        self.env = Environment({"PATH": os.environ["PATH"], "HOME": str(home)}, own=())
        self.spool = Spool(home / "spool")
        self.procs = Procs(self.spool)
        self.registry = Registry()
        shells = Shells(self.env.get)
        context = ProcessContext(
            self.procs, self.env, shells, self.spool, self.registry, workdir=str(home), limits=limits
        )
        self.exec = Commands(context, max_output=2**24)
        self.processes = ProcessesComponent(context)
        routes = [*collect(ExecApi(self.exec)), *collect(*self.processes.apis)]
        self.server = HttpServer(routes, Access(SigningKeys()), sandbox_id="box")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def __aenter__(self) -> Served:
        await self.server.start([self.listener])
        return self

    async def stop(self) -> None:
        await self.server.close_websockets()
        await asyncio.gather(self.exec.close(), self.processes.stop(), self.server.drain(5))

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.exec.release()
        await self.registry.close()
        await self.procs.close()
        await self.spool.close()
        await self.server.close()


class Client:
    """Short forms of the calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.http = session

    async def call(self, method: str, path: str, status: int = 200, **fields: Any) -> Any:
        async with self.http.request(method, path, **fields) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if text else None

    async def create(self, status: int = 201, **fields: Any) -> Any:
        return await self.call("POST", "/processes", status, json=fields)

    async def shell(self, command: str, **fields: Any) -> str:
        made = await self.create(shellCommand=command, **fields)
        return str(made["id"])

    async def get(self, process: str) -> Any:
        return await self.call("GET", f"/processes/{process}")

    async def wait(self, process: str) -> Any:
        result = await self.call("GET", f"/processes/{process}/wait")
        details = result.pop("details")
        assert (details["reason"], details.get("signal")) == (result["reason"], result.get("signal"))
        assert details["durationMs"] >= 0
        return result

    async def stdin(self, process: str, status: int = 204, **fields: Any) -> Any:
        return await self.call("POST", f"/processes/{process}/stdin", status, json=fields)

    async def signal(self, process: str, status: int = 204, **fields: Any) -> Any:
        return await self.call("POST", f"/processes/{process}/signals", status, json=fields)

    async def logs(self, process: str, status: int = 200, **query: Any) -> Any:
        return await self.call("GET", f"/processes/{process}/logs", status, params=query)

    async def output(self, process: str) -> str:
        await self.wait(process)
        page = await self.logs(process)
        assert page["eof"]
        return "".join(frame["data"] for frame in page["frames"])

    async def events(self, process: str, **query: Any) -> AsyncIterator[tuple[str, str, Any]]:
        """Yield id, name and data of each event of a stream."""
        query = {"follow": "true", **query}
        async with self.http.get(f"/processes/{process}/logs", params=query) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            fields: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "data" in fields:
                    yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
                    fields = {}


@pytest.fixture
async def server(clean_environment: pathlib.Path) -> AsyncIterator[Served]:
    async with Served(clean_environment) as served:
        yield served


@pytest.fixture
async def client(server: Served) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(server.url) as session:
        yield Client(session)


async def test_life_of_a_process_as_json(client: Client, server: Served) -> None:
    made = await client.create(
        shellCommand="read line; echo $line; exit 3",
        shell="sh",
        stdin="pipe",
        name="reader",
        sessionId="s",
        timeoutMs=60000,
        keepLogs="until_cleanup",
    )
    process, pid = made.pop("id"), made.pop("pid")
    assert re.fullmatch("[0-9a-f]{32}", process)
    assert os.getsid(pid) == pid
    assert re.fullmatch(TIME, made.pop("createdAt"))
    assert re.fullmatch(TIME, made.pop("startedAt"))
    assert made == {
        "kind": "exec",
        "state": "running",
        "shellCommand": "read line; echo $line; exit 3",
        "resolvedShell": made["resolvedShell"],
        "name": "reader",
        "sessionId": "s",
        "cwd": str(server.home),
        "stdin": "pipe",
        "timeoutMs": 60000,
        "keepLogs": "until_cleanup",
        "firstAvailableCursor": "0",
        "lastCursor": "0",
        "truncatedHead": False,
    }
    await client.stdin(process, data="word\n")
    assert await client.wait(process) == {"reason": "exited", "exitCode": 3}
    ended = await client.get(process)
    assert re.fullmatch(TIME, ended.pop("exitedAt"))
    assert {key: ended[key] for key in ("state", "exitCode", "reason", "lastCursor")} == {
        "state": "terminal",
        "exitCode": 3,
        "reason": "exited",
        "lastCursor": "5",
    }
    await client.call("DELETE", f"/processes/{process}", 204)
    answer = await client.call("GET", f"/processes/{process}", 404)
    assert answer["code"] == "PROCESS_NOT_FOUND"


async def test_page_of_logs_as_json(client: Client) -> None:
    process = await client.shell("printf out; read x; printf err >&2", stdin="pipe")
    while not (await client.logs(process))["frames"]:
        await asyncio.sleep(0)
    await client.stdin(process, eof=True)
    await client.wait(process)
    page = await client.logs(process)
    stamps = [frame.pop("timestamp") for frame in page["frames"]]
    assert all(re.fullmatch(TIME, stamp) for stamp in stamps)
    assert page == {
        "frames": [
            {"channel": "stdout", "cursor": "3", "seq": 0, "data": "out", "encoding": "text"},
            {"channel": "stderr", "cursor": "6", "seq": 3, "data": "err", "encoding": "text"},
        ],
        "nextCursor": "6",
        "eof": True,
        "truncatedHead": False,
        "firstAvailableCursor": "0",
    }


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"argv": ["printf", "%s|", "a b", "$(x)", ""]}, "a b|$(x)||"),
        ({"shellCommand": "echo $A$B", "env": {"A": "1", "B": "2"}}, "12\n"),
        ({"shellCommand": "pwd", "cwd": "/"}, "/\n"),
        ({"shellCommand": "readlink /proc/$$/exe; true", "shell": "bash"}, os.path.realpath("/bin/bash") + "\n"),
        ({"shellCommand": "shopt -q login_shell && echo login", "shell": "bash", "login": True}, "login\n"),
        ({"shellCommand": "cat; echo end"}, "end\n"),
        ({"argv": ["cat"]}, ""),
        ({"argv": ["echo", "x"], "kind": "code"}, "x\n"),
    ],
)
async def test_create_options(client: Client, fields: dict[str, Any], output: str) -> None:
    made = await client.create(**fields)
    assert await client.output(made["id"]) == output


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({}, 400, "INVALID_REQUEST_BODY", "invalid request body: give either argv or shellCommand"),
        ({"argv": ["a"], "shellCommand": "b"}, 400, "INVALID_REQUEST_BODY", "give either argv or shellCommand"),
        ({"argv": []}, 400, "INVALID_REQUEST_BODY", "argv is empty"),
        ({"argv": [""]}, 400, "INVALID_REQUEST_BODY", "argv is empty"),
        ({"shellCommand": " \n"}, 400, "INVALID_REQUEST_BODY", "shellCommand is empty"),
        ({"argv": ["a\0"]}, 400, "BAD_REQUEST", "argv contains a NUL byte"),
        ({"argv": ["true"], "env": {"A=B": ""}}, 400, "BAD_REQUEST", "invalid environment variable name: 'A=B'"),
        ({"argv": ["true"], "stdin": "file"}, 400, "INVALID_REQUEST_BODY", "stdin"),
        ({"argv": ["true"], "kind": "x"}, 400, "INVALID_REQUEST_BODY", "kind"),
        ({"argv": ["true"], "user": "nobody-of-that-name"}, 400, "BAD_REQUEST", "unknown user: nobody-of-that-name"),
        ({"argv": ["true"], "terminal": {}}, 400, "UNSUPPORTED_OPERATION", "terminal needs kind pty"),
        ({"kind": "pty", "terminal": {"cols": 0}}, 400, "INVALID_REQUEST_BODY", "terminal.cols"),
        ({"kind": "pty"}, 400, "UNSUPPORTED_OPERATION", "terminals are not available"),
        ({"argv": ["no-such-program"]}, 409, "PROCESS_START_FAILED", "no-such-program: no such file or directory"),
        ({"argv": ["true"], "cwd": "/no/where"}, 409, "PROCESS_START_FAILED", "/no/where: no such file or directory"),
        ({"argv": ["/etc/passwd"]}, 409, "PROCESS_START_FAILED", "/etc/passwd: permission denied"),
    ],
)
async def test_what_cannot_be_started_says_why(
    client: Client, fields: dict[str, Any], status: int, code: str, message: str
) -> None:
    answer = await client.create(status, **fields)
    assert answer["code"] == code
    assert message in answer["message"]
    assert await client.call("GET", "/processes") == []


async def test_name_is_unique_among_running_processes(client: Client) -> None:
    process = await client.shell("cat", name="web", stdin="pipe")
    answer = await client.create(409, argv=["true"], name="web")
    assert (answer["code"], answer["message"]) == ("NAME_CONFLICT", "process name is taken: web")
    await client.stdin(process, eof=True)
    await client.wait(process)
    await client.create(argv=["true"], name="web")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_other_user(client: Client, server: Served) -> None:
    made = await client.create(shellCommand="id -un; echo $HOME $USER; cat /etc/shadow", user="nobody", cwd="/")
    output = await client.output(made["id"])
    assert output.splitlines()[:2] == ["nobody", "/nonexistent nobody"]
    assert "denied" in output


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["one", "two", "three"]),
        ({"state": "running"}, ["one", "two"]),
        ({"state": "terminal"}, ["three"]),
        ({"kind": "code"}, ["two"]),
        ({"sessionId": "s"}, ["three"]),
        ({"name": "one"}, ["one"]),
        ({"name": "one", "kind": "code"}, []),
    ],
)
async def test_list_is_filtered(client: Client, query: dict[str, str], found: list[str]) -> None:
    await client.create(argv=["cat"], stdin="pipe", name="one")
    await client.create(argv=["cat"], stdin="pipe", name="two", kind="code")
    third = await client.create(argv=["true"], name="three", sessionId="s")
    await client.wait(third["id"])
    answer = await client.call("GET", "/processes", params=query)
    assert [item["name"] for item in answer] == found


async def test_list_by_pid(client: Client) -> None:
    made = await client.create(argv=["cat"], stdin="pipe")
    await client.create(argv=["cat"], stdin="pipe")
    (found,) = await client.call("GET", "/processes", params={"pid": made["pid"]})
    assert found["id"] == made["id"]


async def test_only_ended_processes_are_deleted(client: Client) -> None:
    process = await client.shell("cat", stdin="pipe")
    answer = await client.call("DELETE", f"/processes/{process}", 409)
    assert answer["code"] == "CONFLICT"
    await client.signal(process, signal="KILL")
    await client.wait(process)
    await client.call("DELETE", f"/processes/{process}", 204)


@pytest.mark.parametrize("query", [{}, {"limit": "1"}, {"limit": "3"}, {"encoding": "base64", "limit": "2"}])
async def test_pages_give_every_byte_once(client: Client, query: dict[str, str]) -> None:
    process = await client.shell("for i in 1 2 3 4 5 6; do echo line $i; sleep 0.02; echo e$i >&2; sleep 0.02; done")
    await client.wait(process)
    cursor, seen, pages = "start", {"stdout": b"", "stderr": b""}, 0
    while True:
        page = await client.logs(process, cursor=cursor, **query)
        pages += 1
        for frame in page["frames"]:
            data = frame["data"]
            seen[frame["channel"]] += base64.b64decode(data) if frame["encoding"] == "base64" else data.encode()
        cursor = page["nextCursor"]
        if page["eof"]:
            break
    assert seen["stdout"] == b"".join(b"line %d\n" % number for number in range(1, 7))
    assert seen["stderr"] == b"".join(b"e%d\n" % number for number in range(1, 7))
    assert pages > 1 or query.get("limit") != "1"


@pytest.mark.parametrize("cursor", ["x", "-1", "4", "1.5", "99999999999999999999", "٣"])
async def test_invalid_cursor(client: Client, cursor: str) -> None:
    process = await client.shell("printf abc")
    await client.wait(process)
    answer = await client.logs(process, 400, cursor=cursor)
    assert answer["code"] == "INVALID_CURSOR"
    assert (await client.logs(process, cursor="3"))["frames"] == []
    answer = await client.call("GET", f"/processes/{process}/logs", 400, params={"cursor": cursor, "follow": "true"})
    assert answer["code"] == "INVALID_CURSOR"


async def test_output_that_is_gone_has_an_expired_cursor(client: Client) -> None:
    process = await client.shell("seq 100000", maxLogBytes=1000)
    await client.wait(process)
    answer = await client.logs(process, 409, cursor="10")
    assert answer["code"] == "CURSOR_EXPIRED"
    first = answer["firstAvailableCursor"]
    page = await client.logs(process)
    assert (page["truncatedHead"], page["firstAvailableCursor"], page["eof"]) == (True, first, True)
    kept = "".join(frame["data"] for frame in page["frames"])
    assert len(kept) == 1000
    assert kept.endswith("\n99999\n100000\n")
    assert (await client.logs(process, cursor=first))["frames"] == page["frames"]


async def test_logs_that_are_not_kept(client: Client) -> None:
    process = await client.shell("cat", stdin="pipe", keepLogs="none")
    await client.stdin(process, data="now")
    stream = client.events(process)
    names = [await anext(stream), await anext(stream)]
    assert [name for _, name, _ in names] == ["state", "log"]
    await client.stdin(process, eof=True)
    assert [name async for _, name, _ in stream] == ["state", "eof"]
    while (page := await client.logs(process))["frames"]:
        await asyncio.sleep(0)
    assert (page["eof"], page["truncatedHead"], page["nextCursor"]) == (True, True, "3")


async def test_text_that_is_not_utf_8_travels_as_base64(client: Client) -> None:
    process = await client.shell(r"printf 'a\303\251'; read x; printf '\377'", stdin="pipe")
    while not (page := await client.logs(process))["frames"]:
        await asyncio.sleep(0)
    assert [(frame["data"], frame["encoding"], frame["seq"]) for frame in page["frames"]] == [("aé", "text", 0)]
    await client.stdin(process, data="\n")
    await client.wait(process)
    (frame,) = (await client.logs(process, cursor=page["nextCursor"]))["frames"]
    assert (frame["data"], frame["encoding"], frame["seq"]) == ("/w==", "base64", 3)


async def test_half_a_code_point_is_not_lost_between_pages(client: Client) -> None:
    process = await client.shell(r"printf 'a\303'; read x; printf '\251b'", stdin="pipe")
    while (page := await client.logs(process))["nextCursor"] == "0":
        await asyncio.sleep(0)
    assert (page["nextCursor"], page["eof"]) == ("1", False)
    await client.stdin(process, data="\n")
    await client.wait(process)
    page = await client.logs(process, cursor=page["nextCursor"])
    assert [frame["data"] for frame in page["frames"]] == ["éb"]


async def test_follow_sends_all_events_in_order(client: Client) -> None:
    process = await client.shell("read a; echo $a; read a; echo $a >&2", stdin="pipe")
    stream = client.events(process)
    assert (await anext(stream))[1:] == ("state", {**await client.get(process), "cursor": "0"})
    await client.stdin(process, data="one\n")
    cursor, name, frame = await anext(stream)
    assert (cursor, name, frame["data"], frame["channel"]) == ("4", "log", "one\n", "stdout")
    await client.stdin(process, data="two\n")
    cursor, name, frame = await anext(stream)
    assert (cursor, name, frame["data"], frame["channel"]) == ("8", "log", "two\n", "stderr")
    rest = [event async for event in stream]
    assert [name for _, name, _ in rest] == ["state", "eof"]
    assert rest[0][2] == {**await client.get(process), "cursor": "8"}
    assert rest[1] == ("8", "eof", {"cursor": "8"})


async def test_reader_that_comes_back_ten_times_gets_each_byte_once(client: Client) -> None:
    process = await client.shell("for i in $(seq 2000); do echo $i; done")
    seen, cursor = "", "start"
    for turn in range(10):
        stream = client.events(process, cursor=cursor)
        logs = 0
        async for event_id, name, data in stream:
            if name == "log":
                seen, cursor = seen + data["data"], event_id
                logs += 1
                if logs == 2 and turn < 9:
                    break
        await stream.aclose()
    assert seen == "".join(f"{number}\n" for number in range(1, 2001))


async def test_stream_resumes_from_last_event_id(client: Client) -> None:
    process = await client.shell("printf abcdef")
    await client.wait(process)
    headers = {"Last-Event-ID": "4"}
    async with client.http.get(f"/processes/{process}/logs?follow=true", headers=headers) as answer:
        text = await answer.text()
    assert '"data":"ef"' in text
    assert text.endswith('id: 6\nevent: eof\ndata: {"cursor":"6"}\n\n')


async def test_reader_that_lost_output_gets_a_warning(client: Client) -> None:
    process = await client.shell("seq 200000", maxLogBytes=4096)
    await client.wait(process)
    events = [event async for event in client.events(process)]
    assert [name for _, name, _ in events[:2]] == ["state", "log"]
    assert events[0][2]["truncatedHead"] is True
    assert "".join(data["data"] for _, name, data in events if name == "log").endswith("\n200000\n")


async def test_dropped_exec_stream_is_read_on_by_its_id(client: Client) -> None:
    headers = {"Accept": "text/event-stream"}
    command = {"command": "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 5"}
    async with client.http.post("/process/execute", json=command, headers=headers) as answer:
        text = b""
        while b"one" not in text:
            text += await answer.content.readany()
    match = re.search(rb'"id":"([0-9a-f]+)"', text)
    assert match is not None
    process = match[1].decode()
    assert (await client.get(process))["state"] == "running"
    stream = client.events(process, cursor="4")
    assert (await anext(stream))[1] == "state"
    touch = await client.shell("touch go")
    await client.wait(touch)
    events = [(name, data) async for _, name, data in stream]
    assert [data["data"] for name, data in events if name == "log"] == ["two\n"]
    assert events[-2][1]["exitCode"] == 5


async def test_answer_that_nobody_took_is_kept(client: Client) -> None:
    body = {"command": "echo $$; while [ ! -e go ]; do sleep 0.02; done; echo x"}
    asked = asyncio.create_task(client.call("POST", "/process/execute", json=body))
    while not (found := await client.call("GET", "/processes")):
        await asyncio.sleep(0)
    asked.cancel()
    await client.wait(await client.shell("touch go"))
    assert (await client.output(found[0]["id"])) == f"{found[0]['pid']}\nx\n"


async def test_received_answer_leaves_no_entry(client: Client) -> None:
    answer = await client.call("POST", "/process/execute", json={"command": "echo x; exit 2"})
    assert answer == {"exitCode": 2, "result": "x\n"}
    while await client.call("GET", "/processes"):
        await asyncio.sleep(0)


async def test_long_command_is_truncated_in_the_list(client: Client) -> None:
    command = "sleep 100 #" + "x" * 100_000
    asked = asyncio.create_task(client.call("POST", "/process/execute", json={"command": command}))
    while not (found := await client.call("GET", "/processes")):
        await asyncio.sleep(0)
    assert found[0]["shellCommand"] == command[:4096]
    await client.signal(found[0]["id"], signal="KILL")
    assert (await asked)["exitCode"] == 137


async def test_long_arguments_are_passed_whole_and_truncated_in_the_list(client: Client) -> None:
    made = await client.create(argv=["sh", "-c", "echo ${#1} ${#2}", "sh", "x" * 60_000, "y" * 60_000])
    assert [len(item) for item in made["argv"]] == [2, 2, 16, 2, 60_000]
    assert await client.output(made["id"]) == "60000 60000\n"
    made = await client.create(shellCommand="echo " + "x" * 100_000)
    assert len(made["shellCommand"]) == 65_536
    assert len(await client.output(made["id"])) == 100_001


async def test_input_and_end_of_input(client: Client) -> None:
    process = await client.shell("cat; echo end", stdin="pipe")
    await client.stdin(process, data="é\n")
    await client.stdin(process, data="AP8=", encoding="base64", eof=True)
    answer = await client.stdin(process, 409, data="late")
    assert answer["code"] in {"STDIN_CLOSED", "PROCESS_TERMINAL"}
    await client.wait(process)
    page = await client.logs(process, encoding="base64")
    assert b"".join(base64.b64decode(frame["data"]) for frame in page["frames"]) == b"\xc3\xa9\n\x00\xffend\n"


async def test_write_to_closed_input(client: Client) -> None:
    process = await client.shell("cat; sleep 100", stdin="pipe")
    await client.stdin(process, eof=True)
    assert (await client.stdin(process, 409, data="x"))["code"] == "STDIN_CLOSED"


async def test_megabytes_of_input_wait_for_the_reader(client: Client) -> None:
    process = await client.shell("read go; sleep 0.2; wc -c", stdin="pipe")
    await client.stdin(process, data="\n")
    for last in (False, False, True):
        await client.stdin(process, data="x" * 900_000, eof=last)
    assert (await client.output(process)).strip() == "2700000"


async def test_process_without_input(client: Client) -> None:
    process = await client.shell("sleep 100")
    assert (await client.stdin(process, 409, data="x"))["code"] == "STDIN_UNAVAILABLE"


async def test_input_that_is_not_base64(client: Client) -> None:
    process = await client.shell("cat", stdin="pipe")
    answer = await client.stdin(process, 400, data="?", encoding="base64")
    assert answer["message"] == "bad request: data is not base64"


@pytest.mark.parametrize("given", ["SIGTERM", "term", "15", 15])
async def test_signal_by_name_and_number(client: Client, given: str | int) -> None:
    process = await client.shell("sleep 100")
    await client.signal(process, signal=given)
    assert await client.wait(process) == {"reason": "signaled", "exitCode": 143, "signal": "SIGTERM"}
    assert (await client.get(process))["signal"] == "SIGTERM"


@pytest.mark.parametrize("given", ["SIGNOPE", "", 0, -1, 999, 32, "SIG_BLOCK"])
async def test_unknown_signal(client: Client, given: str | int) -> None:
    process = await client.shell("sleep 100")
    await client.signal(process, 400, signal=given)
    assert (await client.get(process))["state"] == "running"


async def test_signal_reaches_the_children(client: Client) -> None:
    child = 'trap "echo child; exit" USR1; echo up; while :; do sleep 0.05; done'
    process = await client.shell(f"trap : USR1; sh -c '{child}' 2>/dev/null")
    while not (await client.logs(process))["frames"]:
        await asyncio.sleep(0)
    await client.signal(process, signal="USR1")
    assert "up\nchild\n" in await client.output(process)


async def test_signal_escalates(client: Client) -> None:
    process = await client.shell("trap 'echo no' TERM; echo up; while :; do sleep 0.05; done")
    while not (await client.logs(process))["frames"]:
        await asyncio.sleep(0)
    await client.signal(process, signal="TERM", escalateAfterMs=500)
    assert await client.wait(process) == {"reason": "signaled", "exitCode": 137, "signal": "SIGKILL"}
    assert "no\n" in await client.output(process)


async def test_escalation_ends_with_the_process(client: Client, server: Served) -> None:
    process = await client.shell("sleep 100")
    await client.signal(process, signal="TERM", escalateAfterMs=3_600_000, escalateTo="QUIT")
    assert (await client.wait(process))["signal"] == "SIGTERM"
    while server.processes.processes._escalations:
        await asyncio.sleep(0)


async def test_ended_process_takes_no_input_and_no_signal(client: Client) -> None:
    process = await client.shell("true", stdin="pipe")
    await client.wait(process)
    for answer in (await client.signal(process, 409, signal=9), await client.stdin(process, 409, data="x")):
        assert answer["code"] == "PROCESS_TERMINAL"
        assert answer["message"] == f"process has ended: {process}"


async def test_wait_is_bounded(client: Client) -> None:
    process = await client.shell("sleep 100")
    answer = await client.call("GET", f"/processes/{process}/wait", params={"timeoutMs": 50})
    assert answer == {"reason": "timed_out"}
    assert (await client.get(process))["state"] == "running"


async def test_time_limit_kills_the_tree(client: Client) -> None:
    process = await client.shell("echo before; sleep 100 & echo $!; wait", timeoutMs=1000)
    assert await client.wait(process) == {"reason": "timed_out", "exitCode": 124}
    before, child = (await client.output(process)).split()
    assert before == "before"
    assert not os.path.exists(f"/proc/{child}/exe")


async def test_only_terminals_have_a_size(client: Client) -> None:
    process = await client.shell("sleep 100")
    answer = await client.call("POST", f"/processes/{process}/resize", 400, json={"cols": 10, "rows": 10})
    assert answer["code"] == "UNSUPPORTED_OPERATION"


async def test_terminal_is_resized(client: Client, server: Served) -> None:
    sizes: list[tuple[int, int]] = []

    async def resize(cols: int, rows: int) -> None:
        sizes.append((cols, rows))

    entry = server.registry.add(
        Entry(kind=Kind.PTY, output=server.spool.output_log(), controls=Controls(resize=resize), size=(80, 24))
    )
    answer = await client.call("POST", f"/processes/{entry.id}/resize", json={"cols": 10, "rows": 20})
    assert answer["terminal"] == {"cols": 10, "rows": 20}
    assert sizes == [(10, 20)]
    entry.finish(ExitInfo(0))
    answer = await client.call("POST", f"/processes/{entry.id}/resize", 409, json={"cols": 10, "rows": 20})
    assert answer["code"] == "PROCESS_TERMINAL"


async def test_protected_processes_are_left_alone(client: Client, server: Served) -> None:
    entry = server.registry.add(Entry(kind=Kind.EXEC, output=server.spool.output_log(), protected=True))
    assert (await client.get(entry.id))["system"] is True
    for answer in (
        await client.signal(entry.id, 403, signal=9),
        await client.stdin(entry.id, 403, data="x"),
        await client.call("DELETE", f"/processes/{entry.id}", 403),
    ):
        assert answer["code"] == "PROTECTED_PROCESS"


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/logs", None),
        ("GET", "/logs?follow=true", None),
        ("GET", "/wait", None),
        ("GET", "/attach", None),
        ("POST", "/stdin", {"data": "x"}),
        ("POST", "/signals", {"signal": 9}),
        ("POST", "/resize", {"cols": 1, "rows": 1}),
    ],
)
async def test_unknown_process(client: Client, method: str, tail: str, body: Any) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"} if tail == "/attach" else {}
    answer = await client.call(method, f"/processes/nobody{tail}", 404, json=body, headers=headers)
    assert answer["code"] == "PROCESS_NOT_FOUND"


async def test_attached_client_types_and_sees(client: Client) -> None:
    process = await client.shell("echo before; cat; exit 7", stdin="pipe")
    async with client.http.ws_connect(f"/processes/{process}/attach", protocols=[EXIT_CONTROL]) as ws:
        assert await ws.receive_str() == '{"type":"control","status":"connected"}'
        assert await ws.receive_bytes() == b"before\n"
        await ws.send_str("text\n")
        assert await ws.receive_bytes() == b"text\n"
        await ws.send_bytes(b"\xff\n")
        assert await ws.receive_bytes() == b"\xff\n"
        await client.stdin(process, eof=True)
        exited = '{"type":"control","status":"exited","exitCode":7,"exitReason":"non-zero exit"}'
        assert await ws.receive_str() == exited
        message = await ws.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)
    assert message.extra == '{"exitCode":7,"exitReason":"non-zero exit"}'


async def test_attached_client_without_controls_gets_bytes_only(client: Client) -> None:
    process = await client.shell("printf abcdef")
    await client.wait(process)
    async with client.http.ws_connect(f"/processes/{process}/attach?cursor=4") as ws:
        assert await ws.receive_bytes() == b"ef"
        message = await ws.receive()
    assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1000, '{"exitCode":0}')


async def test_detaching_does_not_end_the_process(client: Client, server: Served) -> None:
    process = await client.shell("cat", stdin="pipe")
    async with client.http.ws_connect(f"/processes/{process}/attach") as ws:
        await ws.send_str("x\n")
        assert await ws.receive_bytes() == b"x\n"
    while server.registry.get(process).held:
        await asyncio.sleep(0)
    assert (await client.get(process))["state"] == "running"
    async with client.http.ws_connect(f"/processes/{process}/attach?cursor=end") as ws:
        await ws.send_str("y\n")
        assert await ws.receive_bytes() == b"y\n"


async def test_client_that_detaches_while_its_input_is_not_read(client: Client, server: Served) -> None:
    process = await client.shell("sleep 100", stdin="pipe")
    async with client.http.ws_connect(f"/processes/{process}/attach") as ws:
        await ws.send_bytes(b"x" * 1_000_000)
    while server.registry.get(process).held:
        await asyncio.sleep(0)


async def test_shutdown_answers_all_waiting_requests(server: Served, client: Client) -> None:
    made = await client.create(argv=["sleep", "100"])
    waiting = asyncio.create_task(client.wait(made["id"]))
    stream = client.events(made["id"])
    assert (await anext(stream))[1] == "state"
    while not server.registry.get(made["id"])._ended._waiters:
        await asyncio.sleep(0)
    await server.stop()
    assert await waiting == {"reason": "sandbox_stopped", "exitCode": 137, "signal": "SIGKILL"}
    assert [(name, data.get("reason")) async for _, name, data in stream] == [
        ("state", "sandbox_stopped"),
        ("eof", None),
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(made["pid"], signal.SIGCONT)


async def test_processor_time_of_the_whole_tree_is_counted(client: Client) -> None:
    process = await client.shell("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; sleep 0.3")
    await client.wait(process)
    details = (await client.get(process))["details"]
    assert details["cpuMs"] > 20
    assert details["durationMs"] > details["cpuMs"] / 2
    idle = await client.shell("sleep 0.3")
    await client.wait(idle)
    assert (await client.get(idle))["details"]["cpuMs"] < details["cpuMs"]


LISTEN = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("field", ["/processes", "/process/execute"])
async def test_survivors_and_their_ports(client: Client, server: Served, field: str) -> None:
    (server.home / "listen.py").write_text(LISTEN, encoding="utf-8")
    command = (
        f"{sys.executable} listen.py > port & while [ ! -s port ]; do sleep 0.02; done; echo $!; setsid sleep 100 &"
    )
    if field == "/processes":
        process = await client.shell(command)
        await client.wait(process)
        details = (await client.get(process))["details"]
    else:
        body = {"command": command, "details": True}
        details = (await client.call("POST", "/process/execute", json=body))["details"]
    listener = details["survivors"][0]
    assert listener["ports"] == [int((server.home / "port").read_text(encoding="utf-8"))]
    assert listener["command"] == f"{sys.executable} listen.py"
    os.kill(listener["pid"], signal.SIGKILL)


async def test_details_of_a_command(client: Client) -> None:
    body = {"command": "echo x; kill -TERM $$", "details": True}
    answer = await client.call("POST", "/process/execute", json=body)
    details = answer.pop("details")
    assert answer == {"exitCode": 143, "result": "x\n"}
    assert details["reason"] == "signaled"
    assert details["signal"] == "SIGTERM"
    assert details.keys() == {"reason", "signal", "durationMs", "cpuMs"}


MEMORY = next(
    (path for path in map(pathlib.Path, ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")) if os.access(path, os.W_OK)), None
)


@pytest.fixture
def small_memory() -> Iterator[pathlib.Path]:
    """Return a memory cgroup of 48 MB; skip the test if none can be created."""
    assert MEMORY is not None
    group = MEMORY / f"toolbox-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:  # an empty folder of sysfs, where no cgroups are mounted
        pytest.skip(f"no cgroup can be made: {error.strerror}")
    try:
        for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max", "memory.swap.max"):
            if (group / name).exists():
                (group / name).write_text(str(48 << 20), encoding="ascii")
        if not any((group / name).exists() for name in ("memory.limit_in_bytes", "memory.max")):
            pytest.skip("no memory controller here")
        yield group
    finally:
        group.rmdir()


@pytest.mark.skipif(MEMORY is None, reason="cgroups cannot be written")
async def test_command_that_ran_out_of_memory_has_the_cause(client: Client, small_memory: pathlib.Path) -> None:
    allocate = f"{sys.executable} -c 'x = bytearray(200 << 20)'"
    command = f"echo $$ > {small_memory}/cgroup.procs && {allocate}"
    answer = await client.call("POST", "/process/execute", json={"command": command, "details": True})
    assert answer["exitCode"] == 137
    assert answer["details"]["cause"] == "out_of_memory"
    answer = await client.call("POST", "/process/execute", json={"command": "kill -9 $$", "details": True})
    assert "cause" not in answer["details"]


async def test_details_of_a_timeout_and_of_a_long_answer(client: Client) -> None:
    body = {"command": "echo x; sleep 100", "details": True, "timeout": 1.5}
    answer = await client.call("POST", "/process/execute", 408, json=body)
    assert answer["result"] == "x\n"
    assert answer["details"]["reason"] == "timed_out"
    assert answer["details"]["durationMs"] >= 1000
    answer = await client.call("POST", "/process/execute", json={"command": "seq 300000", "details": True})
    assert answer["details"]["reason"] == "exited"
    assert len(answer["result"]) > 1024 * 1024


async def test_details_at_the_end_of_a_stream(client: Client) -> None:
    headers = {"Accept": "application/x-ndjson"}
    body = {"command": "exit 3", "details": True}
    async with client.http.post("/process/execute", json=body, headers=headers) as answer:
        lines = [json.loads(line) async for line in answer.content]
    assert lines[-1]["exitCode"] == 3
    assert lines[-1]["details"]["reason"] == "exited"


async def test_no_details_unless_requested(client: Client) -> None:
    answer = await client.call("POST", "/process/execute", json={"command": "true"})
    assert answer == {"exitCode": 0, "result": ""}


def descriptors() -> int:
    """Count open descriptors except sockets."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += not os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def test_many_processes_leave_no_resources(client: Client, server: Served) -> None:
    before = descriptors()
    processes = await asyncio.gather(*(client.shell(f"echo {number}; exit {number}") for number in range(60)))
    results = await asyncio.gather(*(client.wait(process) for process in processes))
    assert [result["exitCode"] for result in results] == list(range(60))
    outputs = await asyncio.gather(*(client.output(process) for process in processes))
    assert outputs == [f"{number}\n" for number in range(60)]
    for process in processes:
        await client.call("DELETE", f"/processes/{process}", 204)
    assert server.procs.live == []
    assert descriptors() == before


async def test_limits_hold_and_are_told(client: Client) -> None:
    made = await client.create(
        shellCommand=f"nproc; {sys.executable} -c 'bytearray(300 << 20)'", limits={"cpus": 1, "memoryBytes": 200 << 20}
    )
    enforced = made["limits"].pop("enforcedBy")
    assert made["limits"] == {"memoryBytes": 200 << 20, "cpus": 1}
    assert (await client.output(made["id"])).startswith("1\n")
    ended = await client.get(made["id"])
    assert ended["exitCode"] == (137 if enforced == "cgroup" else 1)


async def test_limits_of_a_command(client: Client) -> None:
    body = {"command": "nproc; exit 4", "limits": {"cpus": 0.5}}
    assert await client.call("POST", "/process/execute", json=body) == {"exitCode": 4, "result": "1\n"}


async def test_invalid_limits(client: Client) -> None:
    for limits in ({"cpus": 0}, {"memoryBytes": 5}, {"pids": 0}, {"cpus": "1"}):
        answer = await client.create(400, argv=["true"], limits=limits)
        assert answer["code"] == "INVALID_REQUEST_BODY"


async def test_default_limits_apply_to_every_process(clean_environment: pathlib.Path) -> None:
    async with Served(clean_environment, Limits(cpus=1)) as served, aiohttp.ClientSession(served.url) as session:
        client = Client(session)
        assert await client.output(await client.shell("nproc")) == "1\n"
