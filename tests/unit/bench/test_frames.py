"""The count of frames and hops of one command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench import frames
from toolbox import parsers


def counted(*options: str) -> str:
    """Count in a process of its own: the hook belongs in every thread, and the daemon in the main one."""
    command = [sys.executable, "-m", "bench.frames", "--requests", "3", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_one_command() -> None:
    found = json.loads(counted("--json"))
    assert found["frames_on_loop"] == sum(found["on_loop"].values())
    assert found["frames_in_threads"] == sum(found["in_threads"].values())
    assert len(found["frames_on_loop_of_each_request"]) == 3
    assert found["on_loop"]["process.exec.api.ExecApi.execute"] == 1
    hops = [hop["name"] for hop in found["hops"]]
    assert hops[0] == "process.exec.api.ExecApi.execute"
    assert hops[-1].startswith("host.procs.")
    # Bounds of the whole, so that a command never becomes dearer unnoticed.
    assert found["frames_on_loop"] <= 105
    assert len(hops) <= 7


def test_text() -> None:
    text = counted("--command", "exit 3")
    assert text.startswith("frames on the loop: ")
    assert "\nframes in threads: " in text
    assert "\nhops from the handler to the spawn: " in text
    assert "    1  process.exec.api.ExecApi.execute\n" in text


class Service:
    def work(self, argument: int) -> int:
        return argument + 1

    def passes(self, argument: int) -> int:
        """Pass it on."""
        more = argument + 1
        return self.work(more)

    async def awaits(self) -> int:
        try:
            return await self.chooses(2)
        except OSError:
            return 0

    async def chooses(self, argument: int) -> int:
        if argument > 1:
            return self.work(argument)
        return self.work(0)


@pytest.mark.parametrize(
    ("name", "expected"), [("passes", True), ("awaits", True), ("work", False), ("chooses", False)]
)
def test_what_only_forwards(name: str, expected: bool) -> None:
    assert frames.forwards(getattr(Service, name).__code__) is expected


def test_names_of_functions() -> None:
    assert frames.name_of(parsers.at_least.__code__) == "parsers.at_least"
