"""Start our own daemon for a measurement."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator

from aiohttp import ClientSession, TCPConnector

from bench.workload import Server


@contextlib.asynccontextmanager
async def spawned(name: str = "A toolbox") -> AsyncIterator[Server]:
    """Serve on a free loopback port, in a folder of its own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="toolbox-bench-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAYTONA_", "TOOLBOX_"))}
        environ = {**kept, "HOME": folder, "DAYTONA_DAEMON_LOG_FILE_PATH": "", "LOG_LEVEL": "warn"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "toolbox", "serve", "--port", "0", "--workdir", folder),
            stdout=subprocess.PIPE,
            env=environ,
            cwd=pathlib.Path(folder),
        )
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            async with ClientSession(connector=TCPConnector(limit=0)) as session:
                yield Server(name, f"http://127.0.0.1:{line.split()[-1]}", process.pid, session)
        finally:
            process.terminate()
            await process.wait()
