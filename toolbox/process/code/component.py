"""Put code runs together: the interpreters that are kept warm, the runs and their API."""

from __future__ import annotations

from toolbox.process.code.api import CodeApi
from toolbox.process.code.fork_server import ForkServerPool
from toolbox.process.code.runs import CodeRuns
from toolbox.runs.context import ProcessContext


class CodeComponent:
    """Own everything behind ``/process/code-run``."""

    def __init__(self, context: ProcessContext, *, max_output: int) -> None:
        self.warm = ForkServerPool(context.procs, workdir=context.workdir, max_output=max_output)
        self.runs = CodeRuns(context, self.warm, max_output=max_output)
        self.api = CodeApi(self.runs)

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it; end the warm interpreters."""
        await self.runs.close()
        await self.warm.close()

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        await self.runs.release()
