from __future__ import annotations

import asyncio
import os
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.errors import ExecutionTimeout, Unavailable
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.process.exec.commands import OUTPUT_CEILING, Commands
from toolbox.process.exec.wire import ExecuteRequest
from toolbox.runs import output as render
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Registry


class Host:
    def __init__(self, folder: pathlib.Path, shell: str = "") -> None:
        self.spool = Spool(folder / "spool")
        self.procs = Procs(self.spool)
        self.env = Environment({"PATH": os.environ["PATH"], "HOME": str(folder)}, own=())
        shells = Shells(self.env.get, shell)
        self.registry = Registry()
        context = ProcessContext(self.procs, self.env, shells, self.spool, self.registry, workdir=str(folder))
        self.exec = Commands(context, max_output=1000)

    async def run(self, command: str, **fields: object) -> tuple[int, str]:
        checked = self.exec.check(ExecuteRequest(command=command, **fields))  # type: ignore[arg-type]
        run = await self.exec.start(checked)
        await run.ended
        outcome = await self.exec.outcome(run, checked)
        text = await render.whole(outcome.output)
        run.release()
        return outcome.exit_code, text

    async def close(self) -> None:
        await self.exec.close()
        await self.exec.release()
        await self.registry.close()
        await self.procs.close()
        await self.spool.close()


@pytest.fixture
async def host(tmp_path: pathlib.Path) -> AsyncIterator[Host]:
    made = Host(tmp_path)
    yield made
    await made.close()


async def test_no_output_is_kept_after_release(host: Host) -> None:
    assert await host.run("seq 3; exit 4") == (4, "1\n2\n3\n")
    while host.exec._runs:
        await asyncio.sleep(0)
    assert host.procs.live == []


async def test_shell_that_disappears_is_replaced(tmp_path: pathlib.Path) -> None:
    shell = tmp_path / "sh"
    shell.symlink_to("/bin/sh")
    host = Host(tmp_path, shell=str(shell))
    assert await host.run("readlink /proc/$$/exe") == (0, os.path.realpath("/bin/sh") + "\n")
    shell.unlink()
    code, _ = await host.run("echo still")
    assert code == 0
    await host.close()


async def test_shell_that_cannot_run_is_an_outcome(tmp_path: pathlib.Path) -> None:
    shell = tmp_path / "bash"
    shell.write_bytes(b"\x7fELF nonsense")
    shell.chmod(0o755)
    host = Host(tmp_path, shell=str(shell))
    assert await host.run("echo x") == (126, f"{shell}: exec format error")
    await host.close()


async def test_environment_too_large_is_an_outcome(host: Host) -> None:
    code, text = await host.run("true", envs={f"V{n}": "x" * 100_000 for n in range(60)})
    assert code == 126
    assert text.endswith("argument list too long")


@pytest.mark.parametrize(
    ("wanted", "total"), [(None, 1000), (0, OUTPUT_CEILING), (77, 77), (10**15, OUTPUT_CEILING), (1, 1)]
)
def test_output_cap(tmp_path: pathlib.Path, wanted: int | None, total: int) -> None:
    host = Host(tmp_path)
    kept = host.exec.check(ExecuteRequest(command="x", max_output_bytes=wanted)).retention
    assert kept.head + kept.tail == total


@pytest.mark.parametrize(("given", "limit"), [(None, None), (0, None), (5, 5), (1.5, 1.5), (1e300, 1e8)])
def test_time_limit(tmp_path: pathlib.Path, given: float | None, limit: float | None) -> None:
    assert Host(tmp_path).exec.check(ExecuteRequest(command="x", timeout=given)).limit.seconds == limit


async def test_timeout_reports_long_output_cut(host: Host) -> None:
    command = host.exec.check(ExecuteRequest(command="seq 1000000; sleep 100", timeout=1, max_output_bytes=0))
    run = await host.exec.start(command)
    await run.ended
    with pytest.raises(ExecutionTimeout, match=r"^command execution timeout$") as caught:
        await host.exec.outcome(run, command)
    assert caught.value.detail["exitCode"] == 124
    assert caught.value.detail["result"].startswith("1\n2\n")
    assert caught.value.detail["result"].endswith("\n1000000\n")
    assert len(caught.value.detail["result"]) < 1024 * 1024 + 100
    run.release()


async def test_unawaited_result_is_not_logged_as_an_error(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    run = await host.exec.start(host.exec.check(ExecuteRequest(command="sleep 100", timeout=0.05)))
    run.release()
    while host.exec._runs:
        await asyncio.sleep(0.01)
    assert caplog.records == []


async def test_close_fails_waiting_commands_and_refuses_new_ones(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    command = host.exec.check(ExecuteRequest(command="sleep 100"))
    run = await host.exec.start(command)
    await host.exec.close()
    with pytest.raises(Unavailable):
        await host.exec.outcome(run, command)
    with pytest.raises(Unavailable):
        await host.exec.start(command)
    await host.close()


async def test_output_released_while_it_is_sent_is_no_complete_answer(host: Host) -> None:
    command = host.exec.check(ExecuteRequest(command="seq 500000", max_output_bytes=0))
    run = await host.exec.start(command)
    await run.ended
    pages = (await host.exec.outcome(run, command)).json()
    await anext(pages)
    await anext(pages)
    run.release()
    await host.exec.release()
    await host.registry.close()
    with pytest.raises(Unavailable):
        async for _ in pages:
            pass
