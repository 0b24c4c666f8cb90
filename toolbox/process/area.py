"""Put the process area together on the process host that the daemon owns."""

from __future__ import annotations

from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.process.api import ExecApi
from toolbox.process.execute import Exec


class ProcessArea:
    """Own everything behind ``/process``."""

    def __init__(
        self, procs: Procs, spool: Spool, env: Environment, shells: Shells, *, workdir: str, max_output: int
    ) -> None:
        self.exec = Exec(procs, env, shells, spool, workdir=workdir, max_output=max_output)
        self.apis: list[object] = [ExecApi(self.exec)]

    async def stop(self) -> None:
        """Kill what runs and answer who waits; before the server closes its connections."""
        await self.exec.close()

    async def close(self) -> None:
        """Let go of all output; requests must be over."""
        await self.exec.release()
