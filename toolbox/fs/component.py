"""The files component: thread pools, the journal of temporary files, services and API."""

from __future__ import annotations

import asyncio

from toolbox.fs.api import FsApi
from toolbox.fs.archive import Archives
from toolbox.fs.downloads import Downloads
from toolbox.fs.find import Find
from toolbox.fs.info import Info
from toolbox.fs.moving import Moves
from toolbox.fs.replacing import Replace
from toolbox.fs.ripgrep import Ripgrep
from toolbox.fs.search import Search
from toolbox.fs.tree import Tree
from toolbox.fs.uploads import Uploads
from toolbox.fs.watch import MAX_FEEDS, Watches
from toolbox.host.journal import Journal
from toolbox.host.paths import Workdir
from toolbox.host.procs import Procs
from toolbox.host.worker_pool import WorkerPool
from toolbox.http.bodies import Bodies


class FilesComponent:
    """Own what serves ``/files``."""

    def __init__(self, *, workdir: str, state_dir: str, procs: Procs) -> None:
        root = Workdir(workdir)
        # One pool per kind of work, so that a hung mount or a long copy cannot delay a stat.
        quick = WorkerPool("fs-quick", 4)
        bulk = WorkerPool("fs-bulk", 8)
        trees = WorkerPool("fs-trees", 4)
        search = WorkerPool("fs-search", 4)
        watch = WorkerPool("fs-watch", MAX_FEEDS + 2)
        self._worker_pools = (quick, bulk, trees, search, watch)
        self._watches = Watches(root, watch)
        self._journal = Journal(state_dir)
        self._cleanup: asyncio.Task[int] | None = None
        api = FsApi(
            tree=Tree(root, quick),
            info=Info(root, quick, bulk),
            moves=Moves(root, trees, self._journal),
            uploads=Uploads(root, self._journal),
            downloads=Downloads(root, quick),
            search=Search(root, search),
            find=Find(root, search, Ripgrep(procs, search)),
            replace=Replace(root, trees, self._journal),
            archives=Archives(root, trees),
            watches=self._watches,
            bodies=Bodies(bulk),
        )
        self.apis = (api,)

    async def start(self) -> None:
        """Start to remove, in the background, the temporary files that a killed daemon left behind."""
        self._cleanup = asyncio.create_task(self._worker_pools[0].run(self._journal.start), name="files cleanup")

    async def close(self) -> None:
        """Stop the watches, the thread pools and the journal; all requests must have ended."""
        if self._cleanup is not None:
            await asyncio.wait([self._cleanup])
        await self._watches.close()
        for workers in self._worker_pools:
            await workers.close()
        await asyncio.to_thread(self._journal.close)
