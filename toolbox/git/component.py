"""Assemble the git component: threads, engines, services and APIs."""

from __future__ import annotations

from toolbox.git.api import GitApi
from toolbox.git.cli import Cli
from toolbox.git.context import GitContext
from toolbox.git.engine.interface import Engines
from toolbox.git.engine.libgit2.engine import Libgit2Engine
from toolbox.git.engine.program.engine import ProgramEngine
from toolbox.git.metadata import Metadata
from toolbox.git.repository import Repositories
from toolbox.git.workflow.api import WorkflowApi
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.worker_pool import WorkerPool


class GitComponent:
    """Own all services behind ``/git``."""

    def __init__(self, procs: Procs, environment: Environment, *, workdir: str, home: str) -> None:
        self._workers = WorkerPool("git", 4)
        self._cli = Cli(procs, environment, self._workers)
        repos = Repositories(workdir, home, self._workers)
        context = GitContext(repos, self._cli, Metadata(self._workers), self._workers, environment)
        self._program = ProgramEngine(context)
        engines = Engines(context, self._program, Libgit2Engine(context, procs))
        self.apis = (GitApi(context, engines), WorkflowApi(context, engines))

    async def stop(self) -> None:
        """End running git processes, so that waiting requests are answered."""
        await self._cli.close()

    async def close(self) -> None:
        """Stop the worker threads. All requests must have ended."""
        await self._program.close()
        await self._workers.close()
