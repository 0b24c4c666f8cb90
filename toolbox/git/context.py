"""Dependencies shared by the git services and both engines."""

from __future__ import annotations

import msgspec

from toolbox.git.cli import Cli
from toolbox.git.metadata import Metadata
from toolbox.git.repository import Repositories
from toolbox.host.env import Environment
from toolbox.host.worker_pool import WorkerPool


class GitContext(msgspec.Struct, frozen=True):
    """Repositories and their locks, the git program, metadata readers, threads for blocking calls, variables."""

    repos: Repositories
    cli: Cli
    metadata: Metadata
    workers: WorkerPool
    environment: Environment

    @property
    def home(self) -> str:
        """Return the home directory that git uses."""
        return self.environment.get("HOME") or self.repos.home
