from __future__ import annotations

import asyncio
import math
import os
import pathlib
import sys
from collections.abc import AsyncIterator

import pytest

from toolbox.host.cgroups import Cgroups
from toolbox.host.launch import Launch
from toolbox.host.limits import Limiter, Limits
from toolbox.host.output_log import Retention
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool

MIB = 1024 * 1024
OURS = len(os.sched_getaffinity(0))


@pytest.fixture
async def procs(spool: Spool, tmp_path: pathlib.Path) -> AsyncIterator[Procs]:
    """Return a host without cgroups, on any machine."""
    host = Procs(spool, limiter=Limiter(Cgroups(root=str(tmp_path / "none")), oom_score=100))
    yield host
    await host.close()


async def output(
    procs: Procs, script: str, limits: Limits | None, env: dict[str, str], **fields: object
) -> tuple[int, str]:
    process = await procs.spawn(["sh", "-c", script], env=env, cwd="/", limits=limits, **fields)  # type: ignore[arg-type]
    status = await process.settle()
    text = b"".join([chunk.data async for chunk in process.output.chunks()])
    process.release()
    await process.output.close()
    return status.code, text.decode()


@pytest.mark.parametrize("cpus", [0.5, 1, 1.5, 2, 4000])
async def test_nproc_tells_the_truth(procs: Procs, path_env: dict[str, str], cpus: float) -> None:
    code, text = await output(procs, "nproc; sh -c nproc", Limits(cpus=cpus), path_env)
    expected = min(math.ceil(cpus), OURS)
    assert (code, text) == (0, f"{expected}\n{expected}\n")


@pytest.mark.skipif(OURS < 2, reason="there is one processor only")
async def test_commands_take_turns_on_the_processors(procs: Procs, path_env: dict[str, str]) -> None:
    script = "grep Cpus_allowed_list /proc/self/status"
    texts = {(await output(procs, script, Limits(cpus=1), path_env))[1] for _ in range(OURS)}
    assert len(texts) == OURS


async def test_memory_is_bounded_and_the_bound_is_inherited(procs: Procs, path_env: dict[str, str]) -> None:
    script = f"sh -c \"{sys.executable} -c 'bytearray(300 << 20)'\""
    code, text = await output(procs, script, Limits(memory=128 * MIB), path_env)
    assert code == 1
    assert "MemoryError" in text
    assert (await output(procs, script, Limits(memory=1024 * MIB), path_env))[0] == 0
    # What is only reserved does not count.
    reserve = f"{sys.executable} -c 'import mmap; mmap.mmap(-1, 1 << 30, prot=0)'"
    assert (await output(procs, reserve, Limits(memory=128 * MIB), path_env))[0] == 0


async def test_number_of_processes_is_bounded(procs: Procs, path_env: dict[str, str]) -> None:
    assert (await output(procs, "ulimit -p 2>/dev/null || ulimit -u", Limits(pids=77), path_env))[1] == "77\n"


async def test_nothing_of_the_gate_is_left(procs: Procs, path_env: dict[str, str]) -> None:
    script = "tr '\\0' ' ' < /proc/$$/cmdline; ls /proc/$$/fd; exit 7"
    plain = await output(procs, script, None, path_env)
    code, text = await output(procs, script, Limits(cpus=1), path_env)
    # Only the first argument differs: it is the path of the program.
    assert text.partition(" ")[0].endswith("/sh")
    assert (code, text.partition(" ")[2]) == (plain[0], plain[1].partition(" ")[2])


async def test_program_that_is_missing_is_a_failure_to_start(procs: Procs, path_env: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await procs.spawn(["no-such-program"], env=path_env, cwd="/", limits=Limits(cpus=1))
    assert caught.value.filename == "no-such-program"
    assert procs.live == []


async def test_raw_child_is_bounded_too(procs: Procs, path_env: dict[str, str], tmp_path: pathlib.Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        launch = Launch(["nproc"], path_env, "/", stdout=file.fileno(), limits=Limits(cpus=1))
        child = await procs.spawn_raw(launch)
        await child.wait()
    assert (tmp_path / "out").read_text() == "1\n"


async def test_children_are_killed_before_us(procs: Procs, path_env: dict[str, str]) -> None:
    ours = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    wanted = str(min(ours + 100, 1000))
    # Quoted: what is read while the score is written may be empty.
    script = 'until [ "$(cat /proc/$$/oom_score_adj)" = $WANTED ]; do :; done; cat /proc/self/oom_score_adj'
    code, text = await output(procs, script, None, {**path_env, "WANTED": wanted})
    assert (code, text) == (0, f"{wanted}\n")
    # Behind a gate it holds from the first instruction on.
    assert (await output(procs, "cat /proc/self/oom_score_adj", Limits(cpus=1), path_env))[1] == text


async def test_many_limited_commands_at_once(procs: Procs, path_env: dict[str, str]) -> None:
    limits = Limits(memory=512 * MIB, pids=5000, cpus=1)
    results = await asyncio.gather(*(output(procs, f"echo {n}; exit {n}", limits, path_env) for n in range(30)))
    assert results == [(n, f"{n}\n") for n in range(30)]
    assert procs.live == []


@pytest.mark.parametrize(
    ("asked", "usual", "result"),
    [
        (Limits(), Limits(1, 2, 3), Limits(1, 2, 3)),
        (Limits(memory=9), Limits(1, 2, 3), Limits(9, 2, 3)),
        (Limits(9, 8, 7), Limits(), Limits(9, 8, 7)),
    ],
)
def test_limits_over_the_usual_ones(asked: Limits, usual: Limits, result: Limits) -> None:
    assert asked.over(usual) == result


def test_no_limit_is_false() -> None:
    assert not Limits()
    assert Limits(cpus=1)


async def test_output_is_bounded_as_ever(procs: Procs, path_env: dict[str, str]) -> None:
    code, text = await output(procs, "seq 100000", Limits(cpus=1), path_env, retention=Retention.capped(1000))
    assert code == 0
    assert len(text) == 1000
