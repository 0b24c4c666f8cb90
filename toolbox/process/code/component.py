"""Build code runs: the fork servers, the runs and their API."""

from __future__ import annotations

from toolbox.process.code.api import CodeApi
from toolbox.process.code.fork_server import ForkServerPool
from toolbox.process.code.runs import CodeRuns
from toolbox.runs.context import ProcessContext


class CodeComponent:
    """Own everything behind ``/process/code-run``."""

    def __init__(self, context: ProcessContext, *, max_output: int) -> None:
        self.fork_servers = ForkServerPool(context.procs, workdir=context.workdir, max_output=max_output)
        self.runs = CodeRuns(context, self.fork_servers, max_output=max_output)
        self.apis = (CodeApi(self.runs),)

    async def stop(self) -> None:
        """Kill running programs, which answers their requests; end the fork servers."""
        await self.runs.close()
        await self.fork_servers.close()

    async def close(self) -> None:
        """Release all output, also that of answers in progress."""
        await self.runs.release()
