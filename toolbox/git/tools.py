"""What every service of this area works with."""

from __future__ import annotations

import msgspec

from toolbox.git.cli import Cli
from toolbox.git.repository import Repositories
from toolbox.git.worker import Worker
from toolbox.host.worker_pool import WorkerPool


class Tools(msgspec.Struct, frozen=True):
    """Repositories, the git program, libgit2 in a process of its own, and threads for libgit2 in this one."""

    repos: Repositories
    cli: Cli
    worker: Worker
    workers: WorkerPool
