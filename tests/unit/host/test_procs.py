from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import pty
import signal
import stat
import sys
import weakref

import pytest

from toolbox.errors import Unavailable
from toolbox.host import pipes
from toolbox.host.child import Process
from toolbox.host.output_log import Channel
from toolbox.host.procs import PIPE, Launch, Procs
from toolbox.host.spool import Spool


async def text(process: Process) -> str:
    return b"".join([chunk.data async for chunk in process.output.chunks()]).decode()


async def shell(procs: Procs, env: dict[str, str], script: str, **options: object) -> Process:
    return await procs.spawn(["sh", "-c", script], env=env, cwd="/", **options)  # type: ignore[arg-type]


async def first_line(process: Process) -> str:
    """Return the first whole line a process prints."""
    seen = ""
    async for chunk in process.output.follow():
        seen += chunk.data.decode()
        if "\n" in seen:
            return seen.partition("\n")[0]
    raise AssertionError(f"no line in {seen!r}")


async def gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    pidfd = os.pidfd_open(pid)
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, done.set)
    await asyncio.wait_for(done.wait(), 5)
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)


def running(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(params=[True, False], ids=["pidfd", "threads"])
async def either(request: pytest.FixtureRequest, spool: Spool):
    host = Procs(spool, pidfds=request.param)
    yield host
    await host.close()


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 0", 0, None), ("exit 255", 255, None), ("kill -9 $$", 137, 9), ("kill -TERM $$", 143, 15)],
)
async def test_exit_status(either: Procs, path_env: dict[str, str], script: str, code: int, number: int | None) -> None:
    process = await shell(either, path_env, script)
    status = await process.wait()
    assert (status.code, status.signal) == (code, number)
    assert not process.running
    assert not process.signal(signal.SIGTERM)
    await process.output.close()


async def test_merged_output_keeps_the_order(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "for i in 1 2 3; do echo o$i; echo e$i >&2; done")
    await process.settle()
    assert await text(process) == "o1\ne1\no2\ne2\no3\ne3\n"
    await process.output.close()


async def test_two_pipes_tell_the_streams_apart(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "echo o; echo e >&2", merge=False)
    await process.settle()
    found = {chunk.channel: chunk.data async for chunk in process.output.chunks()}
    assert found == {Channel.STDOUT: b"o\n", Channel.STDERR: b"e\n"}
    await process.output.close()


async def test_child_is_a_session_leader_with_three_descriptors_and_default_signals(
    procs: Procs, path_env: dict[str, str]
) -> None:
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    script = """if True:
        import os
        print(os.getsid(0) == os.getpid(), sorted(map(int, os.listdir("/proc/self/fd")))[:-1])
        print(open("/proc/self/status").read())"""
    process = await procs.spawn([sys.executable, "-c", script], env=path_env, cwd="/")
    await process.settle()
    os.close(leaked)
    lines = (await text(process)).splitlines()
    assert lines[0] == "True [0, 1, 2]"
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(fields["SigBlk"], 16) == 0
    # Python itself ignores SIGPIPE and SIGXFSZ; nothing else may be ignored. The C library keeps 32 and 33 to itself.
    ignored = {number for number in signal.valid_signals() if int(fields["SigIgn"], 16) >> (number - 1) & 1}
    # The daemon resets what it inherits (``reaper.default_signals``), the process of this test does not.
    inherited = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
    assert ignored == {signal.SIGPIPE, signal.SIGXFSZ} | inherited
    await process.output.close()


async def test_broken_pipe_kills_a_child_as_in_a_shell(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "yes | head -1")
    assert (await process.settle()).code == 0
    assert await text(process) == "y\n"
    await process.output.close()


async def test_stdin_is_empty_unless_given(procs: Procs, path_env: dict[str, str]) -> None:
    empty = await shell(procs, path_env, "cat; echo end")
    given = await shell(procs, path_env, "cat", stdin=b"x" * 3_000_000)
    await empty.settle()
    await given.settle()
    assert await text(empty) == "end\n"
    assert len(await text(given)) == 3_000_000
    await empty.output.close()
    await given.output.close()


async def test_stdin_pipe_takes_more_than_it_holds_and_an_end(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "wc -c", stdin=PIPE)
    assert process.stdin is not None
    await process.stdin.write(b"x" * 1_000_000)
    process.stdin.close()
    await process.settle()
    assert (await text(process)).strip() == "1000000"
    with pytest.raises(BrokenPipeError):
        await process.stdin.write(b"late")
    await process.output.close()


async def test_process_that_has_ended_goes_without_a_collection(procs: Procs, path_env: dict[str, str]) -> None:
    process = await procs.spawn(["sh", "-c", "echo x"], env=path_env, cwd="/", merge=False)
    await process.settle()
    await process.output.close()
    left = weakref.ref(process)
    gc.disable()
    try:
        del process
        # The thread that spawned it may hold it for a moment longer; a reference cycle would hold it for ever.
        while left() is not None:
            await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_missing_program_and_directory_are_told_apart(procs: Procs, path_env: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError) as program:
        await procs.spawn(["no-such-program"], env=path_env, cwd="/")
    with pytest.raises(FileNotFoundError) as directory:
        await procs.spawn(["true"], env=path_env, cwd="/no/such/place")
    assert program.value.filename == "no-such-program"
    assert directory.value.filename == "/no/such/place"


async def test_environment_is_exactly_what_was_given(procs: Procs) -> None:
    process = await procs.spawn(["/usr/bin/env"], env={"A": "1", "B": "\udcff"}, cwd="/")
    await process.settle()
    assert b"".join([c.data async for c in process.output.chunks()]) == b"A=1\nB=\xff\n"
    await process.output.close()


async def test_terminate_ends_the_session_and_what_left_it(either: Procs, path_env: dict[str, str]) -> None:
    script = "sleep 100 & echo $!; setsid sleep 100 & sh -c 'sleep 100; :' & sleep 0.2; pgrep -P $$; wait"
    process = await shell(either, path_env, script)
    pids: list[int] = []
    async for chunk in process.output.follow():
        pids += [int(word) for word in chunk.data.split()]
        if len(pids) >= 4:
            break
    await process.terminate()
    assert not process.running
    assert [pid for pid in pids if running(pid)] == []
    process.release()
    await process.output.close()


async def test_terminate_gives_time_to_clean_up(either: Procs, path_env: dict[str, str]) -> None:
    process = await shell(
        either, path_env, "trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    )
    await first_line(process)
    await process.terminate(grace=5)
    assert (await process.settle()).code == 7
    assert (await text(process)).endswith("cleaned\n")
    await process.output.close()


async def test_terminate_kills_what_ignores_the_request(either: Procs, path_env: dict[str, str]) -> None:
    process = await shell(either, path_env, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    await first_line(process)
    await process.terminate(grace=0.2)
    assert (await process.wait()).signal == signal.SIGKILL
    await process.output.close()


async def test_terminate_ends_what_a_finished_command_left(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "sleep 100 >/dev/null 2>&1 & echo $!")
    await process.settle()
    left = int(await text(process))
    assert running(left)
    await process.terminate()
    assert not running(left)
    await process.output.close()


async def test_stopped_process_can_be_terminated(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "trap 'exit 3' TERM; echo ready; kill -STOP $$; sleep 10")
    await first_line(process)
    await process.terminate(grace=3)
    assert (await process.wait()).code == 3
    await process.output.close()


async def test_settle_does_not_wait_for_a_background_child(procs: Procs, path_env: dict[str, str]) -> None:
    process = await shell(procs, path_env, "sleep 100 & echo started")
    await process.settle(quiet=0.1, cap=60)  # more than a test may take
    assert await text(process) == "started\n"
    assert process.writers_left
    await process.terminate()
    await process.output.close()


async def test_leftover_that_is_released_is_never_killed_by_its_pipe(
    procs: Procs, path_env: dict[str, str], tmp_path: pathlib.Path
) -> None:
    done = tmp_path / "done"
    process = await shell(
        procs, path_env, f"(while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; seq 200000; echo ok > {done}) & echo $!"
    )
    await process.settle(quiet=0.05)
    left = int(await text(process))
    process.release()
    await process.output.close()
    (tmp_path / "go").touch()
    await gone(left)
    assert done.read_text(encoding="ascii") == "ok\n"
    await process.pipe_readers[0].ended()
    assert procs._pipe_readers == {}


async def test_too_many_leftovers_close_the_oldest(spool: Spool, path_env: dict[str, str]) -> None:
    procs = Procs(spool, max_leftovers=2)
    left = []
    for _ in range(4):
        process = await shell(procs, path_env, "sleep 100 &")
        await process.settle(quiet=0.01)
        process.release()
        left.append(process)
    assert [process.writers_left for process in left] == [False, True, True, True]
    for process in left:
        await process.terminate()
        await process.output.close()
    await procs.close()


async def test_huge_output_is_held_back_not_buffered(procs: Procs, path_env: dict[str, str]) -> None:
    process = await procs.spawn(["head", "-c", "200000000", "/dev/zero"], env=path_env, cwd="/")
    biggest = 0
    async for _ in process.output.follow():
        biggest = max(biggest, len(process.output._buffer))
    assert process.output.size == 200_000_000
    assert biggest <= 4 * 1024 * 1024 + pipes.WIDE
    await process.output.close()


async def test_terminal_becomes_the_controlling_one(procs: Procs, path_env: dict[str, str]) -> None:
    master, slave = pty.openpty()
    script = "tty; exec 3<>/dev/tty && echo controlled; test -t 0 -a -t 1 -a -t 2 && echo three"
    child = await procs.spawn_raw(Launch(["sh", "-c", script], path_env, "/", terminal=os.ttyname(slave)))
    assert (await child.wait()).code == 0
    seen = b""
    while b"three" not in seen:  # the kernel hands it over in its own time, also after the child has ended
        seen += await asyncio.to_thread(os.read, master, 1000)
    assert seen.decode().split() == [os.ttyname(slave), "controlled", "three"]
    os.close(master)
    os.close(slave)


async def test_raw_child_writes_to_the_callers_file(
    procs: Procs, path_env: dict[str, str], tmp_path: pathlib.Path
) -> None:
    with (tmp_path / "out").open("wb") as file:
        child = await procs.spawn_raw(Launch(["echo", "hi"], path_env, "/", stdout=file.fileno()))
        await child.wait()
    assert (tmp_path / "out").read_bytes() == b"hi\n"


async def test_passed_descriptor_keeps_its_number(procs: Procs, path_env: dict[str, str]) -> None:
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    process = await procs.spawn(
        ["sh", "-c", f"echo hi >/proc/self/fd/{writable}"], env=path_env, cwd="/", pass_fds=[writable]
    )
    await process.settle()
    assert os.read(readable, 10) == b"hi\n"
    os.close(readable)
    os.close(writable)
    await process.output.close()


async def test_run_returns_bytes(procs: Procs, path_env: dict[str, str]) -> None:
    done = await procs.run(["sh", "-c", "cat; echo no >&2; exit 4"], env=path_env, cwd="/", stdin=b"\xff\0")
    assert (done.status.code, done.stdout, done.stderr, done.truncated) == (4, b"\xff\0", b"no\n", False)


async def test_run_that_is_cancelled_leaves_nothing(procs: Procs, path_env: dict[str, str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await procs.run(["sh", "-c", "sleep 100 & wait"], env=path_env, cwd="/")
    assert procs.live == []


async def test_spawn_cancelled_at_once_leaves_nothing(spool: Spool, path_env: dict[str, str]) -> None:
    host = Procs(spool)
    for delay in range(6):
        task = asyncio.create_task(host.spawn(["sleep", "100"], env=path_env, cwd="/"))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await host.close()
    assert host.live == []


async def test_adopted_child_is_watched(procs: Procs) -> None:
    child = await procs.adopt(lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {}))
    assert (await child.wait()).code == 9


async def test_close_kills_and_refuses(spool: Spool, path_env: dict[str, str]) -> None:
    host = Procs(spool)
    process = await shell(host, path_env, "sleep 100")
    await host.close()
    assert (await process.wait()).code == 137
    with pytest.raises(Unavailable):
        await shell(host, path_env, "true")
    await process.output.close()


async def test_close_during_a_spawn_leaves_nothing(spool: Spool, path_env: dict[str, str]) -> None:
    host = Procs(spool)
    task = asyncio.create_task(host.spawn(["sleep", "100"], env=path_env, cwd="/"))
    await asyncio.sleep(0)
    await host.close()
    process = await task
    assert (await process.wait()).code == 137
    await process.output.close()


async def test_two_hundred_at_once_report_their_own_status(procs: Procs, path_env: dict[str, str]) -> None:
    async def one(n: int) -> int:
        process = await shell(procs, path_env, f"exit {n}")
        code = (await process.wait()).code
        await process.output.close()
        return code

    assert await asyncio.gather(*(one(n) for n in range(200))) == list(range(200))


async def test_pipes_of_a_child_belong_to_nobody_else(procs: Procs, path_env: dict[str, str]) -> None:
    one = await shell(procs, path_env, "sleep 100")
    two = await shell(procs, path_env, "ls -l /proc/self/fd")
    await two.settle()
    assert (await text(two)).count("pipe:") == 2
    assert stat.S_ISFIFO(os.fstat(one.pipe_readers[0]._fd).st_mode)
    await one.terminate()
    await one.output.close()
    await two.output.close()
