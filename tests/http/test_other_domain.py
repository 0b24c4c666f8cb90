"""A domain that is not ``process/`` stands on the same floor."""

from __future__ import annotations

import subprocess
import sys

import aiohttp

from tests.conftest import Running
from tests.other_domain import OtherDomain


def test_nothing_of_process_is_imported() -> None:
    code = "import sys, tests.other_domain; print([name for name in sys.modules if name.startswith('toolbox.process')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


async def test_a_run_of_another_domain_is_a_process_like_all_others(
    server: Running, client: aiohttp.ClientSession
) -> None:
    domain = OtherDomain(server.daemon.context)
    try:
        run = await domain.run("sh", "-c", "echo out; exit 4")
        async with client.get(f"/processes/{run.entry.id}/wait") as answer:
            found = await answer.json()
        assert (found["exitCode"], found["reason"]) == (4, "exited")
        assert {"reason", "durationMs", "cpuMs"} <= set(found["details"])
        async with client.get("/processes?name=other") as answer:
            listed = await answer.json()
        assert [(item["id"], item["argv"]) for item in listed] == [(run.entry.id, ["sh", "-c", "echo out; exit 4"])]
        async with client.get(f"/processes/{run.entry.id}/logs") as answer:
            assert [frame["data"] for frame in (await answer.json())["frames"]] == ["out\n"]
    finally:
        await domain.close()


async def test_helpers_of_another_domain_are_supervised_and_pooled(server: Running) -> None:
    domain = OtherDomain(server.daemon.context)
    try:
        helper = await domain.pool.take()
        assert helper is not None
        async with helper.use() as stream:
            await stream.send(b'{"ask": 1}')
            assert await stream.receive() == b'{"ask": 1}'
        assert helper.state.state == "ready"
    finally:
        await domain.close()
