"""Metadata for the services, read in worker threads."""

from __future__ import annotations

from typing import Any

from toolbox.errors import BadGateway
from toolbox.git.metadata import branch_files
from toolbox.git.metadata.history_cache import HistoryCache
from toolbox.git.repository import find
from toolbox.host.worker_pool import WorkerPool


class Metadata:
    """Read and write metadata of repositories; methods raise ``Unsupported`` where git has to do it."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._histories = HistoryCache()

    async def branches(self, path: str) -> tuple[list[str], str] | None:
        """Return the local branches by name, and the current one; None if they are not kept in files."""
        return await self._workers.run(lambda: branch_files.branches(find(path)))

    async def history(self, path: str, limit: int) -> bytes | None:
        """Return the JSON of all commits; None if there are more than ``limit``, or git has to read them."""
        return await self._workers.run(lambda: self._histories.history(find(path), limit))

    async def init(self, path: str, *, bare: bool, initial: str) -> None:
        """Make a repository; an existing one is not changed."""
        await self._workers.run(lambda: _libgit2().init(path, bare=bare, initial=initial))

    async def create_branch(self, path: str, name: str) -> None:
        """Create a branch at HEAD and switch to it."""
        await self._workers.run(lambda: _libgit2().create_branch(path, name))

    async def delete_branch(self, path: str, name: str) -> None:
        """Delete a branch and its tracking configuration."""
        await self._workers.run(lambda: _libgit2().delete_branch(path, name))

    async def remotes(self, path: str) -> list[tuple[str, str]]:
        """Return names and first URLs, as configured."""
        return await self._workers.run(lambda: _libgit2().remotes(find(path).path))

    async def config_get(self, file: str, key: str) -> str | None:
        """Return the last value of a key in one file, None if it is not set."""
        return await self._workers.run(lambda: _libgit2().config_get(file, key))

    async def config_set(self, file: str, values: dict[str, str]) -> None:
        """Set keys to one value each in a file, which is created if missing."""
        await self._workers.run(lambda: _libgit2().config_set(file, values))

    async def config_section(self, file: str, prefix: str) -> dict[str, list[str]]:
        """Return the values of all keys that begin with ``prefix``, by the rest of the key."""
        return await self._workers.run(lambda: _libgit2().config_section(file, prefix))

    async def config_replace(self, file: str, prefix: str, values: dict[str, list[str]]) -> None:
        """Set keys to exactly these values; a key without values is removed."""
        await self._workers.run(lambda: _libgit2().config_replace(file, prefix, values))


def _libgit2() -> Any:
    """Return the module that imports pygit2, which takes tens of milliseconds: called in worker threads only."""
    try:
        from toolbox.git.metadata import libgit2
    except Exception as error:
        # pygit2 raises its own type, which cannot be imported then.
        if "certificates" not in str(error):
            raise
        advice = "install ca-certificates or set SSL_CERT_FILE"
        raise BadGateway(f"libgit2 cannot be loaded without certificates of the system: {advice}") from error
    return libgit2
