"""Terminals in the whole daemon: each is also an entry of ``/processes``."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp

from tests.conftest import Running, running
from tests.terminal_client import Tty, connected, new

Session = aiohttp.ClientSession
SCRIPT = "stty size; read x; stty size; echo got $x; exit 4"


async def answer(response: Any) -> Any:
    async with response as got:
        return got.status, await got.json() if got.content_length != 0 else None


async def test_process_on_a_terminal(client: Session) -> None:
    request = {"kind": "pty", "argv": ["sh", "-c", SCRIPT], "name": "prog", "terminal": {"cols": 70, "rows": 21}}
    status, process = await answer(client.post("/processes", json=request))
    assert (status, process["kind"], process["terminal"]) == (201, "pty", {"cols": 70, "rows": 21})
    assert "prog" in [each["id"] for each in (await answer(client.get("/process/pty")))[1]["sessions"]]
    async with connected(client, "prog/connect") as tty:
        await tty.until("21 70\r\n")
        path = f"/processes/{process['id']}"
        status, resized = await answer(client.post(f"{path}/resize", json={"cols": 50, "rows": 11}))
        assert (status, resized["terminal"]) == (200, {"cols": 50, "rows": 11})
        async with client.post(f"{path}/stdin", json={"data": "it\n"}) as done:
            assert done.status == 204
        await tty.until("11 50\r\ngot it\r\n")
        assert await tty.end() == (1011, '{"exitCode":4,"exitReason":"non-zero exit"}')
    status, result = await answer(client.get(f"{path}/wait"))
    assert (result["reason"], result["exitCode"]) == ("exited", 4)
    status, page = await answer(client.get(f"{path}/logs"))
    assert {frame["channel"] for frame in page["frames"]} == {"pty"}
    assert "".join(frame["data"] for frame in page["frames"]) == "21 70\r\nit\r\n11 50\r\ngot it\r\n"


async def test_terminal_is_a_process(client: Session) -> None:
    async with connected(client, new("term")) as tty:
        listed = (await answer(client.get("/processes?kind=pty&state=running")))[1]
        assert [each["sessionId"] for each in listed] == ["term"]
        async with client.ws_connect(f"/processes/{listed[0]['id']}/attach") as ws:
            other = Tty(ws)
            await ws.send_bytes(b"echo sh''ared\n")
            await other.until("shared")
        await tty.until("shared")
        async with client.delete("/process/pty/term") as done:
            assert done.status == 200
        assert (await tty.end())[0] == 1011
    gone = (await answer(client.get(f"/processes/{listed[0]['id']}")))[1]
    assert (gone["state"], gone["exitCode"], gone["reason"]) == ("terminal", 137, "signaled")


async def test_name_of_another_process_is_refused(client: Session) -> None:
    await answer(client.post("/processes", json={"shellCommand": "sleep 1000", "name": "taken"}))
    status, error = await answer(client.post("/processes", json={"kind": "pty", "name": "taken"}))
    assert (status, error["code"]) == (409, "NAME_CONFLICT")
    assert await answer(client.get("/process/pty")) == (200, {"sessions": []})


async def test_later_terminals_see_new_variables(client: Session) -> None:
    await answer(client.post("/env", json={"set": {"LATER": "yes"}}))
    async with connected(client, new("env")) as tty:
        await tty.type("echo later=$LATER\n")
        await tty.until("later=yes")


async def test_shutdown_answers_waits_for_a_terminal(environ: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        async with running(environ) as daemon:
            await make(session, daemon)
            waiting = asyncio.create_task(
                answer(session.post(f"{daemon.url}/process/pty/one/wait", json={"text": "never"}))
            )
            while daemon.daemon.server.in_flight < 1:
                await asyncio.sleep(0)
            pid = next(iter(daemon.daemon.registry)).pid
        status, body = await waiting
        assert (status, body["reason"]) == (200, "exited")
        assert not os.path.exists(f"/proc/{pid}")


async def make(session: Session, daemon: Running) -> None:
    async with session.post(f"{daemon.url}/process/pty", json={"id": "one"}) as made:
        assert made.status == 201
