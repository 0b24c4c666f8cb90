"""Commands and the core endpoints through the published SDKs, old and new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import OLD_VERSIONS, Target


def test_exec_merges_in_order_and_keeps_the_exit_code(sdk: Any) -> None:
    answer = sdk.process.exec("echo hello; echo err >&2; echo again; exit 3")
    assert (answer.result, answer.exit_code) == ("hello\nerr\nagain\n", 3)
    assert answer.artifacts.stdout == answer.result


def test_exec_takes_directory_and_environment(sdk: Any, tmp_path: Any) -> None:
    answer = sdk.process.exec('pwd; echo "$GREETING"', cwd=str(tmp_path), env={"GREETING": "hi $HOME 'q'"})
    assert answer.result == f"{tmp_path}\nhi $HOME 'q'\n"


def test_exec_timeout_raises_the_precise_class(sdk: Any) -> None:
    from daytona.common.errors import DaytonaProcessExecutionTimeoutError

    with pytest.raises(DaytonaProcessExecutionTimeoutError, match="command execution timeout"):
        sdk.process.exec("echo before; sleep 30", timeout=1)


def test_empty_command_is_a_bad_request(sdk: Any) -> None:
    from daytona.common.errors import DaytonaBadRequestError

    with pytest.raises(DaytonaBadRequestError, match=r"(?i)invalid request body"):
        sdk.process.exec("")


def test_directories(sdk: Any, target: Target) -> None:
    assert sdk.get_user_home_dir() == str(target.home)
    assert sdk.get_work_dir() == str(target.workdir)


def test_update_env_reaches_later_commands(sdk: Any) -> None:
    sdk.update_env({"FROM_SYNC": "1", "GOES_AWAY": "x"})
    sdk.update_env({}, unset=["GOES_AWAY"])
    assert sdk.process.exec("echo $FROM_SYNC-${GOES_AWAY-unset}").result == "1-unset\n"


def test_metrics(sdk: Any) -> None:
    metrics = sdk.get_metrics_latest()
    assert metrics.cpu_count >= 1
    assert 0 <= metrics.cpu_used_pct <= 100
    assert 0 < metrics.mem_used <= metrics.mem_total
    assert 0 < metrics.disk_used <= metrics.disk_total


async def test_async_sdk(async_sdk: Any, target: Target) -> None:
    answer = await async_sdk.process.exec("echo hello; echo err >&2; exit 3")
    assert (answer.result, answer.exit_code) == ("hello\nerr\n", 3)
    assert await async_sdk.get_user_home_dir() == str(target.home)
    assert await async_sdk.get_work_dir() == str(target.workdir)
    await async_sdk.update_env({"FROM_ASYNC": "2"})
    assert (await async_sdk.process.exec("echo $FROM_ASYNC")).result == "2\n"
    assert (await async_sdk.get_metrics_latest()).cpu_count >= 1


async def test_async_timeout_raises_the_precise_class(async_sdk: Any) -> None:
    from daytona.common.errors import DaytonaProcessExecutionTimeoutError

    with pytest.raises(DaytonaProcessExecutionTimeoutError):
        await async_sdk.process.exec("sleep 30", timeout=1)


def test_typescript_sdk(ts: Callable[[str], Any], target: Target) -> None:
    result = ts("""
        const answer = await sandbox.process.executeCommand('echo hello; echo err >&2; exit 3', undefined, {A: 'b c'});
        await sandbox.updateEnv({FROM_TS: '3'});
        const later = await sandbox.process.executeCommand('echo $FROM_TS');
        let failure = null;
        try { await sandbox.process.executeCommand('sleep 30', undefined, undefined, 1) } catch (e) {
            failure = [e.constructor.name, e.statusCode, e.message];
        }
        return {
            answer: [answer.result, answer.exitCode], later: later.result, failure,
            home: await sandbox.getUserHomeDir(), work: await sandbox.getWorkDir(),
            cpus: (await sandbox.getMetricsLatest()).cpuCount,
        };
    """)
    assert result["answer"] == ["hello\nerr\n", 3]
    assert result["later"] == "3\n"
    assert result["failure"][0] == "DaytonaProcessExecutionTimeoutError"
    assert (result["home"], result["work"]) == (str(target.home), str(target.workdir))
    assert result["cpus"] >= 1


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_old_sdks_run_commands(old_sdk: Callable[[str, str], Any], version: str, tmp_path: Any) -> None:
    # Up to 0.150 the client wraps the command into one argument of sh, which the kernel limits to 128 KiB.
    length = 200_000 if version == "0.166.0" else 60_000
    result = old_sdk(
        version,
        f"""
answer = sandbox.process.exec('echo "it\\'s $NAME"; pwd; exit 3', cwd={str(tmp_path)!r}, env={{"NAME": "a-b_c"}})
long = sandbox.process.exec("echo " + "x" * {length})
result = [answer.result.rstrip(), answer.exit_code, len(long.result.rstrip())]
""",
    )
    assert result == [f"it's a-b_c\n{tmp_path}", 3, length]


@pytest.mark.parametrize("version", ["0.25.6", "0.115.2", "0.150.0"])
def test_old_sdks_run_code_through_exec(old_sdk: Callable[[str, str], Any], version: str) -> None:
    result = old_sdk(
        version,
        """
answer = sandbox.process.code_run('import sys\\nprint("out", 6 * 7)\\nsys.exit(4)')
result = [answer.result, answer.exit_code]
""",
    )
    assert result[0].strip() == "out 42"
    assert result[1] == 4
