"""The process API in the whole daemon: terminals and code runs are processes too."""

from __future__ import annotations

import asyncio
import pathlib
import sys
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running
from tests.daemon_process import serving

NEWEST = {"X-Daytona-SDK-Version": "0.226.1"}
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"


async def call(client: aiohttp.ClientSession, method: str, path: str, **fields: Any) -> Any:
    async with client.request(method, path, **fields) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.content_type == "application/json" else None


async def test_terminal_is_a_process(client: aiohttp.ClientSession, server: Running) -> None:
    body = {
        "kind": "pty",
        "shellCommand": "stty size; echo $TERM; read x; stty size; exit 6",
        "terminal": {"cols": 91, "rows": 31, "term": "vt100"},
        "name": "screen",
    }
    made = await call(client, "POST", "/processes", json=body)
    assert (made["kind"], made["state"], made["name"]) == ("pty", "running", "screen")
    path = f"/processes/{made['id']}"
    resized = await call(client, "POST", f"{path}/resize", json={"cols": 50, "rows": 20})
    assert resized["terminal"] == {"cols": 50, "rows": 20}
    async with client.ws_connect(f"{path}/attach", protocols=[EXIT_CONTROL]) as ws:
        assert await ws.receive_json() == {"type": "control", "status": "connected"}
        text = b""
        while b"vt100" not in text:
            text += await ws.receive_bytes()
        await ws.send_bytes(b"x\r")
        async for message in ws:
            if message.type == aiohttp.WSMsgType.TEXT:
                assert message.json() == {
                    "type": "control",
                    "status": "exited",
                    "exitCode": 6,
                    "exitReason": "non-zero exit",
                }
                break
            text += message.data
    assert b"20 50" in text
    page = await call(client, "GET", f"{path}/logs")
    assert page["eof"]
    assert {frame["channel"] for frame in page["frames"]} == {"pty"}
    assert "".join(frame["data"] for frame in page["frames"]).encode() == text
    assert (await call(client, "GET", path))["exitCode"] == 6
    await call(client, "DELETE", path)


async def test_terminal_ends_at_its_deadline(client: aiohttp.ClientSession) -> None:
    made = await call(client, "POST", "/processes", json={"kind": "pty", "timeoutMs": 300})
    ended = await call(client, "GET", f"/processes/{made['id']}/wait")
    assert (ended["reason"], ended["exitCode"]) == ("timed_out", 124)


async def test_terminal_takes_neither_limits_nor_user(client: aiohttp.ClientSession) -> None:
    for field in ({"limits": {"cpus": 1}}, {"user": "nobody"}):
        async with client.post("/processes", json={"kind": "pty", **field}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "UNSUPPORTED_OPERATION")


async def test_terminal_made_elsewhere_is_listed_and_signalled(client: aiohttp.ClientSession) -> None:
    await call(client, "POST", "/process/pty", json={"id": "mine"})
    (found,) = await call(client, "GET", "/processes", params={"kind": "pty"})
    assert found["state"] == "running"
    await call(client, "POST", f"/processes/{found['id']}/signals", json={"signal": "KILL"})
    ended = await call(client, "GET", f"/processes/{found['id']}/wait")
    assert ended["exitCode"] == 137


async def test_code_that_runs_is_listed_and_signalled(client: aiohttp.ClientSession) -> None:
    body = {"language": "python", "code": "import time; print('up', flush=True); time.sleep(100)"}
    asked = asyncio.create_task(call(client, "POST", "/process/code-run", json=body))
    while not (found := await call(client, "GET", "/processes", params={"kind": "code"})):
        await asyncio.sleep(0)
    path = f"/processes/{found[0]['id']}"
    while not (await call(client, "GET", f"{path}/logs"))["frames"]:
        await asyncio.sleep(0)
    await call(client, "POST", f"{path}/signals", json={"signal": "KILL"})
    answer = await asked
    assert (answer["exitCode"], answer["result"]) == (137, "up\n")


async def test_command_of_a_session_is_signalled_and_the_session_lives_on(client: aiohttp.ClientSession) -> None:
    await call(client, "POST", "/process/session", json={"sessionId": "s"})
    run = {"command": "A=kept; echo up; sleep 100", "runAsync": True}
    await call(client, "POST", "/process/session/s/exec", json=run)
    while not (found := await call(client, "GET", "/processes", params={"sessionId": "s"})):
        await asyncio.sleep(0)
    path = f"/processes/{found[0]['id']}"
    while not (await call(client, "GET", f"{path}/logs"))["frames"]:
        await asyncio.sleep(0)
    await call(client, "POST", f"{path}/signals", json={"signal": "TERM"})
    assert (await call(client, "GET", f"{path}/wait"))["exitCode"] == 143
    answer = await call(client, "POST", "/process/session/s/exec", json={"command": "echo $A"})
    assert answer["exitCode"] == 0
    assert "kept" in answer["output"]
    await call(client, "DELETE", "/process/session/s")
    assert await call(client, "GET", "/processes", params={"sessionId": "s"}) == []


TOO_MUCH = f"{sys.executable} -c 'bytearray(900 << 20)' 2>/dev/null || echo refused"


@pytest.fixture
def environ(environ: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """Start the daemon of a test with the variables it is marked with."""
    marker = request.node.get_closest_marker("settings")
    return {**environ, **(marker.kwargs if marker else {})}


@pytest.mark.settings(TOOLBOX_COMMAND_CPUS="1", TOOLBOX_COMMAND_MEMORY_BYTES=str(500 << 20))
async def test_usual_limits_hold_everywhere(client: aiohttp.ClientSession) -> None:
    """One processor, and less memory than it takes."""
    script = f"nproc; {TOO_MUCH}"
    answer = await call(client, "POST", "/process/execute", json={"command": script})
    assert answer["result"] == "1\nrefused\n"
    await call(client, "POST", "/process/session", json={"sessionId": "s"})
    answer = await call(client, "POST", "/process/session/s/exec", json={"command": script}, headers=NEWEST)
    assert answer["stdout"] == "1\nrefused\n"
    code = "import os; print(len(os.sched_getaffinity(0))); bytearray(900 << 20)"
    answer = await call(client, "POST", "/process/code-run", json={"code": code})
    assert answer["exitCode"] in (1, 137)  # refused by the interpreter, or killed where a cgroup holds the limit
    assert answer["result"].startswith("1\n")
    made = await call(client, "POST", "/processes", json={"kind": "pty", "argv": ["sh", "-c", script]})
    assert made["limits"]["cpus"] == 1
    await call(client, "GET", f"/processes/{made['id']}/wait")
    logs = await call(client, "GET", f"/processes/{made['id']}/logs")
    assert "".join(frame["data"] for frame in logs["frames"]) == "1\r\nrefused\r\n"


async def test_peak_memory_is_told_where_it_is_known(tmp_path: pathlib.Path) -> None:
    """In a process of its own: what is below the daemon's own peak is not known, and that of the tests is large."""

    async def details(command: str) -> dict[str, Any]:
        made = await call(api, "POST", "/processes", json={"shellCommand": command})
        await call(api, "GET", f"/processes/{made['id']}/wait")
        return (await call(api, "GET", f"/processes/{made['id']}"))["details"]

    with serving(tmp_path / "daemon") as daemon:
        async with aiohttp.ClientSession(daemon.url) as api:
            used = await details(f"{sys.executable} -c 'x = bytearray(400 << 20)'; true")
            assert 400 << 20 < used["peakMemoryBytes"] < 500 << 20
            assert "peakMemoryBytes" not in await details("true")
