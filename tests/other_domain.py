"""A domain beside ``process/``: it keeps a helper and registers what it runs, with the parts of ``runs/`` only."""

from __future__ import annotations

import socket
import sys

from toolbox.host.launch import Launch
from toolbox.runs.context import ProcessContext
from toolbox.runs.messages import JsonLines, MessageStream
from toolbox.runs.pool import Pool
from toolbox.runs.registry import Entry, Kind
from toolbox.runs.run import Run
from toolbox.runs.run_set import RunSet
from toolbox.runs.supervised import Policy, Started, SupervisedChild

# Answers each line of JSON with the same line.
HELPER = "import sys\nprint('\"ready\"', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)"


class OtherDomain:
    """Keep a helper ready, and run commands that show up in the list of processes."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._runs = RunSet("other")
        self._helpers: list[SupervisedChild[MessageStream]] = []
        self.pool = Pool("other helper", self._make, self._retire, alive=_is_ready, keep=1)

    async def run(self, *argv: str) -> Run:
        """Start a program, as a run like all others."""
        environ, workdir = self._context.environment.merged(), self._context.workdir
        process = await self._context.procs.spawn(argv, env=environ, cwd=workdir)
        entry = Entry(kind=Kind.EXEC, output=process.output, id=process.id, name="other", argv=argv, cwd=workdir)
        entry.began(process)
        run = Run(self._context.registry.add(entry), process)
        run.release()
        return await self._runs.begin(run)

    async def close(self) -> None:
        await self._runs.close()
        await self.pool.close()
        for helper in self._helpers:
            await helper.close()

    async def _make(self) -> list[SupervisedChild[MessageStream]]:
        def launch(fd: int) -> Launch:
            argv = [sys.executable, "-c", HELPER]
            return Launch(argv, self._context.environment.merged(), "/", stdin=fd, stdout=fd)

        async def ready(started: Started) -> MessageStream:
            stream = await MessageStream.over_socket(started.control, JsonLines())
            started.on_end(stream.close)
            assert await stream.receive() == b'"ready"'
            return stream

        helper = SupervisedChild(
            "other helper", self._context.procs, launch, ready, control=socket.SOCK_STREAM, policy=Policy()
        )
        self._helpers.append(helper)
        await helper.start()
        return [helper]

    async def _retire(self, helper: SupervisedChild[MessageStream]) -> None:
        await helper.close()


def _is_ready(helper: SupervisedChild[MessageStream]) -> bool:
    return helper.state.state == "ready"
