"""Terminals over HTTP and WebSocket: shapes, life cycle, frames and close codes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.terminal_client import CONNECTED, EXIT_CONTROL, IN_BAND, Served, Tty, connected, gone, new, same, serve
from toolbox.process.terminals.wire import CreateRequest
from toolbox.runs.run import TimeLimit

Session = aiohttp.ClientSession
VERSION = "X-Daytona-SDK-Version~0.218.0"
ENVS = "X-Daytona-Pty-Envs~"


def token(envs: Any) -> str:
    return ENVS + base64.urlsafe_b64encode(json.dumps(envs).encode()).rstrip(b"=").decode()


@pytest.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as component:
        yield component


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def answer(response: Any) -> Any:
    async with response as got:
        return got.status, await got.json()


async def test_create_list_get_delete(api: Session, tmp_path: pathlib.Path) -> None:
    assert await answer(api.post("/process/pty", json={"id": "one", "cols": 100})) == (201, {"sessionId": "one"})
    status, info = await answer(api.get("/process/pty/one"))
    assert status == 200
    assert info.pop("offset") >= info.pop("firstOffset") == 0
    assert re.fullmatch(r"[0-9a-f]{32}", info.pop("processId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info.pop("createdAt"))
    assert info == {
        "id": "one",
        "cwd": str(tmp_path),
        "envs": {"TERM": "xterm-256color"},
        "cols": 100,
        "rows": 24,
        "active": True,
        "lazyStart": False,
    }
    _, listed = await answer(api.get("/process/pty"))
    assert [each["id"] for each in listed["sessions"]] == ["one"]
    assert await answer(api.delete("/process/pty/one")) == (200, {"message": "PTY session deleted"})
    assert await answer(api.get("/process/pty")) == (200, {"sessions": []})


@pytest.mark.parametrize("method", ["get", "delete"])
async def test_unknown_terminal(api: Session, method: str) -> None:
    status, error = await answer(api.request(method, "/process/pty/nobody"))
    assert (status, error["code"], error["message"]) == (404, "PROCESS_NOT_FOUND", "PTY session not found")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"id": "create-connect"}, "id"),
        ({"id": "x", "cols": 0}, "cols"),
        ({"id": "x", "rows": 1001}, "rows"),
        ({"id": "x", "cols": "80"}, "cols"),
        ({"id": "x", "cwd": "/does/not/exist"}, "/does/not/exist"),
        ({"id": "x", "cwd": "a\0b"}, "cwd"),
        ({"id": "x", "envs": {"A=B": "1"}}, "A=B"),
        ({"id": "x", "envs": {"A": 1}}, "envs"),
    ],
)
async def test_bad_requests_are_named_and_leave_nothing(api: Session, body: Any, named: str) -> None:
    status, error = await answer(api.post("/process/pty", json=body))
    assert status == 400
    assert named in error["message"]
    assert await answer(api.get("/process/pty")) == (200, {"sessions": []})


async def test_of_many_with_one_id_one_is_made(api: Session) -> None:
    answers = await asyncio.gather(*(answer(api.post("/process/pty", json={"id": "same"})) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [201] + [409] * 7
    assert {error["code"] for status, error in answers if status == 409} == {"CONFLICT"}


async def test_there_is_a_limit(api: Session) -> None:
    for number in range(256):
        async with api.post("/process/pty", json={"id": f"t{number}", "lazyStart": True}) as made:
            assert made.status == 201
    status, error = await answer(api.post("/process/pty", json={"id": "more", "lazyStart": True}))
    assert (status, error["code"]) == (429, "TOO_MANY_REQUESTS")


async def test_ids_of_any_characters(api: Session) -> None:
    for name in ("..", "a/b", "späce d", "%"):
        assert (await answer(api.post("/process/pty", json={"id": name, "lazyStart": True})))[0] == 201
    _, listed = await answer(api.get("/process/pty"))
    assert [each["id"] for each in listed["sessions"]] == ["..", "a/b", "späce d", "%"]
    async with api.get("/process/pty/a%2Fb") as one:
        assert one.status == 200


async def test_shell_has_its_terminal_directory_and_variables(api: Session, served: Served) -> None:
    (served.work / "sub").mkdir()
    served.environment.update({"FROM_DAEMON": "yes", "COLUMNS": "7"})
    envs = token({"MINE": "ja", "TERM": "vt100"})
    async with connected(api, new("e", cwd="sub", cols=91, rows=33), protocols=(EXIT_CONTROL, envs)) as tty:
        await tty.type('echo "<$MINE $TERM $FROM_DAEMON ${COLUMNS-none}>"; pwd; stty size; test -t 0 -a -t 2 && tty\n')
        await tty.until("<ja vt100 yes none>\r\n")
        await tty.until(f"{served.work}/sub\r\n33 91\r\n/dev/pts/\\d+\r\n")
        await tty.type("exec 3<>/dev/tty && echo contr''olled\n")
        await tty.until("controlled")


async def test_shell_is_interactive_and_a_login_shell(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".profile").write_text("echo from pro''file\n")
    async with (
        serve(tmp_path, shell="bash") as served,
        aiohttp.ClientSession(served.url) as session,
        connected(session, new("b")) as tty,
    ):
        await tty.until("from profile")
        await tty.type("shopt -q login_shell && echo lo''gin; echo flags=$-; sleep 100 &\n")
        await tty.until(r"login\r\n")
        assert {b"i", b"m"} <= {bytes([each]) for each in (await tty.until(r"flags=(\w+)\r\n"))[1]}
        await tty.until(r"\[1\] \d+")


async def test_size_in_the_query_is_checked(api: Session) -> None:
    for query in ({"cols": 0}, {"rows": "x"}, {"cols": 1001}):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await api.ws_connect(f"/process/pty/{new('q', **query)}")
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("offered", "echoed"),
    [
        ([EXIT_CONTROL], EXIT_CONTROL),
        ([EXIT_CONTROL, token({"A": "1"})], EXIT_CONTROL),
        ([token({"A": "1"}), EXIT_CONTROL], EXIT_CONTROL),
        ([VERSION, token({"A": "1"}), EXIT_CONTROL], VERSION),
        ([token({"A": "1"}), "else"], "else"),
        ([token({"A": "1"})], token({"A": "1"})),
        ([], None),
    ],
)
async def test_one_offered_protocol_is_echoed(api: Session, offered: list[str], echoed: str | None) -> None:
    async with connected(api, new("p"), protocols=offered) as tty:
        assert tty.ws._response.headers.get("Sec-WebSocket-Protocol") == echoed


async def test_protocols_on_several_header_lines(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        b"GET /process/pty/create-connect?id=lines HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: " + token({"A": "two lines"}).encode() + b"\r\n"
        b"Sec-WebSocket-Protocol: " + EXIT_CONTROL.encode() + b"\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101 Switching" in head
    assert f"Sec-WebSocket-Protocol: {EXIT_CONTROL}\r\n".encode() in head
    size, text = (await reader.readexactly(2))[1], await reader.readexactly(len(CONNECTED))
    assert (size, text) == (len(CONNECTED), CONNECTED.encode())
    assert served.component.terminals.get("lines").info().envs["A"] == "two lines"
    writer.close()
    await writer.wait_closed()


async def test_sixty_kilobytes_of_variables(api: Session) -> None:
    envs = {f"NAME_{number}": "v" * 1000 for number in range(46)}
    assert len(token(envs)) > 60_000
    async with connected(api, new("big"), protocols=(EXIT_CONTROL, token(envs))) as tty:
        await tty.type("echo ${#NAME_43}\n")
        await tty.until("1000\r\n")


@pytest.mark.parametrize(
    "bad",
    [
        ENVS + "!!!",
        ENVS + "W10",
        token(["A"]),
        *(token(each) for each in ({"A": 1}, {"": "x"}, {"A=": "x"}, {"A\n": "x"}, {"A": "x\0"}, {"A": "x" * 70_000})),
    ],
)
async def test_malformed_variables_are_refused_before_the_upgrade(api: Session, bad: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.ws_connect(f"/process/pty/{new('bad')}", protocols=(EXIT_CONTROL, bad))
    assert caught.value.status == 400
    assert await answer(api.get("/process/pty")) == (200, {"sessions": []})


async def test_taken_id_is_refused_before_the_upgrade(api: Session) -> None:
    async with connected(api, new("taken")):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await api.ws_connect(f"/process/pty/{new('taken')}")
        assert caught.value.status == 409


async def test_typescript_sdk_is_told_in_words(api: Session) -> None:
    """The SDK shows "[object Object]" for an HTTP error on a WebSocket request."""
    await answer(api.post("/process/pty", json={"id": "taken", "lazyStart": True}))
    headers = {"X-Daytona-Source": "sdk-typescript"}
    async with api.ws_connect(f"/process/pty/{new('taken')}", headers=headers, protocols=(EXIT_CONTROL,)) as ws:
        tty = Tty(ws)
        assert (await tty.control("error"))["error"].endswith("PTY session with id 'taken' already exists")
        assert (await tty.end())[0] == 1011


async def test_connect_errors_come_after_the_upgrade(api: Session) -> None:
    async with api.ws_connect("/process/pty/nobody/connect") as ws:
        tty = Tty(ws)
        error = "Failed to connect to PTY session: PTY session nobody not found"
        assert await tty.control("error") == {"type": "control", "status": "error", "error": error}
        assert await tty.end() == (1011, '{"error":"PTY session nobody not found"}')


@pytest.mark.parametrize(
    ("script", "close", "exited"),
    [
        ("exit 0", (1000, '{"exitCode":0}'), {"exitCode": 0}),
        (
            "exit 5",
            (1011, '{"exitCode":5,"exitReason":"non-zero exit"}'),
            {"exitCode": 5, "exitReason": "non-zero exit"},
        ),
        ("kill -9 $$", (1011, '{"exitCode":137,"exitReason":"SIGKILL"}'), {"exitCode": 137, "exitReason": "SIGKILL"}),
        (
            "trap - TERM; kill -15 $$; exit 143",
            (1011, '{"exitCode":143,"exitReason":"SIGTERM"}'),
            {"exitCode": 143, "exitReason": "SIGTERM"},
        ),
        ("exit 130", (1011, '{"exitCode":130,"exitReason":"Ctrl+C"}'), {"exitCode": 130, "exitReason": "Ctrl+C"}),
        ("kill -6 $$", (1011, '{"exitCode":134,"exitReason":"signal 6"}'), {"exitCode": 134, "exitReason": "signal 6"}),
    ],
)
async def test_exit_is_told_twice(api: Session, script: str, close: tuple[int, str], exited: Any) -> None:
    async with connected(api, new("x")) as tty:
        await tty.type(f"{script}\n")
        assert await tty.end() == close
        assert tty.frames == [{"type": "control", "status": "exited", **exited}]
        assert (await answer(api.get("/process/pty/x")))[0] == 404
        assert (await answer(api.post("/process/pty", json={"id": "x"})))[0] == 201


async def test_old_clients_only_see_the_close_frame(api: Session) -> None:
    async with connected(api, new("old"), protocols=()) as tty:
        await tty.type("exit 3\n")
        assert await tty.end() == (1011, '{"exitCode":3,"exitReason":"non-zero exit"}')
        assert tty.frames == []


async def test_no_byte_of_the_tail_is_lost(api: Session) -> None:
    async with connected(api, new("seq")) as tty:
        await tty.type("stty -echo -onlcr; echo go''on; seq 100000; exit\n")
        await tty.until("goon\n")
        await tty.end()
        assert same(tty.output, b"".join(b"%d\n" % number for number in range(1, 100_001)))


async def test_bytes_are_not_touched(api: Session, served: Served) -> None:
    data = bytes(range(256)) * 40
    (served.work / "data").write_bytes(data)
    async with connected(api, new("raw")) as tty:
        await tty.type("stty -echo -opost; echo go''on; cat data; exit\n")
        await tty.until("goon\n")
        await tty.end()
        assert same(tty.output, data)


async def test_program_in_the_background_does_not_delay_the_end(api: Session, tmp_path: pathlib.Path) -> None:
    async with connected(api, new("bg")) as tty:
        await tty.type("(trap '' HUP; echo $$ >pid; exec sleep 1000) & echo st''arted; sleep 0.1; exit 0\n")
        assert (await tty.end())[0] == 1000
        assert b"started" in tty.output


async def test_shell_that_closes_its_terminal_has_not_ended(api: Session) -> None:
    async with connected(api, new("closed")) as tty:
        await tty.type(
            "exec 4<>/dev/tty; exec </dev/null >/dev/null 2>&1; exec 4>&-; sleep 0.3; echo ba''ck >/dev/tty\n"
        )
        await tty.until("back")
        assert (await tty.end())[0] == 1000


async def test_every_client_gets_all_output_and_can_write(api: Session) -> None:
    async with connected(api, new("two")) as first, connected(api, "two/connect") as second:
        await first.type(b"echo by''te frame\n")
        await first.until("byte frame")
        await second.until("byte frame")
        await second.type("echo te''xt frame\n")
        await second.until("text frame")
        await first.until("text frame")
        # Without the sub-protocol JSON is input like any other text.
        await first.type('{"type":"resize","cols":5,"rows":5}\n')
        await second.until('resize","cols')
        await first.type("exit\n")
        assert await first.end() == await second.end()


async def test_disconnecting_does_not_end_the_shell_and_output_is_replayed(api: Session) -> None:
    async with connected(api, new("re")) as tty:
        await tty.type("echo fi''rst\n")
        await tty.until("first\r\n")
    async with connected(api, "re/connect") as tty:
        await tty.until(r"fi''rst\r\n.*first\r\n")
        await tty.type("echo sec''ond\n")
        await tty.until(r"second\r\n[#$] ")
    async with connected(api, "re/connect?replay=0", protocols=(IN_BAND,)) as tty:
        assert (await tty.control("replay"))["offset"] == (await answer(api.get("/process/pty/re")))[1]["offset"]
        await tty.type(b"echo th''ird\n")
        await tty.until("third\r\n")
    assert b"second" not in tty.output


async def test_input_right_before_a_disconnect_is_written(api: Session, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "done")
    async with connected(api, new("bye")) as tty:
        await tty.type(": >done\n")
        await tty.ws.close()
    assert await asyncio.to_thread((tmp_path / "done").read_bytes) == b""


async def test_ten_connections_see_each_byte_once(api: Session) -> None:
    count = 100_000
    async with connected(api, new("ten")) as tty:
        await tty.type("PS1=; stty -echo -onlcr; echo go''on\n")
        await tty.until("goon\n")
        offset = (await answer(api.get("/process/pty/ten")))[1]["offset"]
    seen = bytearray()
    async with connected(api, f"ten/connect?since={offset}") as tty:
        await tty.type(f"seq {count}; echo ov''er\n")
    for turn in range(10):
        async with connected(api, f"ten/connect?since={offset + len(seen)}") as tty:
            while b"over" not in tty.output and (turn == 9 or len(tty.output) < 100):
                await tty.step()
        seen += tty.output
    whole = b"".join(b"%d\n" % number for number in range(1, count + 1))
    assert same(seen[: seen.index(b"over")], whole)


async def test_replay_starts_at_a_line_once_the_head_is_lost(api: Session) -> None:
    async with connected(api, new("long")) as tty:
        await tty.type("stty -onlcr; seq 400000; echo ov''er\n")
        await tty.until("over")
        info = (await answer(api.get("/process/pty/long")))[1]
    assert info["firstOffset"] == info["offset"] - 1024 * 1024
    for since in ("", "?since=5"):
        async with connected(api, f"long/connect{since}", protocols=(IN_BAND,)) as tty:
            start = (await tty.control("replay"))["offset"]
            await tty.until("over")
            assert 0 <= start - info["firstOffset"] < 10
    async with connected(api, f"long/connect?since={info['offset'] - 4}") as tty:
        await tty.type("exit\n")
        await tty.end()
        assert len(tty.output) < 100


async def test_size_changes(api: Session) -> None:
    async with connected(api, new("size")) as tty:
        await tty.type("trap 'stty size' WINCH; echo re''ady\n")
        await tty.until("ready")
        status, info = await answer(api.post("/process/pty/size/resize", json={"cols": 132, "rows": 43}))
        assert (status, info["cols"], info["rows"]) == (200, 132, 43)
        await tty.type("\n")
        await tty.until("43 132")


async def test_size_of_a_terminal_that_waits_for_its_first_client(api: Session) -> None:
    await answer(api.post("/process/pty", json={"id": "lazy", "lazyStart": True}))
    status, info = await answer(api.post("/process/pty/lazy/resize", json={"cols": 61, "rows": 17}))
    assert (status, info["cols"], info["rows"], info["active"]) == (200, 61, 17, False)
    async with connected(api, "lazy/connect") as tty:
        await tty.type("stty size\n")
        await tty.until("17 61")
        assert (await answer(api.get("/process/pty/lazy")))[1]["active"] is True


async def test_resize_of_an_ended_terminal(api: Session) -> None:
    async with connected(api, new("dead")) as tty:
        await tty.type("exit\n")
        await tty.end()
    status, error = await answer(api.post("/process/pty/dead/resize", json={"cols": 80, "rows": 24}))
    assert (status, error["code"]) == (410, "GONE")


@pytest.mark.parametrize(
    "body", [{"cols": 0, "rows": 1}, {"cols": 1, "rows": 1001}, {"cols": 1}, {"cols": 1.5, "rows": 2}]
)
async def test_bad_sizes(api: Session, body: Any) -> None:
    status, error = await answer(api.post("/process/pty/any/resize", json=body))
    assert (status, error["code"]) == (400, "INVALID_REQUEST_BODY")


async def test_lazy_terminal_that_cannot_start_reports_it_and_is_kept(api: Session, served: Served) -> None:
    await answer(api.post("/process/pty", json={"id": "lazy", "lazyStart": True, "cwd": "later"}))
    async with api.ws_connect("/process/pty/lazy/connect") as ws:
        assert "later: no such file or directory" in (await Tty(ws).control("error"))["error"]
    (served.work / "later").mkdir()
    async with connected(api, "lazy/connect") as tty:
        await tty.type("pwd\n")
        await tty.until("/later\r\n")


async def test_lazy_terminal_starts_once_for_many(api: Session) -> None:
    await answer(api.post("/process/pty", json={"id": "many", "lazyStart": True}))

    async def pid() -> bytes:
        async with connected(api, "many/connect") as tty:
            await tty.type("echo pid=$$\n")
            return (await tty.until(r"pid=(\d+)\r\n"))[1]

    assert len(set(await asyncio.gather(*(pid() for _ in range(5))))) == 1


async def test_paste_of_a_mebibyte(api: Session, served: Served) -> None:
    data = b"".join(b"%07d\n" % number for number in range(128 * 1024))
    async with connected(api, new("paste")) as tty:
        await tty.type("stty -echo; echo go''on; cat >pasted; echo do''ne\n")
        await tty.until("goon")
        await tty.type(data)
        await tty.type(b"\x04")
        await tty.until("done")
    assert same((served.work / "pasted").read_bytes(), data)


async def test_pings_are_answered_while_input_and_output_are_stuck(api: Session) -> None:
    async with connected(api, new("ping"), heartbeat=0.4) as tty:
        await tty.type("stty -icanon; echo go''on; sleep 1000\n")
        await tty.until("goon")
        await tty.type(b"x" * 300_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await tty.end()
        assert not tty.ws.closed


async def test_delete_kills_disowned_children_and_tells_who_is_connected(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path, shell="bash") as served, aiohttp.ClientSession(served.url) as session:
        async with connected(session, new("kill")) as tty:
            await tty.type("set +m; sleep 1000 & disown; echo pid=$!; setsid sleep 1000 & echo pid=$!\n")
            pids = [int((await tty.until(r"pid=(\d+)\r\n"))[1]) for _ in range(2)]
            assert (await answer(session.delete("/process/pty/kill")))[0] == 200
            assert await tty.end() == (1011, '{"exitCode":137,"exitReason":"SIGKILL"}')
            assert tty.frames == [{"type": "control", "status": "exited", "exitCode": 137, "exitReason": "SIGKILL"}]
        for pid in pids:
            await gone(pid)


async def test_deleting_twice_at_once(api: Session) -> None:
    await answer(api.post("/process/pty", json={"id": "twice"}))
    done = await asyncio.gather(*(answer(api.delete("/process/pty/twice")) for _ in range(2)))
    assert {status for status, _ in done} <= {200, 404}
    assert 200 in {status for status, _ in done}


async def test_shutdown_closes_with_1001_and_ends_the_shell(tmp_path: pathlib.Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with serve(tmp_path) as served:
            ws = await session.ws_connect(f"{served.url}/process/pty/{new('s')}")
            tty = Tty(ws)
            await tty.type("echo pid=$$\n")
            pid = int((await tty.until(r"pid=(\d+)\r\n"))[1])
            ending = asyncio.create_task(tty.end())
        assert (await ending)[0] == 1001
        await gone(pid)


async def test_shell_at_its_prompt_does_not_hold_up_the_end(tmp_path: pathlib.Path) -> None:
    async with serve(tmp_path, shell="bash") as served:
        await served.component.terminals.create(CreateRequest(id="one"))
        async with asyncio.timeout(20):
            await served.component.terminals.close(60)


async def test_too_many_clients_get_an_error(api: Session) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(connected(api, new("full")))
        for _ in range(63):
            await stack.enter_async_context(connected(api, "full/connect"))
        async with connected(api, "full/connect") as tty:
            assert "64 clients already" in (await tty.control("error"))["error"]
            assert (await tty.end())[0] == 1011


async def test_names_that_are_not_text(api: Session, served: Served) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.ws_connect(URL(f"{served.url}/process/pty/create-connect?id=%FF", encoded=True))
    assert caught.value.status == 400
    os.mkdir(os.fsencode(served.work) + b"/\xff")
    async with api.ws_connect(URL(f"{served.url}/process/pty/create-connect?id=x&cwd=%FF", encoded=True)) as ws:
        await Tty(ws).control("connected")
        assert (await answer(api.get("/process/pty/x")))[1]["cwd"].endswith("/\ufffd")
    async with api.ws_connect(URL(f"{served.url}/process/pty/%FF/connect", encoded=True)) as ws:
        assert "\ufffd not found" in (await Tty(ws).control("error"))["error"]


async def test_in_band_commands(api: Session) -> None:
    async with connected(api, new("band"), protocols=(IN_BAND,)) as tty:
        assert tty.ws.protocol == IN_BAND
        assert await tty.control("replay") == {"type": "control", "status": "replay", "offset": 0}
        await tty.type('{"type":"ping","id":"7"}')
        assert (await tty.control("pong"))["id"] == "7"
        await tty.type('{"type":"resize","cols":44,"rows":11}')
        await tty.control("resized")
        await tty.type(b"stty size; sh -c 'echo re\"\"ady; exec sleep 1000'; echo inter''rupted $?\n")
        await tty.until("11 44.*ready")
        await tty.type('{"type":"signal","signal":"SIGTERM"}')
        await tty.until("interrupted 143")
        for bad in ("{", '{"type":"resize","cols":0,"rows":1}', '{"type":"dance"}'):
            await tty.type(bad)
            assert (await tty.control("invalid"))["error"]
        await tty.type('{"type":"signal","signal":"SIGNOTHING"}')
        assert "SIGNOTHING" in (await tty.control("failed"))["error"]
        await tty.type(b"exit 4\n")
        assert (await tty.control("exited"))["exitCode"] == 4


async def test_full_screen_program_redraws_for_a_late_client(api: Session) -> None:
    script = "trap 'echo re''drawn' WINCH; echo re''ady; while :; do sleep 0.05; done"
    async with connected(api, new("draw")) as tty:
        await tty.type(f'sh -c "{script}"\n')
        await tty.until("ready")
    async with connected(api, "draw/connect?replay=0") as tty:
        await tty.until("redrawn")


async def test_entry_of_a_terminal(api: Session, served: Served) -> None:
    async with connected(api, new("entry")) as tty:
        entry = served.registry.get((await answer(api.get("/process/pty/entry")))[1]["processId"])
        controls = entry.controls
        assert controls.write is not None
        assert controls.resize is not None
        assert controls.signal is not None
        assert controls.end_input is not None
        assert (entry.kind, entry.session_id, entry.size, entry.argv[1:]) == ("pty", "entry", (80, 24), ["-i", "-l"])
        await controls.resize(70, 20)
        await controls.write(b"stty size\n")
        await tty.until("20 70")
        assert (await answer(api.get("/process/pty/entry")))[1]["cols"] == 70
        await tty.type("sh -c 'echo re\"\"ady; exec sleep 1000'; echo cau''ght $?\n")
        await tty.until("ready")
        assert await controls.signal(signal.SIGUSR1)
        await tty.until(f"caught {128 + signal.SIGUSR1}")
        await controls.end_input()
        await tty.end()
        end = await entry.wait()
        assert end.code == 0
        assert end.usage is not None
        assert not await controls.signal(signal.SIGUSR1)


async def test_program_on_a_terminal_of_its_own(served: Served) -> None:
    entry = await served.component.terminals.launch(
        argv=["sh", "-c", "stty size; exit 7"],
        cwd="",
        env={"A": "b"},
        cols=30,
        rows=9,
        name="prog",
        session_id="",
        time_limit=TimeLimit(),
    )
    assert (await entry.wait()).code == 7
    assert [chunk.data async for chunk in entry.output.chunks()] == [b"9 30\r\n"]


async def size_of(api: Session, name: str) -> int:
    return int((await answer(api.get(f"/process/pty/{name}")))[1]["offset"])


async def still(api: Session, name: str) -> int:
    """Wait until the output of a terminal stops; return its size."""
    last, now = -1, await size_of(api, name)
    while now != last:
        await asyncio.sleep(0.3)
        last, now = now, await size_of(api, name)
    return now


FLOOD = "PS1=; stty -echo -onlcr; read go; seq 2000000; echo ov''er\n"


async def test_only_client_holds_the_program_back_and_loses_nothing(api: Session) -> None:
    async with connected(api, new("sole"), protocols=(IN_BAND,)) as tty:
        await tty.type(FLOOD.encode())
        await tty.until("er\r\n")
        await tty.type(b"go\n")
        held = await still(api, "sole")
        # The socket buffers, one window, and output in flight.
        assert held < 12_000_000
        await tty.until("over")
        assert await size_of(api, "sole") > 14_000_000
        assert [frame for frame in tty.frames if frame["status"] == "skipped"] == []


async def test_client_that_does_not_read_delays_nobody_and_skips_ahead(api: Session) -> None:
    async with connected(api, new("slow"), protocols=(IN_BAND,)) as slow:
        await slow.type(FLOOD.encode())
        await slow.until("er\r\n")
        async with connected(api, "slow/connect?replay=0", protocols=(IN_BAND,)) as quick:
            await quick.type(b"go\n")
            await quick.until("over")
            assert [frame for frame in quick.frames if frame["status"] == "skipped"] == []
        await slow.until("over")
        end = await size_of(api, "slow")
        skipped = [frame["offset"] for frame in slow.frames if frame["status"] == "skipped"]
        assert skipped
        # It continues near the end, at the start of a line.
        assert end - 300_000 < skipped[-1] < end
