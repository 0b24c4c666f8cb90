from __future__ import annotations

import pathlib
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).parents[3]
# A process of its own: the kernel re-parents orphans to it, and nobody else's children are near.
PROGRAM = """
import asyncio, os, pathlib, sys, tempfile
from toolbox.host import reaper, tree
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool

def zombies():
    return [pid for pid in tree.children_of_self() if tree.entry(pid).state == "Z"]

async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.02)

async def main():
    assert reaper.set_subreaper()
    reaper.default_signals()
    spool = Spool(pathlib.Path(tempfile.mkdtemp()))
    procs = Procs(spool)
    procs.start_reaping()
    env = {"PATH": os.environ["PATH"]}
    BODY
    await procs.close()
    await spool.close()
    assert tree.children_of_self() == set(), tree.children_of_self()
    print("ok")

asyncio.run(main())
"""


def run(body: str) -> None:
    code = PROGRAM.replace("    BODY\n", textwrap.indent(textwrap.dedent(body), "    "))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=15, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_orphans_are_reaped() -> None:
    run("""
        for n in range(20):
            done = await procs.run(["sh", "-c", f"sleep 0.0{n % 3} & (sleep 0.05 &) ; exit {n}"], env=env, cwd="/")
            assert done.status.code == n
        await until(lambda: not tree.children_of_self())
    """)


def test_statuses_survive_a_storm_of_orphans() -> None:
    run("""
        async def one(n):
            process = await procs.spawn(["sh", "-c", f"true & (true &); exit {n}"], env=env, cwd="/")
            code = (await process.wait()).code
            process.release()
            await process.output.close()
            return code
        for _ in range(3):
            assert await asyncio.gather(*(one(n) for n in range(100))) == list(range(100))
        await until(lambda: not tree.children_of_self())
    """)


def test_close_ends_what_was_left_in_the_background() -> None:
    run("""
        script = "exec >/dev/null 2>&1; sleep 100 & setsid sleep 100 &"
        await procs.run(["sh", "-c", script], env=env, cwd="/")
        await until(lambda: len(tree.children_of_self()) == 2)
    """)


def test_a_child_somebody_else_waits_for_keeps_its_status() -> None:
    run("""
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 6"], {})
        await until(lambda: zombies() == [pid])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6
    """)


def test_session_member_that_was_reparented_dies_with_the_tree() -> None:
    run("""
        process = await procs.spawn(["sh", "-c", "(sleep 100 & ) ; echo ready; wait; sleep 100"], env=env, cwd="/")
        async for _ in process.output.follow():
            break
        await until(lambda: len(tree.children_of_self()) == 2)
        await process.terminate()
        await until(lambda: not tree.children_of_self())
        process.release()
        await process.output.close()
    """)
