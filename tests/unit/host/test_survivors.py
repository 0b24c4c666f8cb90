from __future__ import annotations

import os
import socket
import sys

from toolbox.host import survivors
from toolbox.host.procs import Procs


def test_process_is_described_with_what_it_listens_on() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        socket.create_connection(four.getsockname()).close()
        (found,) = survivors.describe([os.getpid()])
        expected = {four.getsockname()[1], six.getsockname()[1]}
    assert found.pid == os.getpid()
    assert expected <= set(found.ports)
    assert "pytest" in found.command or sys.executable in found.command


def test_process_that_is_gone_is_left_out() -> None:
    assert survivors.describe([2**22 + 1]) == []


async def test_only_the_session_of_the_process_counts(procs: Procs, path_env: dict[str, str]) -> None:
    script = "sleep 98 & sleep 99 & echo $!"
    process = await procs.spawn(["sh", "-c", script], env=path_env, cwd="/")
    other = await procs.spawn(["sleep", "97"], env=path_env, cwd="/")
    await process.settle()
    found = await procs.exit_reporter.survivors(process.pid)
    assert sorted(item.command for item in found) == ["sleep 98", "sleep 99"]
    await process.terminate()
    assert await procs.exit_reporter.survivors(process.pid) == []
    await other.terminate()
    for each in (process, other):
        each.release()
        await each.output.close()
