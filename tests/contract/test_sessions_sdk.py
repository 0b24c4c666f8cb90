"""Every session method of the published SDKs, byte for byte: Python sync and async, TypeScript, old Python."""

# ruff: noqa: E501 - JavaScript and old Python inside of strings

from __future__ import annotations

import asyncio
import hashlib
import json
import pathlib
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import OLD_VERSIONS, control_plane
from tests.daemon_process import serving

OUT, ERR = "\x01\x01\x01", "\x02\x02\x02"
TEN = "for i in 0 1 2 3 4 5 6 7 8 9; do echo out$i; sleep 0.1; done; echo err >&2"
# The same, each line after the one before was acknowledged by a file of its number.
ACKNOWLEDGED = TEN.replace("sleep 0.1", "until [ -e {folder}/$i ]; do sleep 0.01; done")
# A hundred million bytes in lines of a hundred, each with its number.
FLOOD = "seq -f '%099.0f' 1 1000000"
FLOOD_SIZE = 100_000_000


def _sha(lines: int) -> str:
    digest = hashlib.sha256()
    for number in range(1, lines + 1):
        digest.update(b"%099d\n" % number)
    return digest.hexdigest()


class Sessions:
    """The session methods of the sync or the async SDK behind the same awaits."""

    def __init__(self, process: Any, kind: str) -> None:
        self._process = process
        self._sync = kind == "sync"
        self.name = f"s-{uuid.uuid4()}"

    async def __aenter__(self) -> None:
        await self("create_session", self.name)

    async def __aexit__(self, *_: object) -> None:
        await self("delete_session", self.name)

    async def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        call = getattr(self._process, method)
        if self._sync and not method.endswith("_async"):
            return await asyncio.to_thread(call, *args, **options)
        return await call(*args, **options)

    async def run(self, command: str, **fields: Any) -> Any:
        from daytona import SessionExecuteRequest

        return await self("execute_session_command", self.name, SessionExecuteRequest(command=command, **fields))

    async def ended(self, command: str) -> int:
        await self("get_session_command_logs_async", self.name, command, lambda _: None, lambda _: None)
        return int((await self("get_session_command", self.name, command)).exit_code)


@pytest.fixture(params=["sync", "async"])
def sessions(request: pytest.FixtureRequest) -> Sessions:
    sandbox = request.getfixturevalue("sdk" if request.param == "sync" else "async_sdk")
    return Sessions(sandbox.process, request.param)


async def test_state_output_and_lists(sessions: Sessions, tmp_path: pathlib.Path) -> None:
    async with sessions:
        first = await sessions.run(f"cd {tmp_path}; export A=1; f() {{ echo f$A; }}")
        assert (first.exit_code, first.output, first.stdout, first.stderr) == (0, "", "", "")
        second = await sessions.run("pwd; f; echo err >&2; (exit 3)")
        assert (second.exit_code, second.stdout, second.stderr) == (3, f"{tmp_path}\nf1\n", "err\n")
        found = await sessions("get_session", sessions.name)
        assert [(item.id, item.exit_code) for item in found.commands] == [(first.cmd_id, 0), (second.cmd_id, 3)]
        assert sessions.name in [item.session_id for item in await sessions("list_sessions")]
        logs = await sessions("get_session_command_logs", sessions.name, second.cmd_id)
        assert (logs.stdout, logs.stderr) == (f"{tmp_path}\nf1\n", "err\n")
        assert sorted(logs.output.splitlines(keepends=True)) == sorted(
            [f"{OUT}{tmp_path}\n", f"{OUT}f1\n", f"{ERR}err\n"]
        )


async def test_ten_lines_arrive_one_by_one(sessions: Sessions, tmp_path: pathlib.Path) -> None:
    """Each line is one call, made before the next line is printed."""
    async with sessions:
        command = await sessions.run(ACKNOWLEDGED.format(folder=tmp_path), run_async=True)
        assert (command.exit_code, command.output) == (None, None)
        out, err = list[str](), list[str]()

        def note(text: str) -> None:
            (tmp_path / str(len(out))).touch()
            out.append(text)

        await sessions("get_session_command_logs_async", sessions.name, command.cmd_id, note, err.append)
        assert (out, err) == ([f"out{i}\n" for i in range(10)], ["err\n"])
        again = list[str]()
        await sessions("get_session_command_logs_async", sessions.name, command.cmd_id, again.append, err.append)
        assert "".join(again) == "".join(out)


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_a_hundred_megabytes_followed_while_they_are_printed(sessions: Sessions) -> None:
    async with sessions:
        command = await sessions.run(FLOOD, run_async=True)
        digest, size = hashlib.sha256(), 0

        def note(text: str) -> None:
            nonlocal size
            digest.update(text.encode())
            size += len(text)

        await sessions("get_session_command_logs_async", sessions.name, command.cmd_id, note, lambda _: None)
        assert (size, digest.hexdigest()) == (FLOOD_SIZE, _sha(1_000_000))


async def test_input(sessions: Sessions) -> None:
    async with sessions:
        command = await sessions.run("printf 'name? '; read n; echo hi $n", run_async=True, suppress_input_echo=True)
        await sessions("send_session_command_input", sessions.name, command.cmd_id, "Ann")
        assert await sessions.ended(command.cmd_id) == 0
        assert (await sessions("get_session_command_logs", sessions.name, command.cmd_id)).stdout == "name? hi Ann\n"
        command = await sessions.run("read n; echo hi $n", run_async=True)
        await sessions("send_session_command_input", sessions.name, command.cmd_id, "Bob\n")
        assert await sessions.ended(command.cmd_id) == 0
        assert (await sessions("get_session_command_logs", sessions.name, command.cmd_id)).stdout == "Bob\nhi Bob\n"


async def test_errors_are_the_precise_classes(sessions: Sessions) -> None:
    async with sessions:
        import daytona

        with pytest.raises(daytona.DaytonaConflictError):
            await sessions("create_session", sessions.name)
        with pytest.raises(daytona.DaytonaProcessNotFoundError, match="session not found"):
            await sessions("get_session", "no-such-session")
        done = await sessions.run("true")
        with pytest.raises(daytona.DaytonaCommandAlreadyCompletedError):
            await sessions("send_session_command_input", sessions.name, done.cmd_id, "late")
        with pytest.raises(daytona.DaytonaProcessNotFoundError):
            await sessions("get_session_command", sessions.name, "no-such-command")
        with pytest.raises(daytona.DaytonaError, match=r"404|not found"):
            await sessions("get_session_command_logs_async", sessions.name, "none", lambda _: None, lambda _: None)
        assert (await sessions.run("echo last; exit 7")).exit_code == 7
        with pytest.raises(daytona.DaytonaSessionEndedError, match="session process has exited"):
            await sessions.run("true")


ENTRYPOINT = """
import asyncio, json, warnings
warnings.simplefilter("ignore")
from daytona import Daytona
process = Daytona().get("box").process
out, err = [], []
asyncio.run(process.get_entrypoint_logs_async(out.append, err.append))
session, logs = process.get_entrypoint_session(), process.get_entrypoint_logs()
command = session.commands[0]
print(json.dumps([out, err, session.session_id, command.id, command.command, logs.stdout, logs.stderr]))
"""


def test_entrypoint(sdk_environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    """The SDK runs on its own: it remembers where the sandboxes of one process are."""
    with (
        serving(tmp_path / "box", "sh", "-c", "echo up; echo err >&2; sleep 1") as served,
        control_plane(served.url, served.home) as url,
    ):
        environ = {**sdk_environment, "DAYTONA_API_URL": url, "DAYTONA_SERVER_URL": url}
        done = subprocess.run(
            [sys.executable, "-c", ENTRYPOINT], env=environ, capture_output=True, text=True, timeout=60
        )
    command = "'sh' '-c' 'echo up; echo err >&2; sleep 1'"
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["up\n"],
        ["err\n"],
        "entrypoint",
        "entrypoint_command",
        command,
        "up\n",
        "err\n",
    ]


def test_typescript(ts: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    found = ts(f"""
const p = sandbox.process, s = 'ts ' + Date.now();
await p.createSession(s);
await p.executeSessionCommand(s, {{command: 'cd {tmp_path}; A=1'}});
const sync = await p.executeSessionCommand(s, {{command: 'pwd; echo $A; echo err >&2; (exit 3)'}});
const begun = await p.executeSessionCommand(s, {{command: {json.dumps(TEN)}, runAsync: true}});
const out = [], err = [];
await p.getSessionCommandLogs(s, begun.cmdId, (x) => out.push(x), (x) => err.push(x));
const read = await p.executeSessionCommand(s, {{command: 'read n; echo hi $n', runAsync: true, suppressInputEcho: true}});
await p.sendSessionCommandInput(s, read.cmdId, 'Ann');
await p.getSessionCommandLogs(s, read.cmdId, () => 0, () => 0);
const logs = await p.getSessionCommandLogs(s, read.cmdId);
const command = await p.getSessionCommand(s, read.cmdId);
const listed = (await p.listSessions()).map((x) => x.sessionId).includes(s);
const commands = (await p.getSession(s)).commands.length;
await p.executeSessionCommand(s, {{command: 'exit 7'}});
const error = await p.executeSessionCommand(s, {{command: 'true'}}).catch((e) => [e.constructor.name, e.message]);
await p.deleteSession(s);
return {{sync, begun, out, err, logs, exit: command.exitCode, listed, commands, error}};
""")
    assert (found["sync"]["exitCode"], found["sync"]["stdout"], found["sync"]["stderr"]) == (
        3,
        f"{tmp_path}\n1\n",
        "err\n",
    )
    # The SDK makes empty text of the null streams.
    assert (found["begun"]["output"], found["begun"]["exitCode"]) == (None, None)
    assert (found["out"], found["err"]) == ([f"out{i}\n" for i in range(10)], ["err\n"])
    assert (found["logs"]["stdout"], found["exit"], found["listed"], found["commands"]) == ("hi Ann\n", 0, True, 4)
    assert found["error"][0] == "DaytonaSessionEndedError"
    assert "session process has exited" in found["error"][1]


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_typescript_follows_a_hundred_megabytes(ts: Callable[..., Any]) -> None:
    found = ts(
        f"""
const p = sandbox.process, s = 'flood-' + Date.now(), hash = require('crypto').createHash('sha256');
await p.createSession(s);
const begun = await p.executeSessionCommand(s, {{command: {json.dumps(FLOOD)}, runAsync: true}});
let size = 0;
await p.getSessionCommandLogs(s, begun.cmdId, (x) => {{ size += x.length; hash.update(x); }}, () => 0);
await p.deleteSession(s);
return [size, hash.digest('hex')];
""",
        timeout=120,
    )
    assert found == [FLOOD_SIZE, _sha(1_000_000)]


OLD = """
import asyncio, hashlib, time, uuid
try:
    from daytona import SessionExecuteRequest
except ImportError:
    from daytona_sdk import SessionExecuteRequest
p, s = sandbox.process, f"old-{uuid.uuid4()}"
def run(command, **fields):
    return p.execute_session_command(s, SessionExecuteRequest(command=command, **fields))
def text(logs):
    return logs if isinstance(logs, str) else [logs.stdout, logs.stderr]
def follow(command):
    out, err = [], []
    targets = (out.append,) if VERSION == "0.25.6" else (out.append, err.append)
    asyncio.run(p.get_session_command_logs_async(s, command, *targets))
    return out, err
p.create_session(s)
where = run("pwd").output
done = run("cd /; A=1; echo $A; echo err >&2; (exit 3)")
logs = text(p.get_session_command_logs(s, done.cmd_id))
ten, err = follow(run(TEN, run_async=True).cmd_id)
flood, _ = follow(run(FLOOD, run_async=True).cmd_id)
flood = "".join(flood)
typed = None
if VERSION not in ("0.25.6", "0.115.2"):
    read = run("read n; echo hi $n", run_async=True)
    p.send_session_command_input(s, read.cmd_id, "Ann")
    typed = "".join(follow(read.cmd_id)[0])
codes = [command.exit_code for command in p.get_session(s).commands]
listed = s in [each.session_id for each in p.list_sessions()]
p.delete_session(s)
result = {"where": where, "output": done.output, "code": done.exit_code, "logs": logs, "ten": ten, "err": err,
          "flood": [len(flood), hashlib.sha256(flood.encode()).hexdigest()], "typed": typed, "codes": codes, "listed": listed}
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("lines", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_old_releases(old_sdk: Callable[[str, str], Any], version: str, lines: int, target: Any) -> None:
    flood = FLOOD.replace("1000000", str(lines))
    code = OLD.replace("VERSION", repr(version)).replace("TEN", repr(TEN)).replace("FLOOD", repr(flood))
    found = old_sdk(version, code)
    oldest = version == "0.25.6"
    home = target.home if oldest else target.workdir
    assert found["where"].replace(OUT, "") == f"{home}\n"
    assert found["code"] == 3
    if oldest:
        assert sorted(found["output"].splitlines()) == sorted(found["logs"].splitlines()) == ["1", "err"]
        assert sorted("".join(found["ten"]).splitlines()) == sorted(["err", *(f"out{i}" for i in range(10))])
    else:
        assert found["logs"] == ["1\n", "err\n"]
        assert (found["ten"], found["err"]) == ([f"out{i}\n" for i in range(10)], ["err\n"])
    assert found["flood"] == [lines * 100, _sha(lines)]
    assert found["typed"] in (None, "Ann\nhi Ann\n")
    assert found["codes"][:4] == [0, 3, 0, 0]
    assert found["listed"]
