"""Services that make repositories: init and clone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from toolbox.errors import ToolboxError
from toolbox.git import urls, validate
from toolbox.git.cli import PlainFolder, ProgressCallback
from toolbox.git.credentials import credentials_for
from toolbox.git.engine.interface import CloneOrder, Engine, EngineService
from toolbox.git.target import Target, prepare
from toolbox.git.wire import GitCloneRequest, GitInitRequest

log = logging.getLogger(__name__)


class Cloning(EngineService):
    """Make repositories."""

    async def init(self, request: GitInitRequest) -> None:
        """Make a repository; an existing one is not changed."""
        initial = validate.branch(request.initial_branch) if request.initial_branch else ""
        path = self._context.repos.resolve(request.path)
        async with self._context.repos.changing(path):
            user = await self._context.workers.run(prepare, path)
            if user is None:
                await self._context.metadata.init(path, bare=bool(request.bare), initial=initial)
                return
            flags = [*(["--bare"] if request.bare else []), *(["-b", initial] if initial else [])]
            await self._git(PlainFolder("/", user), "init", "-q", *flags, "--", path)

    async def clone(self, request: GitCloneRequest, on_progress: ProgressCallback | None = None) -> None:
        """Clone one branch and tags; check out a commit if one is named."""
        path = self._context.repos.resolve(request.path)
        order = await self._order(request, on_progress)
        async with self._context.repos.changing(path, wait=False):
            target = await self._context.workers.run(Target, path)
            engine = await self._engines.current()
            async with self._undone_on_failure(target, engine):
                with order.credentials.logged():
                    await engine.clone(order, target)
                if order.url.embedded:
                    # git stores the URL as given, credentials included, and users rely on it.
                    url = {"remote.origin.url": order.url.original}
                    await self._context.metadata.config_set(f"{path}/.git/config", url)

    async def _order(self, request: GitCloneRequest, on_progress: ProgressCallback | None) -> CloneOrder:
        if request.branch:
            validate.plain(request.branch, "branch name")
        if request.commit_id:
            validate.plain(request.commit_id, "commit id")
        url = await self._context.workers.run(urls.parse, request.url, workdir=self._context.repos.workdir)
        insecure = bool(request.insecure_skip_tls)
        return CloneOrder(
            url=url,
            credentials=credentials_for(url, request.username, request.password, insecure=insecure),
            branch=request.branch or "",
            commit=request.commit_id or "",
            depth=request.depth or 0,
            on_progress=on_progress,
        )

    @asynccontextmanager
    async def _undone_on_failure(self, target: Target, engine: Engine) -> AsyncIterator[None]:
        """Remove what a failed clone left, and log the end of the clone."""
        started = time.monotonic()
        facts: dict[str, object] = {"engine": engine.name}
        try:
            yield
        except BaseException as error:
            facts["code"] = str(error.code) if isinstance(error, ToolboxError) else type(error).__name__
            await asyncio.shield(self._context.workers.run(target.undo))
            raise
        finally:
            facts["seconds"] = round(time.monotonic() - started, 3)
            log.info("clone failed" if "code" in facts else "clone finished", extra=facts)
