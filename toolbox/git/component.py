"""Assemble the git component: threads, engines, services and APIs."""

from __future__ import annotations

from toolbox.git.api import GitApi, GitServices
from toolbox.git.branches import Branches
from toolbox.git.cli import Cli
from toolbox.git.cloning import Cloning
from toolbox.git.configuration import Configuration
from toolbox.git.context import GitContext
from toolbox.git.credential_store import CredentialStore
from toolbox.git.engine.interface import Engines
from toolbox.git.engine.libgit2.engine import Libgit2Engine
from toolbox.git.engine.program.engine import ProgramEngine
from toolbox.git.history import History
from toolbox.git.metadata import Metadata
from toolbox.git.remotes import Remotes
from toolbox.git.repository import Repositories
from toolbox.git.transfer import Transfer
from toolbox.git.workflow.api import WorkflowApi, WorkflowServices
from toolbox.git.workflow.cleaning import Cleaning
from toolbox.git.workflow.comparing import Comparing
from toolbox.git.workflow.content import Content
from toolbox.git.workflow.patching import Patching
from toolbox.git.workflow.references import References
from toolbox.git.workflow.sequencing import Sequencing
from toolbox.git.workflow.stashes import Stashes
from toolbox.git.workflow.tags import Tags
from toolbox.git.workflow.worktrees import Worktrees
from toolbox.git.working_tree import WorkingTree
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.worker_pool import WorkerPool


class GitComponent:
    """Own all services behind ``/git``."""

    def __init__(self, procs: Procs, environment: Environment, *, workdir: str, home: str) -> None:
        self._workers = WorkerPool("git", 4)
        self._cli = Cli(procs, environment, self._workers)
        repos = Repositories(workdir, home, self._workers)
        context = GitContext(repos, self._cli, Metadata(self._workers), self._workers)
        self._program = ProgramEngine(context)
        engines = Engines(context, self._program, Libgit2Engine(context, procs, environment))
        configuration = Configuration(context, environment, home)
        api = GitApi(
            GitServices(
                cloning=Cloning(context, engines, workdir),
                working_tree=WorkingTree(context, engines),
                transfer=Transfer(context, engines),
                remotes=Remotes(context, engines, workdir),
                branches=Branches(context),
                history=History(context, engines),
                configuration=configuration,
                credential_store=CredentialStore(context, environment, configuration, home),
            )
        )
        workflow = WorkflowApi(
            WorkflowServices(
                comparing=Comparing(context),
                content=Content(context),
                patching=Patching(context),
                cleaning=Cleaning(context),
                references=References(context, engines),
                stashes=Stashes(context),
                tags=Tags(context),
                sequencing=Sequencing(context),
                worktrees=Worktrees(context),
            )
        )
        self.apis = (api, workflow)

    async def stop(self) -> None:
        """End running git processes, so that waiting requests are answered."""
        await self._cli.close()

    async def close(self) -> None:
        """Stop the worker threads. All requests must have ended."""
        await self._program.close()
        await self._workers.close()
