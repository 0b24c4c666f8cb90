"""Supervised children that are real programs; nothing here imports ``toolbox.process``."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from toolbox.host.launch import Launch
from toolbox.host.procs import Procs
from toolbox.runs.messages import JsonLines, MessageStream, PacketSocket
from toolbox.runs.pool import Pool
from toolbox.runs.supervised import ChildEnd, ChildUnavailable, Policy, Started, SupervisedChild

# Answers each line it reads with the same line; "exit N" ends it.
ECHO = """
import os, sys
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("exit"):
        print("last words", file=sys.stderr)
        sys.exit(int(line.split()[1]))
    print(os.getpid(), line.strip(), flush=True)
"""


class Supervision:
    """Make supervised children out of scripts, and write down how they end."""

    def __init__(self, procs: Procs, folder: pathlib.Path, env: dict[str, str]) -> None:
        self._procs = procs
        self._folder = folder
        self._env = env
        self.made: list[SupervisedChild[MessageStream]] = []
        self.ends: asyncio.Queue[ChildEnd] = asyncio.Queue()
        self.launches = 0

    def make(self, script: str = ECHO, **options: Any) -> SupervisedChild[MessageStream]:
        path = self._folder / f"child{len(self.made)}.py"
        path.write_text(script, encoding="utf-8")

        def launch(fd: int) -> Launch:
            self.launches += 1
            return Launch([sys.executable, "-S", str(path)], self._env, "/", stdin=fd, stdout=fd)

        options["policy"] = Policy(**options.get("policy", {}))
        child = SupervisedChild(
            "echo", self._procs, launch, greeted, control=socket.SOCK_STREAM, on_end=self.ends.put_nowait, **options
        )
        self.made.append(child)
        return child


async def greeted(started: Started) -> MessageStream:
    stream = await MessageStream.over_socket(started.control, JsonLines())
    started.on_end(stream.close)
    assert await stream.receive() == b"ready"
    return stream


async def ask(stream: MessageStream, text: str = "hello") -> tuple[int, str]:
    await stream.send(text.encode())
    pid, _, answer = (await stream.receive()).decode().partition(" ")
    return int(pid), answer


@pytest.fixture
async def supervision(procs: Procs, tmp_path: pathlib.Path, path_env: dict[str, str]) -> AsyncIterator[Supervision]:
    made = Supervision(procs, tmp_path, path_env)
    yield made
    for child in made.made:
        await child.close()


def test_floor_is_independent_of_the_process_domain() -> None:
    code = (
        "import sys, toolbox.runs.supervised, toolbox.runs.pool, toolbox.runs.messages\n"
        "sys.exit(any(name.startswith(('toolbox.process', 'toolbox.http', 'aiohttp')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_child_answers_over_its_stdin_and_stdout(
    supervision: Supervision, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    child = supervision.make()
    assert (child.session, child.state.state, child.state.starts) == (None, "stopped", 0)
    async with child.use() as stream:
        pid, answer = await ask(stream)
    assert answer == "hello"
    assert child.session is stream
    assert (child.state.state, child.state.pid, child.state.starts, child.state.failures) == ("ready", pid, 1, 0)
    await child.close()
    assert (child.session, child.state.state) == (None, "stopped")
    assert (await supervision.ends.get()).reason == "closed"
    with pytest.raises(ChildUnavailable, match="echo is closed"):
        await child.start()
    ready, ended = (record for record in caplog.records if record.name == "toolbox.runs.supervised")
    assert (ready.levelname, ready.getMessage(), ready.__dict__["pid"]) == ("INFO", "echo is ready", pid)
    assert (ended.levelname, ended.getMessage(), ended.__dict__["reason"]) == ("INFO", "echo ended", "closed")
    assert ended.__dict__["uptime"] >= ready.__dict__["seconds"] > 0


async def test_concurrent_starts_are_one_and_survive_a_cancelled_caller(supervision: Supervision) -> None:
    child = supervision.make()
    first, *others = (asyncio.create_task(child.start()) for _ in range(5))
    await asyncio.sleep(0)
    assert child.state.state == "starting"
    first.cancel()
    assert len(set(await asyncio.gather(*others))) == 1
    assert supervision.launches == 1


async def test_child_that_exits_before_it_is_ready_fails_with_the_end_of_its_stderr(
    supervision: Supervision, caplog: pytest.LogCaptureFixture
) -> None:
    script = "import sys\nprint('x' * 100, file=sys.stderr)\nsys.exit('no module named kernel')"
    child = supervision.make(script, policy={"cool_down_seconds": 1000.0})
    text = "exited with status 1: no module named kernel"
    with pytest.raises(ChildUnavailable, match=f"echo failed to start: {text}") as caught:
        await child.start()
    assert caught.value.stderr.startswith("xxx")
    end = await supervision.ends.get()
    assert (end.reason, end.status and end.status.code) == ("start failed", 1)
    assert [record.getMessage() for record in caplog.records] == [f"echo failed to start: {text}"]
    assert caplog.records[0].levelname == "WARNING"
    with pytest.raises(ChildUnavailable, match=f"echo is not started again before .* s: {text}"):
        await child.start()
    state = child.state
    assert (state.state, state.starts, state.failures, state.last_error) == ("waiting", 1, 1, text)
    assert 0 < state.retry_seconds <= 1000.0


async def test_child_is_started_again_once_its_cool_down_is_over(supervision: Supervision) -> None:
    child = supervision.make("import sys; sys.exit(3)", policy={"cool_down_seconds": 0.0})
    for starts in (1, 2):
        with pytest.raises(ChildUnavailable, match="exited with status 3"):
            await child.start()
        assert child.state.starts == starts


async def test_child_that_is_not_ready_in_time_is_ended(supervision: Supervision) -> None:
    script = "import sys, time\nprint('still loading', file=sys.stderr, flush=True)\ntime.sleep(600)"
    child = supervision.make(script, policy={"start_seconds": 0.3})
    with pytest.raises(ChildUnavailable, match=r"failed to start: not ready after 0.3 s(: still loading)?$"):
        await child.start()


async def test_program_that_does_not_exist_is_a_failed_start(procs: Procs, path_env: dict[str, str]) -> None:
    async def ready(_: Started) -> None:
        raise AssertionError

    child = SupervisedChild("editor", procs, lambda _: Launch(["/no/such"], path_env, "/"), ready)
    with pytest.raises(ChildUnavailable, match=r"editor failed to start: .*No such file.*/no/such"):
        await child.start()
    await child.close()


async def test_stderr_is_read_without_end_and_only_its_tail_is_kept(supervision: Supervision) -> None:
    script = "import sys\nfor number in range(300_000):\n  print(number, file=sys.stderr)\nsys.exit(1)"
    with pytest.raises(ChildUnavailable) as caught:
        await supervision.make(script).start()
    assert caught.value.stderr.endswith("299999\n")
    assert len(caught.value.stderr) == 64 * 1024


async def test_child_that_crashed_is_started_by_the_next_use(supervision: Supervision) -> None:
    child = supervision.make()
    stream = await child.start()
    await stream.send(b"exit 7")
    await child.wait()
    end = await supervision.ends.get()
    assert (end.reason, end.status and end.status.code, end.stderr) == ("crashed", 7, "last words\n")
    assert child.state.last_error == "exited with status 7: last words"
    async with child.use() as again:  # the first crash in a row has no delay
        assert (await ask(again))[1] == "hello"
    assert child.state.starts == 2


async def test_restarts_by_itself_are_delayed_twice_as_long_each_time(supervision: Supervision) -> None:
    # It takes part in the handshake and crashes: uptimes are the same, so times between ends show the delays.
    policy = {"restart": True, "backoff_seconds": 0.2, "stable_seconds": 1000.0, "cool_down_seconds": 0.8}
    child = supervision.make("import os\nprint('ready', flush=True)\nos.kill(os.getpid(), 9)", policy=policy)
    loop = asyncio.get_running_loop()
    await child.start()
    times = []
    for _ in range(5):
        end = await supervision.ends.get()
        assert end.status is not None
        assert (end.reason, end.status.signal_name) == ("crashed", "SIGKILL")
        times.append(loop.time() - end.uptime)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # 0.2, 0.4, 0.8 and the uptime of each.
    assert gaps[1] > 0.2
    assert gaps[2] > 0.4
    assert gaps[3] > 0.8
    assert child.state.failures >= 5
    await child.stop()
    assert child.state.state in {"waiting", "stopped"}
    starts = child.state.starts
    await asyncio.sleep(0)
    assert child.state.starts == starts


async def test_idle_child_is_ended_and_one_in_use_is_not(supervision: Supervision) -> None:
    child = supervision.make(policy={"idle_seconds": 0.2, "cool_down_seconds": 1000.0})
    async with child.use() as stream:
        waiting = asyncio.create_task(child.wait())
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        pid, _ = await ask(stream)
    await waiting
    assert (await supervision.ends.get()).reason == "idle"
    async with child.use() as stream:  # an idle end is no failure
        assert (await ask(stream))[0] != pid


async def test_memory_pressure_ends_the_child_and_starts_the_cool_down(supervision: Supervision) -> None:
    child = supervision.make(policy={"cool_down_seconds": 1000.0})
    await child.start()
    child.end("memory is short", cool_down=True)
    await child.wait()
    assert (await supervision.ends.get()).reason == "memory is short"
    with pytest.raises(ChildUnavailable, match=r"not started again before .* s: memory is short"):
        await child.start()


async def test_child_that_restarts_by_itself_does_so_after_the_cool_down(supervision: Supervision) -> None:
    child = supervision.make(policy={"restart": True, "cool_down_seconds": 0.05})
    await child.start()
    child.end("memory is short", cool_down=True)
    await child.wait()
    assert child.state.state == "waiting"
    while child.state.starts < 2:
        await asyncio.sleep(0)
    assert await child.start()


async def test_close_during_a_start_answers_those_who_wait_and_leaves_nothing(supervision: Supervision) -> None:
    child = supervision.make("import time; time.sleep(600)")
    starting = asyncio.create_task(child.start())
    while child.state.pid is None:
        await asyncio.sleep(0)
    await child.close()
    with pytest.raises(ChildUnavailable, match="was ended while starting: closed"):
        await starting


async def test_end_terminates_the_whole_tree_with_grace(supervision: Supervision, tmp_path: pathlib.Path) -> None:
    mark = tmp_path / "mark"
    script = (
        "import os, pathlib, signal, sys, subprocess\n"
        "below = subprocess.Popen(['sleep', '600'])\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(mark)!r}).touch(), os._exit(0)))\n"
        "print('ready', flush=True)\n"
        "print(below.pid, flush=True)\n"
        "signal.pause()"
    )
    child = supervision.make(script, policy={"grace_seconds": 10.0})
    stream = await child.start()
    below = int(await stream.receive())
    await child.stop()
    assert mark.exists()
    status = pathlib.Path(f"/proc/{below}/stat")
    assert not status.exists() or " Z " in status.read_text(encoding="utf-8")


async def test_resources_are_released_before_the_child_is_terminated(
    procs: Procs, path_env: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bool] = []

    async def ready(started: Started) -> str:
        async def release() -> None:
            seen.append(started.child.running)
            raise OSError("broken")

        started.on_end(release)
        return "session"

    child = SupervisedChild("sleeper", procs, lambda _: Launch(["sleep", "600"], path_env, "/"), ready)
    assert await child.start() == "session"
    await child.stop()
    assert seen == [True]
    assert "supervised child was not closed properly" in caplog.text
    assert procs.live == []


async def test_readiness_probe_alone_is_enough(procs: Procs, path_env: dict[str, str], tmp_path: pathlib.Path) -> None:
    """A child with no channel, as an X server that reports its display on a descriptor."""
    ours, theirs = os.pipe()
    display = os.fdopen(ours, "rb", 0)

    async def ready(_: Started) -> int:
        reader = asyncio.StreamReader()
        transport, _protocol = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), display
        )
        line = await reader.readline()
        transport.close()
        return int(line)

    def launch(fd: int) -> Launch:
        assert fd == -1
        code = f"import os, time; os.write({theirs}, b'7\\n'); time.sleep(600)"
        return Launch([sys.executable, "-S", "-c", code], path_env, "/", pass_fds=(theirs,))

    child = SupervisedChild("screen", procs, launch, ready)
    assert await child.start() == 7
    await child.close()
    os.close(theirs)


# Hands out a number for each request on the descriptor it was given, and ends when asked for too many.
NUMBERS = """
import socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
control.send(b"ready")
number = 0
while control.recv(16):
    number += 1
    control.send(b"%d" % number)
"""


class Numbers:
    """Items that one child hands out over a packet socket: the shape of a fork server."""

    def __init__(self, procs: Procs, path: pathlib.Path, env: dict[str, str]) -> None:
        def launch(fd: int) -> Launch:
            return Launch([sys.executable, "-S", str(path), str(fd)], env, "/", pass_fds=(fd,))

        self.child: SupervisedChild[Pool[int]] = SupervisedChild(
            "numbers", procs, launch, self._ready, control=socket.SOCK_SEQPACKET
        )
        self.retired: list[int] = []

    async def _ready(self, started: Started) -> Pool[int]:
        control = PacketSocket(started.control)
        assert await control.receive() == b"ready"

        async def create() -> list[int]:
            control.send(b"next")
            return [int(await control.receive())]

        pool = Pool("number", create, self._retire, lambda _: True)
        started.on_end(pool.close)
        return pool

    async def _retire(self, item: int) -> None:
        self.retired.append(item)


async def test_pool_lives_as_long_as_the_child_that_hands_out_its_items(
    procs: Procs, tmp_path: pathlib.Path, path_env: dict[str, str]
) -> None:
    path = tmp_path / "numbers.py"
    path.write_text(NUMBERS, encoding="utf-8")
    numbers = Numbers(procs, path, path_env)
    async with numbers.child.use() as pool:
        assert [await pool.take() for _ in range(3)] == [1, 2, 3]
    pid = numbers.child.state.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await numbers.child.wait()
    assert await pool.take() is None
    async with numbers.child.use() as pool:
        assert await pool.take() == 1
    await numbers.child.close()
