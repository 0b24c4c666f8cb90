"""Cgroups of version 2, on real ones wherever they can be made; the files of controllers as captured."""

from __future__ import annotations

import asyncio
import os
import pathlib
import select
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from toolbox.host.cgroups import CONTROLLERS, Cgroup, Cgroups
from toolbox.host.limits import Limiter, Limits
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool

ROOTS = [
    path for path in map(pathlib.Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")) if (path / "cgroup.procs").exists()
]

LIMITS = Limits(memory=2**40)


def available(place: pathlib.Path) -> list[str]:
    return (place / "cgroup.controllers").read_text(encoding="ascii").split()


@pytest.fixture
def base() -> Iterator[pathlib.Path]:
    """Return a cgroup of our own to work below; skip where none can be made."""
    if not ROOTS:
        pytest.skip("no cgroups of version 2 here")
    place = ROOTS[0] / f"toolbox-test-{os.getpid()}"
    try:
        place.mkdir()
    except OSError:
        pytest.skip("cgroups cannot be made here")
    yield place
    for folder in sorted(place.glob("**/"), reverse=True):
        folder.rmdir()


def rooted(base: pathlib.Path, tmp_path: pathlib.Path, controllers: tuple[str, ...]) -> Cgroups:
    """Return cgroups for a process that believes to be in ``base``."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(f"1:name=systemd:/x\n0::/{base.name}\n", encoding="ascii")
    return Cgroups(root=str(base.parent), proc=str(tmp_path), controllers=controllers)


@pytest.fixture
async def host(base: pathlib.Path, tmp_path: pathlib.Path, spool: Spool) -> AsyncIterator[Procs]:
    """Return a process host that makes groups below ``base``, with whatever controllers there are."""
    procs = Procs(spool, limiter=Limiter(rooted(base, tmp_path, ())))
    yield procs
    await procs.close()


async def test_what_escaped_the_tree_is_killed_with_it(host: Procs, path_env: dict[str, str]) -> None:
    script = "setsid sh -c 'setsid sleep 100 & echo $!; exit' & wait; echo done; sleep 100"
    process = await host.spawn(["sh", "-c", script], env=path_env, cwd="/", limits=LIMITS)
    assert process.group is not None
    text = b""
    async for chunk in process.output.follow():
        text += chunk.data
        if b"done" in text:
            break
    escaped = int(text.split()[0])
    assert escaped in await asyncio.to_thread(process.group.members)
    pidfd = os.pidfd_open(escaped)
    await process.terminate()
    # It is no member of the tree, so terminate does not wait for the exit that follows the kill.
    await asyncio.to_thread(select.select, [pidfd], [], [], 10)
    os.close(pidfd)
    assert await asyncio.to_thread(process.group.members) == []
    process.release()
    await process.output.close()


async def test_group_goes_with_its_command(host: Procs, base: pathlib.Path, path_env: dict[str, str]) -> None:
    for _ in range(3):
        process = await host.spawn(["true"], env=path_env, cwd="/", limits=LIMITS)
        await process.settle()
        report = await host.exit_reporter.report(process)
        assert not report.out_of_memory
        assert not report.out_of_pids
        await process.output.close()
        assert len([item for item in base.iterdir() if item.is_dir()]) == 1


async def test_processor_time_of_a_group(host: Procs, path_env: dict[str, str]) -> None:
    script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done & wait"
    process = await host.spawn(["sh", "-c", script], env=path_env, cwd="/", limits=LIMITS)
    await process.settle()
    usage = (await host.exit_reporter.report(process)).usage
    await process.output.close()
    assert usage is not None
    assert usage.cpu_seconds > 0.01


def test_processes_move_aside_before_controllers_are_handed_down(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    top = base.parent
    controllers = tuple(available(top))
    if not controllers:
        pytest.skip("no controller is left to version 2 here")
    before = set((top / "cgroup.subtree_control").read_text(encoding="ascii").split())
    (top / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers), encoding="ascii")
    process = subprocess.Popen(["sleep", "100"])
    try:
        Cgroup(str(base)).add(process.pid)
        group = rooted(base, tmp_path, controllers).make()
        assert group is not None
        assert (base / "cgroup.subtree_control").read_text(encoding="ascii").split() == list(controllers)
        assert Cgroup(str(base / "toolbox")).members() == [process.pid]
        assert available(pathlib.Path(group.path)) == list(controllers)
    finally:
        process.kill()
        process.wait()
        for folder in sorted(base.glob("*/"), reverse=True):
            folder.rmdir()
        (base / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in controllers), encoding="ascii")
        new = [f"-{name}" for name in controllers if name not in before]
        (top / "cgroup.subtree_control").write_text(" ".join(new), encoding="ascii")


def test_limits_as_the_kernel_reads_them(tmp_path: pathlib.Path) -> None:
    names = ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cgroup.procs")
    for name in names:
        (tmp_path / name).touch()
    group = Cgroup(str(tmp_path))
    group.limit(64 << 20, 20, 1.5)
    group.add(77)
    texts = {name: (tmp_path / name).read_text(encoding="ascii") for name in names}
    assert texts == {
        "memory.max": "67108864",
        "memory.swap.max": "0",
        "pids.max": "20",
        "cpu.max": "150000 100000",
        "cgroup.procs": "77",
    }


def test_kernel_without_swap_accounting(tmp_path: pathlib.Path) -> None:
    (tmp_path / "memory.max").touch()
    Cgroup(str(tmp_path)).limit(64 << 20, None, None)
    assert (tmp_path / "memory.max").read_text(encoding="ascii") == "67108864"


def test_controller_that_is_missing_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        Cgroup(str(tmp_path)).limit(None, 5, None)


def test_verdict_from_captured_files(tmp_path: pathlib.Path) -> None:
    files = {
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
        "memory.peak": "73400320\n",
        "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n",
        "pids.events": "max 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    group = Cgroup(str(tmp_path))
    report = group.report()
    assert report.usage is not None
    assert (report.usage.cpu_seconds, report.usage.peak_memory) == (1.5, 73400320)
    assert (report.out_of_memory, report.out_of_pids, group.done) == (True, True, True)


def test_verdict_of_a_group_without_controllers(tmp_path: pathlib.Path) -> None:
    report = Cgroup(str(tmp_path)).report()
    assert report.usage is not None
    assert report.usage.peak_memory is None
    assert not report.out_of_memory
    assert not report.out_of_pids


def test_controllers_that_are_missing_are_left_out(tmp_path: pathlib.Path) -> None:
    group = Cgroup(str(tmp_path), ["pids"])
    (tmp_path / "pids.max").touch()
    group.limit(1, 2, 3)
    assert [path.name for path in tmp_path.glob("*.max")] == ["pids.max"]
    assert set(CONTROLLERS) == Limits(1, 2, 3).controllers


def test_no_groups_without_cgroups(tmp_path: pathlib.Path) -> None:
    assert Cgroups(root=str(tmp_path), proc=str(tmp_path)).make() is None


def test_no_groups_where_nothing_may_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cgroup.controllers").write_text("memory pids cpu\n", encoding="ascii")
    (tmp_path / "cgroup.subtree_control").mkdir()
    assert Cgroups(root=str(tmp_path), proc=str(tmp_path)).make() is None


async def test_command_that_cannot_be_limited_does_not_run(
    tmp_path: pathlib.Path, spool: Spool, path_env: dict[str, str]
) -> None:
    for name, text in {
        "cgroup.procs": "",
        "cgroup.controllers": "memory\n",
        "cgroup.subtree_control": "memory\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    procs = Procs(spool, limiter=Limiter(Cgroups(root=str(tmp_path), proc=str(tmp_path))))
    process = await procs.spawn(["sh", "-c", f"touch {tmp_path}/ran"], env=path_env, cwd="/", limits=LIMITS)
    status = await process.settle()
    await process.output.close()
    await procs.close()
    assert status.signal_name == "SIGKILL"
    assert not (tmp_path / "ran").exists()


def test_groups_of_a_killed_daemon_are_removed(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    left, running, other = (base / name for name in (f"toolbox-{2**22 + 1}-{0:016x}", f"toolbox-1-{0:016x}", "mine"))
    for folder in (left, running, other):
        folder.mkdir()
    assert rooted(base, tmp_path, ()).make() is not None
    assert [folder.exists() for folder in (left, running, other)] == [False, True, True]
