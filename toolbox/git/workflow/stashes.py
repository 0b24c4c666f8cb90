"""Stash local changes, and apply stashes."""

from __future__ import annotations

from toolbox.errors import Conflict, NotFound
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.identity import FALLBACK
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import ListStashResponse, StashEntry, StashPushRequest, StashRequest


class Stashes(GitService):
    """Stash local changes, and apply stashes."""

    async def list_all(self, path: str) -> ListStashResponse:
        """List stashes, the newest first."""
        repo = await self._context.repos.open(path)
        output = await self._git(repo, "stash", "list", "-z", "--format=%H%x09%cI%x09%gs")
        rows = [row.split("\t", 2) for row in output.text.split("\0") if row]
        return ListStashResponse(
            stashes=[
                StashEntry(index=index, hash=name, message=text, timestamp=moment.replace("+00:00", "Z"))
                for index, (name, moment, text) in enumerate(rows)
            ]
        )

    async def push(self, request: StashPushRequest) -> None:
        """Stash local changes; ``Conflict`` if there are none."""
        repo = (await self._context.repos.open(request.path)).with_files()
        flags = [*(["--include-untracked"] if request.untracked else [])]
        flags += ["-m", validate.plain(request.message, "message")] if request.message else []
        async with self._context.repos.changing(repo.common):
            output = await self._context.cli.check(GitCall(repo, ["stash", "push", *flags], env=FALLBACK.variables))
        if "No local changes" in output.text:
            raise Conflict("conflict: no local changes to save")

    async def take(self, request: StashRequest, how: str) -> None:
        """Apply, pop or drop a stash."""
        repo = (await self._context.repos.open(request.path)).with_files()
        entry = f"stash@{{{request.index or 0}}}"
        call = GitCall(repo, ["stash", how, entry], env=FALLBACK.variables)
        missing = NotFound(f"not found: no stash {request.index or 0}")
        async with self._context.repos.changing(repo.common):
            await self._context.cli.check(call, ("is not a valid reference", missing), ("No stash", missing))
