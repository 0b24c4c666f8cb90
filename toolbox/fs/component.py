"""Put the files area together: its worker_pools of threads, its journal, its services and its API."""

from __future__ import annotations

import asyncio

from toolbox.fs.api import FsApi, Services
from toolbox.fs.archive import Archives
from toolbox.fs.copying import Copies
from toolbox.fs.downloads import Downloads
from toolbox.fs.extract import Extracts
from toolbox.fs.find import Find
from toolbox.fs.info import Info
from toolbox.fs.moving import Moves
from toolbox.fs.permissions import Permissions
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
    """Own everything behind ``/files``."""

    def __init__(self, *, workdir: str, state_dir: str, procs: Procs | None = None, durable: bool = False) -> None:
        root = Workdir(workdir)
        quick = WorkerPool("fs-quick", 4)
        bulk = WorkerPool("fs-bulk", 8)
        trees = WorkerPool("fs-trees", 4)
        search = WorkerPool("fs-search", 4)
        watch = WorkerPool("fs-watch", MAX_FEEDS + 2)
        self._worker_pools = (quick, bulk, trees, search, watch)
        self._watches = Watches(root, watch)
        self._journal = Journal(state_dir)
        self._sweep: asyncio.Task[int] | None = None
        self.bodies = Bodies(bulk)
        uploads = Uploads(root, self._journal, durable=durable)
        services = Services(
            tree=Tree(root, quick),
            info=Info(root, quick, bulk),
            permissions=Permissions(root, quick),
            moves=Moves(root, trees, self._journal),
            copies=Copies(root, trees, self._journal),
            uploads=uploads,
            downloads=Downloads(root, quick),
            search=Search(root, search),
            find=Find(root, search, Ripgrep(procs, search) if procs is not None else None),
            replace=Replace(root, trees, uploads),
            archives=Archives(root, trees),
            extracts=Extracts(root, self._journal),
            watches=self._watches,
            bodies=self.bodies,
        )
        self.apis = (FsApi(services),)

    async def start(self) -> None:
        """Remove in the background what a killed daemon left."""
        self._sweep = asyncio.create_task(self._worker_pools[0].run(self._journal.start), name="files sweep")

    async def close(self) -> None:
        """End the threads; requests must be over."""
        if self._sweep is not None:
            await asyncio.wait([self._sweep])
        await self._watches.close()
        for workers in self._worker_pools:
            await workers.close()
        await asyncio.to_thread(self._journal.close)
