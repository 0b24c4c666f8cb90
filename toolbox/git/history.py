"""Commit history: short ones as cached JSON from libgit2, long and filtered ones streamed from the engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from toolbox import wire
from toolbox.git.engine.interface import EngineService
from toolbox.git.wire import HistoryQuery

# Commits in an unstreamed answer: about 10 ms of libgit2.
WHOLE = 1000


class History(EngineService):
    """List commits of repositories."""

    async def whole(self, query: HistoryQuery) -> bytes | None:
        """Return the JSON of an unfiltered history; None if it is filtered or longer than ``WHOLE``."""
        if query.skip or query.ref or query.file or query.author or query.since or query.limit:
            return None
        return await self._context.metadata.history(self._context.repos.resolve(query.path), WHOLE)

    async def pages(self, query: HistoryQuery) -> AsyncGenerator[bytes, None]:
        """Yield the JSON of a list in pieces."""
        repo = await self._context.repos.open(query.path)
        engine = await self._engines.current()
        separator = b"["
        async for commits in engine.history(repo, query):
            yield separator + wire.encode(commits)[1:-1]
            separator = b","
        yield b"[]" if separator == b"[" else b"]"
