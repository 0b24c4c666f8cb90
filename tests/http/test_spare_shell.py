"""The shell that waits for the next command: it serves what it fits, and nothing tells it from one that does not."""

from __future__ import annotations

import asyncio
import os
import pathlib
import shutil
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.http.test_execute import Served, ended, execute
from toolbox.host.syscalls import stat_known
from toolbox.process import render
from toolbox.process.wire import ExecuteRequest

pytestmark = [
    pytest.mark.skipif(shutil.which("zsh") is not None, reason="commands run in zsh, of which none waits"),
    pytest.mark.skipif(stat_known("/") is None, reason="kernel is older than 5.12, no shell waits"),
]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start shells ahead however slow the machine is."""
    monkeypatch.setattr("toolbox.process.spare.SLOW_START", 60)


@pytest.fixture
async def server(clean_environment: pathlib.Path) -> AsyncIterator[Served]:
    async with Served(clean_environment, spare_seconds=60) as served:
        yield served


@pytest.fixture
async def client(server: Served) -> AsyncIterator[aiohttp.ClientSession]:
    """Return a client for whose next command a shell waits."""
    async with aiohttp.ClientSession(server.url) as session:
        await warm(session)
        yield session


async def warm(client: aiohttp.ClientSession) -> None:
    for _ in range(2):
        await execute(client, "true")


def waiting(server: Served) -> int:
    (child,) = server.procs.live
    return child.pid


async def shell_of(client: aiohttp.ClientSession, **fields: Any) -> int:
    return int((await execute(client, "echo $$", **fields))["result"])


async def test_next_commands_run_in_it(client: aiohttp.ClientSession, server: Served) -> None:
    for _ in range(3):
        expected = waiting(server)
        assert await shell_of(client) == expected


async def test_one_command_alone_starts_none(server: Served) -> None:
    async with aiohttp.ClientSession(server.url) as client:
        for cwd in ("/", str(server.home), "/", str(server.home)):
            await execute(client, "true", cwd=cwd)
    assert server.procs.live == []


async def test_none_waits_where_somebody_may_want_to_unmount(server: Served) -> None:
    async with aiohttp.ClientSession(server.url) as client:
        for _ in range(3):
            await execute(client, "true", cwd="/proc")
    assert server.procs.live == []


# What a script can see of its shell. Left out: times and numbers that differ each time, and what ADR 32 says differs.
LOOKS = [
    "env | sort",
    "set | grep -vE '^(BASHPID|PPID|RANDOM|SRANDOM|EPOCH|BASH_EXECUTION_STRING|SECONDS|_)'",
    "set -o; shopt; trap; jobs; hash; umask; ulimit -a; alias",
    "pwd; pwd -P; echo $PWD $OLDPWD",
    "echo $0 $# $- $BASH $SHLVL $BASH_SUBSHELL $LINENO $SECONDS $_; readlink /proc/$$/exe",
    "ls -l /proc/$$/fd | awk '{print $9, $NF}' | grep -v pipe; cat; read x; echo $?",
    'ps -o ppid= -p $$ | tr -d \' \'; ps -o pgid= -p $$ | grep -c "^ *$$\\$"; ps -o sid= -p $$ | grep -c "^ *$$\\$"',
    "cat /proc/$$/oom_score_adj; grep -E 'Sig|Shd|NoNew|Cap|Uid|Gid|Groups' /proc/$$/status",
    "exit 7",
    "false",
    "no-such-command; /etc/hostname",
    "echo one\nif then\necho two",
    "echo 'unfinished",
    "echo out; echo err >&2; printf 'no newline'",
    "kill -9 $$",
    "{ sh -c 'kill -SEGV $$'; } 2>/dev/null; echo $?",
    "sleep 30 & disown; kill $!; wait; echo $?",
    "exec sh -c 'echo $0 replaced'",
    "cat <<END\nhere $((1+1))\nEND",
    "printf '\\xff\\x00\\n'; echo ünïcode",
    "set -u; echo $undefined; echo not reached",
    "#" * 20_000 + "\necho long",
    "echo $LINENO\n\necho $LINENO; f() { echo $LINENO ${FUNCNAME[0]}; }; f",
    "SECONDS=5; echo $SECONDS; unset SECONDS; echo ${SECONDS-unset}",
    "trap 'echo end' EXIT; exit 3",
    "while read -r x; do echo $x; done < <(printf 'a\\nb\\n')",
    "time -p true 2>&1 | head -c 4",
]


@pytest.mark.parametrize("script", LOOKS)
async def test_a_script_cannot_tell_it_from_one_that_starts_for_it(
    client: aiohttp.ClientSession, server: Served, script: str
) -> None:
    expected = waiting(server)
    body = await execute(client, script)
    assert waiting(server) != expected, "it was not used"
    # A size of its own for the output makes it start a shell of its own.
    assert body == await execute(client, script, maxOutputBytes=2**24 - 1)


async def test_its_wait_does_not_count(client: aiohttp.ClientSession, server: Served) -> None:
    expected = waiting(server)
    await execute(client, "sleep 1.1", cwd="/")
    body = await execute(client, "echo $$ $SECONDS", details=True)
    assert body["result"] == f"{expected} 0\n"
    assert body["details"]["durationMs"] < 1000


@pytest.mark.parametrize(
    "fields",
    [{"cwd": "/"}, {"envs": {"A": "1"}}, {"maxOutputBytes": 5000}, {"limits": {"pids": 100}}, {"splitOutput": True}],
)
async def test_what_it_does_not_fit_gets_its_own(
    client: aiohttp.ClientSession, server: Served, fields: dict[str, Any]
) -> None:
    expected = waiting(server)
    body = await execute(client, "echo $$", **fields)
    assert int(body.get("stdout", body.get("result"))) != expected
    assert await shell_of(client) == expected


async def test_variables_are_those_of_now(client: aiohttp.ClientSession, server: Served) -> None:
    server.env.update({"NEW": "now"})
    assert (await execute(client, "echo $NEW"))["result"] == "now\n"
    server.env.update({}, unset=["NEW"])
    assert (await execute(client, "echo ${NEW-unset}"))["result"] == "unset\n"


@pytest.mark.parametrize("variable", [{"BASH_ENV": "profile"}, {"SECONDS": "100"}])
async def test_what_a_shell_reads_when_it_starts_is_read_then(server: Served, variable: dict[str, str]) -> None:
    server.env.update(variable)
    async with aiohttp.ClientSession(server.url) as client:
        for value in ("one", "two", "three"):
            (server.home / "profile").write_text(f"IT={value}\n")
            wanted = f"{value}\n" if "BASH_ENV" in variable else "100\n"
            assert (await execute(client, 'echo "${IT-$SECONDS}"'))["result"] == wanted
    assert server.procs.live == []


async def test_directory_is_that_of_now(client: aiohttp.ClientSession, server: Served) -> None:
    expected = waiting(server)
    server.home.rename(server.home.with_name("old"))
    server.home.mkdir()
    (server.home / "new").touch()
    assert (await execute(client, "ls; echo $$"))["result"] != f"new\n{expected}\n"
    await ended(expected)
    assert (await execute(client, "ls"))["result"] == "new\n"
    server.home.rename(server.home.with_name("newer"))
    body = await execute(client, "pwd")
    assert body == {"exitCode": 1, "result": f"chdir {server.home}: no such file or directory"}


async def test_directory_behind_a_link_is_that_of_now(client: aiohttp.ClientSession, server: Served) -> None:
    link, cwd = server.home / "current", str(server.home / "current")
    for name in ("one", "two"):
        (server.home / name).mkdir()
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        for _ in range(3):
            assert (await execute(client, "pwd -P", cwd=cwd))["result"] == f"{server.home / name}\n"


async def test_directory_may_not_be_entered_any_more(client: aiohttp.ClientSession, server: Served) -> None:
    expected = waiting(server)
    server.home.chmod(0o600)
    try:
        assert await shell_of(client) != expected
        await ended(expected)
    finally:
        server.home.chmod(0o700)


async def test_another_shell_program_is_used_soon(
    clean_environment: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolbox.host.shells.FRESH_SECONDS", 0)
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(str(shutil.which("bash")), folder / "bash")
    async with Served(clean_environment, spare_seconds=60) as server:
        server.env.update({"PATH": f"{folder}:{os.environ['PATH']}"})
        async with aiohttp.ClientSession(server.url) as client:
            await warm(client)
            expected = waiting(server)
            (folder / "other").write_text("#!/bin/sh\necho another program\n")
            (folder / "other").chmod(0o755)
            (folder / "other").rename(folder / "bash")
            assert (await execute(client, "echo bash"))["result"] == "another program\n"
            assert server.procs.live == [] or waiting(server) == expected


async def test_one_that_was_killed_costs_nothing(client: aiohttp.ClientSession, server: Served) -> None:
    expected = waiting(server)
    os.kill(expected, signal.SIGKILL)
    await ended(expected)
    assert (await execute(client, "echo here"))["result"] == "here\n"


async def test_one_that_is_killed_just_before_it_is_used_costs_nothing(
    client: aiohttp.ClientSession, server: Served
) -> None:
    expected = waiting(server)
    command = server.exec.check(ExecuteRequest(command="echo here"))
    os.kill(expected, signal.SIGKILL)
    os.waitid(os.P_PID, expected, os.WEXITED | os.WNOWAIT)
    run = await server.exec.start(command)
    outcome = await run.result
    assert (outcome.exit_code, await render.whole(outcome.output)) == (0, "here\n")
    run.release()


async def test_a_script_that_is_too_long_for_its_pipe(client: aiohttp.ClientSession, server: Served) -> None:
    expected = waiting(server)
    assert int((await execute(client, "echo $$ #" + "x" * 100_000))["result"]) != expected


async def test_none_is_started_while_commands_come_at_once(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolbox.process.execute.AT_ONCE", 60)
    async with aiohttp.ClientSession(server.url) as client:
        gate = server.home / "gate"
        os.mkfifo(gate)
        first = asyncio.create_task(execute(client, "read x <gate"))
        while not server.procs.live:
            await asyncio.sleep(0)
        await warm(client)
        await warm(client)
        assert len(server.procs.live) == 1
        monkeypatch.setattr("toolbox.process.execute.AT_ONCE", 0)
        await warm(client)
        assert len(server.procs.live) == 2, "one that has run for long is in nobody's way"
        await execute(client, "echo >gate")
        await first


async def test_none_is_started_for_a_while_after_two_that_held_up_the_loop(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolbox.process.spare.SLOW_START", 0)
    monkeypatch.setattr("toolbox.process.spare.PAUSE", 60)
    async with aiohttp.ClientSession(server.url) as client:
        await warm(client)
        for _ in range(2):
            assert await shell_of(client, maxOutputBytes=2000) != waiting(server)
            await execute(client, "true")
        await warm(client)
        assert server.procs.live == []


async def test_one_that_held_up_the_loop_is_no_reason_to_stop(client: aiohttp.ClientSession, server: Served) -> None:
    for slow_start in (0, 60, 0, 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("toolbox.process.spare.SLOW_START", slow_start)
            await execute(client, "true")
            assert waiting(server)


async def test_many_at_once_share_nothing(client: aiohttp.ClientSession) -> None:
    bodies = await asyncio.gather(*(execute(client, f"echo {number}; exit {number}") for number in range(40)))
    assert [(body["result"], body["exitCode"]) for body in bodies] == [(f"{n}\n", n) for n in range(40)]


async def test_it_ends_when_nobody_comes(clean_environment: pathlib.Path) -> None:
    async with Served(clean_environment, spare_seconds=0.05) as server, aiohttp.ClientSession(server.url) as client:
        await warm(client)
        await ended(waiting(server))
        assert await shell_of(client)


async def test_none_waits_if_that_is_not_wanted(clean_environment: pathlib.Path) -> None:
    async with Served(clean_environment) as server, aiohttp.ClientSession(server.url) as client:
        await warm(client)
        assert server.procs.live == []


async def test_it_ends_with_the_daemon(clean_environment: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with Served(clean_environment, spare_seconds=60) as server, aiohttp.ClientSession(server.url) as client:
        await warm(client)
        expected = waiting(server)
    assert not pathlib.Path(f"/proc/{expected}").exists()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_command_keeps_the_signals_limits_and_time_it_has(client: aiohttp.ClientSession) -> None:
    async with client.post("/process/execute", json={"command": "echo on; sleep 60", "timeout": 0.3}) as response:
        body = await response.json()
        assert (response.status, body["result"]) == (408, "on\n")
