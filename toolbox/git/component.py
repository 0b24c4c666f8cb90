"""Put the git area together: its threads, the program, its services and its API."""

from __future__ import annotations

from toolbox.git.api import GitApi, Services
from toolbox.git.branches import Branches
from toolbox.git.checkout import Checkout
from toolbox.git.cli import Cli
from toolbox.git.cloning import Cloning
from toolbox.git.configuration import Configuration
from toolbox.git.history import History
from toolbox.git.remotes import Remotes
from toolbox.git.repository import Repositories
from toolbox.git.restoring import Restoring
from toolbox.git.staging import Staging
from toolbox.git.status import Status
from toolbox.git.store import CredentialStore
from toolbox.git.tools import Tools
from toolbox.git.transfer import Transfer
from toolbox.git.worker import Worker
from toolbox.git.workflow import api as workflow
from toolbox.git.workflow.api import WorkflowApi
from toolbox.git.workflow.cleaning import Cleaning
from toolbox.git.workflow.comparing import Comparing
from toolbox.git.workflow.content import Content
from toolbox.git.workflow.patching import Patching
from toolbox.git.workflow.references import References
from toolbox.git.workflow.sequencing import Sequencing
from toolbox.git.workflow.stashes import Stashes
from toolbox.git.workflow.tags import Tags
from toolbox.git.workflow.worktrees import Worktrees
from toolbox.host.env import Environment
from toolbox.host.procs import Procs
from toolbox.host.worker_pool import WorkerPool


class GitComponent:
    """Own everything behind ``/git``."""

    def __init__(self, procs: Procs, environment: Environment, *, workdir: str, home: str) -> None:
        self._workers = WorkerPool("git", 4)
        self._cli = Cli(procs, environment, self._workers)
        tools = Tools(Repositories(workdir, home, self._workers), self._cli, Worker(procs, environment), self._workers)
        self._status = Status(tools)
        remotes = Remotes(tools, workdir)
        configuration = Configuration(tools, environment, home)
        api = GitApi(
            Services(
                cloning=Cloning(tools, workdir),
                status=self._status,
                staging=Staging(tools),
                transfer=Transfer(tools, remotes),
                remotes=remotes,
                branches=Branches(tools),
                checkout=Checkout(tools),
                history=History(tools),
                restoring=Restoring(tools),
                configuration=configuration,
                store=CredentialStore(tools, environment, configuration, home),
            )
        )
        workflow_api = WorkflowApi(
            workflow.Services(
                comparing=Comparing(tools),
                content=Content(tools),
                patching=Patching(tools),
                cleaning=Cleaning(tools),
                references=References(tools, remotes),
                stashes=Stashes(tools),
                tags=Tags(tools),
                sequencing=Sequencing(tools),
                worktrees=Worktrees(tools),
            )
        )
        self.apis = (api, workflow_api)

    async def stop(self) -> None:
        """End what runs, so that whoever waits for it gets an answer."""
        await self._cli.close()

    async def close(self) -> None:
        """End the threads; requests must be over."""
        await self._status.close()
        await self._workers.close()
