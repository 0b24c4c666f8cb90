"""Put code runs together: the interpreters that are kept warm, the runs and their API."""

from __future__ import annotations

from toolbox.host.env import Environment
from toolbox.host.limits import Limits
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool
from toolbox.process.code.api import CodeApi
from toolbox.process.code.runs import CodeRuns
from toolbox.process.code.warm import Warm
from toolbox.process.running.registry import Registry


class CodeArea:
    """Own everything behind ``/process/code-run``."""

    def __init__(
        self,
        procs: Procs,
        environment: Environment,
        spool: Spool,
        registry: Registry,
        *,
        workdir: str,
        max_output: int,
        limits: Limits | None = None,
    ) -> None:
        self.warm = Warm(procs, workdir=workdir, max_output=max_output)
        self.runs = CodeRuns(
            procs, environment, spool, registry, self.warm, workdir=workdir, max_output=max_output, limits=limits
        )
        self.api = CodeApi(self.runs)

    async def close(self) -> None:
        """Kill what runs and answer those who wait for it; end the warm interpreters."""
        await self.runs.close()
        await self.warm.close()

    async def release(self) -> None:
        """Let go of all output, also of what is being sent."""
        await self.runs.release()
