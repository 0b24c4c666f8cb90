"""Sessions on real shells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from tests.timing import bare_spawn
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.http.access import Access
from toolbox.http.endpoint import collect
from toolbox.http.server import HttpServer
from toolbox.http.signing import SigningKeys
from toolbox.process.entrypoint import Entrypoint
from toolbox.process.processes.component import ProcessesComponent
from toolbox.process.sessions.component import SessionsComponent
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry

OUT, ERR = "\x01\x01\x01", "\x02\x02\x02"
SHELLS = [name for name in ("bash", "dash", "zsh") if shutil.which(name)]
NEWEST = {"X-Daytona-SDK-Version": "0.226.1"}


def _ignore(text: str, *, error: bool = False) -> None:
    """Record nothing of the entrypoint's output."""
    del text, error


class Served:
    """An HTTP server with the sessions."""

    def __init__(self, home: pathlib.Path, shell: str) -> None:
        self.home = home
        self.env = Environment({"PATH": os.environ["PATH"], "HOME": str(home / "home")}, own=())
        self.spool = Spool(home / "spool")
        self.procs = Procs(self.spool)
        self.registry = Registry()
        shells = Shells(self.env.get, shell)
        context = ProcessContext(self.procs, self.env, shells, self.spool, self.registry, workdir=str(home))
        self.running = ProcessesComponent(context)
        self.entrypoint = Entrypoint(context, (), on_output=_ignore, grace=1)
        self.component = SessionsComponent(
            context,
            self.entrypoint,
            state_dir=str(home / "state"),
            grace=2,
            stop_grace=1,
            send_signal=self.running.processes.signal,
        )
        self.sessions = self.component.sessions
        routes = [*collect(*self.component.apis), *collect(*self.running.apis)]
        self.server = HttpServer(routes, Access(SigningKeys()), sandbox_id="box")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def __aenter__(self) -> Served:
        (self.home / "home").mkdir(exist_ok=True)
        await self.server.start([self.listener])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close_websockets()
        parts = (self.component, self.running, self.entrypoint)
        await asyncio.gather(*(part.stop() for part in parts), self.server.drain(5))
        for part in parts:
            await part.close()
        await self.registry.close()
        await self.procs.close()
        await self.spool.close()
        await self.server.close()


class Client:
    """Short forms of the calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.http = session

    async def call(self, method: str, path: str, status: int = 200, **fields: Any) -> Any:
        async with self.http.request(method, f"/process/session{path}", **fields) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if text else None

    async def create(self, session: str, status: int = 201) -> Any:
        return await self.call("POST", "", status, json={"sessionId": session})

    async def run(self, session: str, command: str, status: int = 200, **headers: str) -> Any:
        return await self.call(
            "POST", f"/{session}/exec", status, json={"command": command}, headers={**NEWEST, **headers}
        )

    async def begin(self, session: str, command: str, **fields: Any) -> str:
        body = {"command": command, "runAsync": True, **fields}
        return str((await self.call("POST", f"/{session}/exec", 202, json=body))["cmdId"])

    async def type(self, session: str, command: str, status: int = 204, **body: Any) -> Any:
        return await self.call("POST", f"/{session}/command/{command}/input", status, json=body)

    async def entrypoint(self) -> Any:
        async with self.http.get("/processes?name=entrypoint") as answer:
            (process,) = await answer.json()
        return process

    async def logs(self, session: str, command: str, **query: Any) -> Any:
        return await self.call("GET", f"/{session}/command/{command}/logs", params=query, headers=NEWEST)

    async def seen(self, session: str, command: str, text: str) -> None:
        """Wait until the log contains a text."""
        offset = 0
        while text not in (await self.logs(session, command))["output"]:
            path = f"/process/session/{session}/command/{command}/logs?wait=20&offset={offset}"
            async with self.http.get(path, headers=NEWEST) as answer:
                offset = int(answer.headers["X-Log-Offset"])

    async def ended(self, session: str, command: str) -> Any:
        """Follow the log of a command to its end; return its description."""
        await self.follow(session, command)
        return await self.call("GET", f"/{session}/command/{command}")

    async def follow(self, session: str, command: str, **query: Any) -> list[bytes]:
        path = f"/process/session/{session}/command/{command}/logs"
        async with self.http.ws_connect(path, params={"follow": "true", **query}, headers=NEWEST) as ws:
            found = [message.data async for message in ws]
            assert ws.close_code == 1000
            return found


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Return each shell of this machine in turn."""
    return str(request.param)


@contextlib.asynccontextmanager
async def serve(home: pathlib.Path, shell: str = "bash") -> AsyncIterator[tuple[Client, Served]]:
    async with Served(home, shell) as served, aiohttp.ClientSession(served.url) as session:
        yield Client(session), served


@pytest.fixture
async def every(tmp_path: pathlib.Path, shell: str) -> AsyncIterator[Client]:
    """Serve sessions of each shell, with one session ``s``."""
    async with serve(tmp_path, shell) as (client, _):
        await client.create("s")
        yield client


@pytest.fixture
async def client(tmp_path: pathlib.Path) -> AsyncIterator[Client]:
    """Serve sessions of bash, with one session ``s``."""
    async with serve(tmp_path) as (client, _):
        await client.create("s")
        yield client


async def test_shell_state_is_kept_between_commands(every: Client, tmp_path: pathlib.Path) -> None:
    first = await every.run(
        "s", "cd /usr; A=1; export B=2; f() { echo f$1; }; alias say='echo said'; umask 027; set -u"
    )
    assert (first["exitCode"], first["output"]) == (0, "")
    answer = await every.run("s", 'pwd; echo "$A $B"; f 3; say x; umask; case $- in *u*) echo unset;; esac')
    assert answer["stdout"].split() == ["/usr", "1", "2", "f3", "said", "x", answer["stdout"].split()[6], "unset"]
    assert int(answer["stdout"].split()[6], 8) == 0o27


async def test_answer_has_both_streams_and_the_log_with_prefixes(every: Client) -> None:
    answer = await every.run(
        "s", "echo out1; sleep 0.05; echo err1 >&2; sleep 0.05; printf part; sleep 0.05; printf end"
    )
    assert set(answer) == {"cmdId", "exitCode", "output", "stdout", "stderr"}
    assert answer["output"] == f"{OUT}out1\n{ERR}err1\n{OUT}partend"
    assert (answer["stdout"], answer["stderr"], answer["exitCode"]) == ("out1\npartend", "err1\n", 0)


@pytest.mark.parametrize(("command", "code"), [("false", 1), ("return 7", 7), ("no-such-thing", 127), ("(exit 3)", 3)])
async def test_exit_codes(every: Client, command: str, code: int) -> None:
    assert (await every.run("s", command))["exitCode"] == code
    assert (await every.run("s", "echo on"))["stdout"] == "on\n"


async def test_session_survives_a_syntax_error(every: Client) -> None:
    broken = await every.run("s", "if then fi (")
    assert broken["exitCode"] in (1, 2, 126, 127)
    assert broken["stderr"]
    assert (await every.run("s", "echo still here"))["stdout"] == "still here\n"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("set -e; false; echo no", 1), ("exec sh -c 'exit 5'", 5), ("kill -9 $$", 137)]
)
async def test_end_of_the_shell_ends_the_session(every: Client, command: str, code: int) -> None:
    answer = await every.run("s", f"echo before; {command}")
    assert (answer["exitCode"], answer["stdout"]) == (code, "before\n")
    refused = await every.run("s", "true", 410)
    assert (refused["code"], refused["message"]) == ("SESSION_ENDED", "session process has exited")
    assert (await every.logs("s", answer["cmdId"]))["stdout"] == "before\n"
    assert [item["sessionId"] for item in await every.call("GET", "")] == ["s"]
    await every.call("DELETE", "/s", 204)
    await every.create("s")


async def test_shell_is_the_configured_one(every: Client, shell: str) -> None:
    answer = await every.run("s", 'readlink /proc/$$/exe; basename "$0"')
    assert [os.path.basename(line) for line in answer["stdout"].split()] == [
        os.path.basename(os.path.realpath(shutil.which(shell) or "")),
        shell,
    ]


async def test_commands_inherit_no_descriptor_of_ours(every: Client) -> None:
    """The shell closes its own descriptors, above 9, in its children; a command may use any number."""
    answer = await every.run("s", "exec 3>/dev/null 8>&3 9>&3; ls -l /proc/self/fd")
    found = {line.split()[8]: line.split()[10] for line in answer["stdout"].splitlines()[1:]}
    names = {name for name, target in found.items() if not target.endswith("/fd")}  # the folder that ls reads
    assert names == {"0", "1", "2", "3", "8", "9"}
    assert (await every.run("s", "echo fine"))["stdout"] == "fine\n"


async def test_functions_with_names_of_our_loop_change_nothing(every: Client) -> None:
    await every.run("s", "read() { :; }; echo() { :; }; alias command=false; set -x")
    assert (await every.run("s", "printf x"))["stdout"] == "x"
    assert (await every.run("s", "set +x; printf y"))["stdout"] == "y"


@pytest.mark.parametrize("command", ["break", "continue", "for i in 1 2; do break; done; break"])
async def test_a_loop_command_outside_of_a_loop_does_not_end_the_session(every: Client, command: str) -> None:
    await every.run("s", command)
    assert (await every.run("s", "echo fine"))["stdout"] == "fine\n"


async def test_follower_that_disconnects_is_released(client: Client) -> None:
    command = await client.begin("s", "echo up; read x")
    path = f"/process/session/s/command/{command}/logs?follow=true"
    async with client.http.ws_connect(path, headers=NEWEST) as ws:
        assert (await ws.receive()).data == b"\x01\x01\x01up\n"
    async with client.http.get(path) as answer:
        assert await answer.content.readexactly(3) == b"up\n"
        answer.close()
    await client.type("s", command, data="x", eof=True)
    assert (await client.ended("s", command))["exitCode"] == 0


async def test_last_input_is_answered_though_the_command_ends_before_its_pipe_is_seen_open(client: Client) -> None:
    for _ in range(5):
        command = await client.begin("s", "echo up; read x")
        await client.seen("s", command, "up")
        bare = bare_spawn()
        started = time.monotonic()
        await client.type("s", command, data="x", eof=True)
        assert time.monotonic() - started < 100 * bare
        assert (await client.ended("s", command))["exitCode"] == 0


async def test_waiting_command_reads_nothing(every: Client) -> None:
    answer = await every.run("s", "cat; read line; printf '%s' \"$?\"")
    assert answer["stdout"] == "1"


async def test_heredoc_and_many_bytes(every: Client) -> None:
    assert (await every.run("s", "cat <<'X'\na $b\nX"))["stdout"] == "a $b\n"
    long = "x" * 300_000
    assert (await every.run("s", f"v={long}; echo ${{#v}}"))["stdout"] == "300000\n"


async def test_shape_of_a_running_command(client: Client) -> None:
    body = {"command": "sleep 60", "async": True, "cwd": "/nowhere", "env": {"A": "b"}}
    answer = await client.call("POST", "/s/exec", 202, json=body)
    assert answer == {"cmdId": answer["cmdId"], "output": None, "stdout": None, "stderr": None, "exitCode": None}
    assert await client.call("GET", f"/s/command/{answer['cmdId']}") == {"id": answer["cmdId"], "command": "sleep 60"}
    assert await client.call("GET", "/s") == {
        "sessionId": "s",
        "commands": [{"id": answer["cmdId"], "command": "sleep 60"}],
    }


async def test_input_is_echoed_unless_suppressed(every: Client) -> None:
    loud = await every.begin("s", "printf 'name? '; read name; echo hi $name")
    await every.seen("s", loud, "name? ")
    await every.type("s", loud, data="Ann")
    assert (await every.ended("s", loud))["exitCode"] == 0
    assert (await every.logs("s", loud))["stdout"] == "name? Ann\nhi Ann\n"
    quiet = await every.begin("s", "read name; echo hi $name", suppressInputEcho=True)
    await every.type("s", quiet, data="Bob\n")
    await every.ended("s", quiet)
    assert (await every.logs("s", quiet))["stdout"] == "hi Bob\n"


async def test_input_waits_for_its_command_and_can_end(client: Client) -> None:
    first = await client.begin("s", "read line")
    second = await client.begin("s", "cat", suppressInputEcho=True)
    await client.type("s", second, data="early")
    await client.type("s", second, data="raw", raw=True, eof=True)
    assert (await client.type("s", second, 409, data="late"))["code"] == "CONFLICT"
    await client.type("s", first, data="go")
    assert (await client.ended("s", second))["exitCode"] == 0
    assert (await client.logs("s", second))["stdout"] == "early\nraw"


async def test_refused_input(client: Client) -> None:
    waiting = asyncio.create_task(client.run("s", "sleep 0.5"))
    while not (commands := (await client.call("GET", "/s"))["commands"]):
        await asyncio.sleep(0)
    assert (await client.type("s", commands[0]["id"], 409, data="x"))["code"] == "CONFLICT"
    done = await waiting
    assert (await client.type("s", done["cmdId"], 410, data="x"))["code"] == "COMMAND_ALREADY_COMPLETED"
    assert (await client.type("s", "nothing", 404, data="x"))["message"] == "command not found"
    assert (await client.type("none", "nothing", 404, data="x"))["message"] == "session not found"
    running = await client.begin("s", "sleep 60")
    assert (await client.type("s", running, 400, data=""))["code"] == "INVALID_REQUEST_BODY"


async def test_commands_run_one_after_the_other(every: Client, tmp_path: pathlib.Path) -> None:
    started = [
        await every.begin("s", f"sleep 0.0{9 - number}; echo {number} >>{tmp_path}/order") for number in range(8)
    ]
    assert (await every.run("s", f"cat {tmp_path}/order"))["stdout"].split() == [str(number) for number in range(8)]
    assert [item["id"] for item in (await every.call("GET", "/s"))["commands"]][:8] == started


async def test_background_child_holds_up_nothing_and_keeps_its_log(every: Client) -> None:
    answer = await every.run(
        "s", "(read line </dev/null; while [ ! -e go ]; do sleep 0.02; done; echo late) & echo now"
    )
    assert answer["stdout"] == "now\n"
    assert (await every.run("s", "touch go; wait; echo waited"))["stdout"] == "waited\n"
    await every.seen("s", answer["cmdId"], "late")
    assert (await every.logs("s", answer["cmdId"]))["output"] == f"{OUT}now\n{OUT}late\n"


async def test_signal_spares_the_session(every: Client) -> None:
    command = await every.begin("s", "echo up; sleep 60; echo after")
    await every.seen("s", command, "up")
    while (await every.call("GET", f"/s/command/{command}")).get("exitCode") is None:
        # The shell may not have started the program yet.
        async with every.http.post(f"/process/session/s/command/{command}/signal", json={"signal": "TERM"}) as answer:
            assert answer.status in (204, 409, 410)
    assert (await every.logs("s", command))["stdout"].endswith("after\n")
    assert (await every.run("s", "echo here"))["stdout"] == "here\n"


async def test_signal_escalates(client: Client) -> None:
    command = await client.begin("s", "sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done'; echo $?")
    await client.seen("s", command, "up")
    await client.call("POST", f"/s/command/{command}/signal", 204, json={"signal": "SIGTERM", "escalateAfterMs": 50})
    await client.ended("s", command)
    assert (await client.logs("s", command))["stdout"].splitlines()[-1] == "137"
    assert (await client.call("POST", f"/s/command/{command}/signal", 410, json={"signal": "TERM"}))[
        "code"
    ] == "COMMAND_ALREADY_COMPLETED"


@pytest.mark.parametrize("session", ["..", "a/b", "ü 😀", "a?b#c", "-rf", "." * 255])
async def test_ids_are_never_paths(tmp_path: pathlib.Path, session: str) -> None:
    async with serve(tmp_path) as (client, served):
        await client.create(session)
        before = sorted(path.name for path in served.home.iterdir())
        path = f"{served.url}/process/session/{quote(session, safe='').replace('.', '%2E')}"
        async with client.http.post(URL(f"{path}/exec", encoded=True), json={"command": "echo x"}) as answer:
            assert (await answer.json())["stdout"] == "x\n"
        async with client.http.delete(URL(path, encoded=True)) as answer:
            assert answer.status == 204
        assert sorted(path.name for path in served.home.iterdir()) == before
        assert await client.call("GET", "") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "INVALID_REQUEST_BODY"),
        ({"sessionId": ""}, "INVALID_REQUEST_BODY"),
        ({"sessionId": 5}, "INVALID_REQUEST_BODY"),
        ({"sessionId": "entrypoint"}, "BAD_REQUEST"),
        ({"sessionId": "a\0b"}, "BAD_REQUEST"),
        ({"sessionId": "ü" * 128}, "BAD_REQUEST"),
    ],
)
async def test_refused_ids(client: Client, body: Any, code: str) -> None:
    assert (await client.call("POST", "", 400, json=body))["code"] == code


async def test_refused_commands(client: Client) -> None:
    assert (await client.create("s", 409))["code"] == "CONFLICT"
    for body in ({}, {"command": ""}, {"command": " \n"}, {"command": "a\0b"}, {"command": 1}):
        await client.call("POST", "/s/exec", 400, json=body)
    unknown = await client.call("POST", "/none/exec", 404, json={"command": "true"})
    assert (unknown["code"], unknown["message"]) == ("PROCESS_NOT_FOUND", "session not found")
    assert (await client.call("DELETE", "/none", 404))["code"] == "PROCESS_NOT_FOUND"
    for method, path in (
        ("DELETE", "/entrypoint"),
        ("POST", "/entrypoint/exec"),
        ("POST", "/entrypoint/command/x/input"),
    ):
        assert (await client.call(method, path, 400, json={"command": "true"}))["code"] == "BAD_REQUEST"


async def test_delete_ends_everything(every: Client) -> None:
    command = await every.begin("s", "sleep 987 & echo $!; sleep 988")
    await every.seen("s", command, "\n")
    pid = int((await every.logs("s", command))["stdout"])
    follower = asyncio.create_task(every.follow("s", command))
    waiting = asyncio.create_task(every.run("s", "echo never", 410))
    while len((await every.call("GET", "/s"))["commands"]) < 2:
        await asyncio.sleep(0)
    await every.call("DELETE", "/s", 204)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        assert pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"  # the test does not reap it
    assert b"".join(await follower) == f"{OUT}{pid}\n".encode()
    assert (await waiting)["code"] == "SESSION_ENDED"
    assert await every.call("GET", "") == []


async def test_delete_may_spare_the_background(client: Client) -> None:
    answer = await client.run("s", "sleep 986 >/dev/null 2>&1 & echo $!")
    pid = int(answer["stdout"])
    await client.call("DELETE", "/s?keepBackground=true", 204)
    os.kill(pid, signal.SIGKILL)


async def test_forms_by_release(client: Client) -> None:
    done = await client.run("s", "echo a; sleep 0.05; echo b >&2")
    path = f"/process/session/s/command/{done['cmdId']}/logs"
    both = f"{OUT}a\n{ERR}b\n"
    expected = {"0.226.1": None, "0.166.0": both, "0.26.0": "a\nb\n", "": "a\nb\n"}
    for version, body in expected.items():
        async with client.http.get(path, headers={"X-Daytona-SDK-Version": version} if version else {}) as answer:
            text = await answer.text()
            assert answer.headers["Content-Type"].startswith("application/json" if body is None else "text/plain")
        assert (json.loads(text) if body is None else text) == (
            body or {"output": both, "stdout": "a\n", "stderr": "b\n"}
        )
    old = await client.run("s", "echo a; sleep 0.05; echo b >&2", **{"X-Daytona-SDK-Version": "0.150.0"})
    assert (old["output"], old["stdout"], old["stderr"]) == (both, None, None)
    older = await client.run("s", "echo a; sleep 0.05; echo b >&2", **{"X-Daytona-SDK-Version": "0.26.0"})
    assert older["output"] == "a\nb\n"


async def test_old_clients_follow_over_http(client: Client) -> None:
    command = await client.begin("s", "echo one; read x; echo two")
    path = f"/process/session/s/command/{command}/logs?follow=true"
    async with client.http.get(path, headers={"X-Daytona-SDK-Version": "0.26.0"}) as answer:
        assert await answer.content.readline() == b"one\n"
        await client.type("s", command, data="x")
        assert await answer.content.read() == b"x\ntwo\n"
    async with client.http.get(path, headers=NEWEST) as answer:
        assert (await answer.json())["stdout"] == "one\nx\ntwo\n"


async def test_lines_arrive_as_they_are_printed(client: Client) -> None:
    command = await client.begin("s", "for i in 1 2 3; do echo out$i; read x; done", suppressInputEcho=True)
    path = f"/process/session/s/command/{command}/logs?follow=true"
    async with client.http.ws_connect(path, headers=NEWEST) as ws:
        for number in (1, 2, 3):
            assert (await ws.receive()).data == f"{OUT}out{number}\n".encode()
            await client.type("s", command, data="x")
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1000


async def test_bytes_arrive_as_written(client: Client) -> None:
    command = r"printf 'a\0b\377\r\n\001\001'; printf 'no end'; printf '\002' >&2"
    done = await client.run("s", command)
    frames = await client.follow("s", done["cmdId"])
    parts = re.split(rb"(\x01{3}|\x02{3})", b"".join(frames))
    out = b"".join(data for mark, data in zip(parts[1::2], parts[2::2], strict=True) if mark == OUT.encode())
    assert out == b"a\0b\xff\r\n\x01\x01no end"
    async with client.http.get(f"/process/session/s/command/{done['cmdId']}/logs") as answer:
        assert sorted(await answer.read()) == sorted(b"a\0b\xff\r\n\x01\x01no end\x02")


async def test_every_byte_once_by_offset(client: Client) -> None:
    """A client that is disconnected ten times resumes at its offset."""
    command = await client.begin("s", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
    found = b""
    path = f"/process/session/s/command/{command}/logs"
    for stop in [*range(1000, 11_000, 1000), 10**9]:
        async with client.http.ws_connect(path, params={"follow": "true", "offset": len(found)}, headers=NEWEST) as ws:
            async for message in ws:
                found += message.data.replace(OUT.encode(), b"")
                if len(found) >= stop:
                    break
    assert found == b"".join(b"line %d\n" % number for number in range(2000))


async def test_tail_offset_and_wait(client: Client) -> None:
    command = await client.begin("s", "printf 0123456789; read x; printf more", suppressInputEcho=True)
    await client.seen("s", command, "9")
    assert (await client.logs("s", command, tail=3))["stdout"] == "789"
    assert (await client.logs("s", command, offset=8))["stdout"] == "89"
    waiting = asyncio.create_task(client.logs("s", command, offset=10, wait=30))
    await client.type("s", command, data="x")
    assert (await waiting)["stdout"] == "more"
    await client.ended("s", command)
    assert (await client.logs("s", command, offset=14, wait=30))["stdout"] == ""


async def test_entrypoint_is_a_session_that_can_only_be_read(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path) as (client, served):
        assert (await client.call("GET", "/entrypoint", 404))["code"] == "PROCESS_NOT_FOUND"
        served.entrypoint.argv = ["sh", "-c", 'echo "it\'s"; echo up >&2; exit 4']
        await served.entrypoint.start()
        assert served.entrypoint.entry is not None
        await served.entrypoint.entry.wait()
        assert await client.call("GET", "/entrypoint") == {
            "sessionId": "entrypoint",
            "commands": [
                {
                    "id": "entrypoint_command",
                    "command": "'sh' '-c' 'echo \"it'\\''s\"; echo up >&2; exit 4'",
                    "exitCode": 4,
                }
            ],
        }
        logs = await client.call("GET", "/entrypoint/logs", headers=NEWEST)
        assert (logs["stdout"], logs["stderr"]) == ("it's\n", "up\n")
        async with client.http.ws_connect("/process/session/entrypoint/logs?follow=true") as ws:
            frames = [message.data async for message in ws]
        assert sorted(frames) == [b"\x01\x01\x01it's\n", b"\x02\x02\x02up\n"]
        assert await client.logs("entrypoint", "entrypoint_command") == logs
        assert await client.call("GET", "") == []
        process = await client.entrypoint()
        assert (process["state"], process["exitCode"], process["name"]) == ("terminal", 4, "entrypoint")
        for method, path, body in (
            ("DELETE", "", None),
            ("POST", "/stdin", {"data": "x"}),
            ("POST", "/signals", {"signal": "SIGKILL"}),
        ):
            async with client.http.request(method, f"/processes/{process['id']}{path}", json=body) as answer:
                assert answer.status in (403, 409), (method, path, await answer.text())


async def test_entrypoint_that_runs_is_protected(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path) as (client, served):
        served.entrypoint.argv = ["sleep", "1000"]
        await served.entrypoint.start()
        process = await client.entrypoint()
        assert (process["state"], process["system"], process["argv"]) == ("running", True, ["sleep", "1000"])
        for path, body in (("/stdin", {"data": "x"}), ("/signals", {"signal": "SIGKILL"})):
            async with client.http.post(f"/processes/{process['id']}{path}", json=body) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "PROTECTED_PROCESS")
        async with client.http.delete(f"/processes/{process['id']}") as answer:
            assert answer.status == 403
        waiting = asyncio.create_task(client.http.get(f"/processes/{process['id']}/wait"))
        await client.call("GET", "/entrypoint")
        await served.entrypoint.stop()
        async with await waiting as answer:
            assert (await answer.json())["reason"] == "sandbox_stopped"


async def test_entrypoint_that_cannot_start_says_why(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path) as (client, served):
        served.entrypoint.argv = ["/does/not/exist", "x"]
        await served.entrypoint.start()
        (command,) = (await client.call("GET", "/entrypoint"))["commands"]
        assert command == {"id": "entrypoint_command", "command": "'/does/not/exist' 'x'", "exitCode": 127}
        logs = await client.call("GET", "/entrypoint/logs", headers=NEWEST)
        assert (logs["stdout"], logs["stderr"]) == ("", "/does/not/exist: no such file or directory\n")
        assert (await client.entrypoint())["reason"] == "failed"


async def test_earlier_sessions_can_be_read_after_a_restart(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path) as (client, _):
        await client.create("s")
        done = await client.run("s", "echo kept; echo err >&2; (exit 3)")
        running = await client.begin("s", "echo so far; sleep 60")
        await client.seen("s", running, "so far")
    async with serve(tmp_path) as (client, _):
        (session,) = await client.call("GET", "")
        assert [item.get("exitCode") for item in session["commands"]] == [3, session["commands"][1]["exitCode"]]
        assert session["commands"][1]["exitCode"] in (137, 143)
        logs = await client.logs("s", done["cmdId"])
        assert (logs["stdout"], logs["stderr"]) == ("kept\n", "err\n")
        assert (await client.logs("s", running))["stdout"] == "so far\n"
        assert (await client.run("s", "true", 410))["code"] == "SESSION_ENDED"
        await client.create("s")
        assert (await client.run("s", "echo new"))["stdout"] == "new\n"
    async with serve(tmp_path) as (client, _):
        (session,) = await client.call("GET", "")
        assert [item["command"] for item in session["commands"]] == ["echo new"]
        await client.call("DELETE", "/s", 204)
    assert list((tmp_path / "state" / "sessions").iterdir()) == []


async def test_command_of_a_session_is_a_process(client: Client) -> None:
    command = await client.begin("s", "echo up; read x")
    await client.seen("s", command, "up")
    async with client.http.get("/processes", params={"sessionId": "s"}) as answer:
        (found,) = await answer.json()
    assert (found["id"], found["state"], found["shellCommand"]) == (command, "running", "echo up; read x")


async def test_large_output_arrives_whole_and_costs_no_memory(client: Client) -> None:
    done = await client.run("s", "head -c 20000000 /dev/zero | tr '\\0' x")
    assert len(done["stdout"]) == 20_000_000
    frames = await client.follow("s", done["cmdId"])
    assert sum(len(frame) - 3 for frame in frames) == 20_000_000
    assert max(map(len, frames)) <= 32 * 1024
