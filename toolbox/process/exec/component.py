"""Build command execution: the commands and their API."""

from __future__ import annotations

from toolbox.process.exec.api import ExecApi
from toolbox.process.exec.commands import Commands
from toolbox.runs.context import ProcessContext


class ExecComponent:
    """Own everything behind ``/process/execute``."""

    def __init__(self, context: ProcessContext, *, max_output: int) -> None:
        self.commands = Commands(context, max_output=max_output)
        self.apis = (ExecApi(self.commands),)

    async def stop(self) -> None:
        """Kill running commands, which answers their requests."""
        await self.commands.close()

    async def close(self) -> None:
        """Release all output, also that of answers in progress."""
        await self.commands.release()
