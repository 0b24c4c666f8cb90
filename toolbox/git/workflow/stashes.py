"""Put local changes away and take them back."""

from __future__ import annotations

from toolbox.errors import Conflict, NotFound
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.tools import Tools
from toolbox.git.workflow.wire import ListStashResponse, StashEntry, StashPushRequest, StashRequest

# A stash is a commit and needs somebody; nobody sees it outside of this repository.
_NOBODY = {
    "GIT_AUTHOR_NAME": "toolbox",
    "GIT_AUTHOR_EMAIL": "toolbox@localhost",
    "GIT_COMMITTER_NAME": "toolbox",
    "GIT_COMMITTER_EMAIL": "toolbox@localhost",
}


class Stashes:
    """Put local changes away and take them back."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def list_all(self, path: str) -> ListStashResponse:
        """List stashes, the newest first."""
        repo = await self._t.repos.open(path)
        output = await self._t.cli.check(Job(repo, ["stash", "list", "-z", "--format=%H%x09%cI%x09%gs"]))
        rows = [row.split("\t", 2) for row in output.text.split("\0") if row]
        return ListStashResponse(
            stashes=[
                StashEntry(index=index, hash=name, message=text, timestamp=moment.replace("+00:00", "Z"))
                for index, (name, moment, text) in enumerate(rows)
            ]
        )

    async def push(self, request: StashPushRequest) -> None:
        """Put local changes away; that there are none is a conflict."""
        repo = (await self._t.repos.open(request.path)).with_files()
        flags = [*(["--include-untracked"] if request.untracked else [])]
        flags += ["-m", names.plain(request.message, "message")] if request.message else []
        async with self._t.repos.changing(repo.common):
            output = await self._t.cli.check(Job(repo, ["stash", "push", *flags], env=_NOBODY))
        if "No local changes" in output.text:
            raise Conflict("conflict: no local changes to save")

    async def take(self, request: StashRequest, how: str) -> None:
        """Apply, pop or drop a stash."""
        repo = (await self._t.repos.open(request.path)).with_files()
        entry = f"stash@{{{request.index or 0}}}"
        async with self._t.repos.changing(repo.common):
            output = await self._t.cli.attempt(Job(repo, ["stash", how, entry], env=_NOBODY))
        if output.code and ("is not a valid reference" in output.stderr or "No stash" in output.stderr):
            raise NotFound(f"not found: no stash {request.index or 0}")
        if output.code:
            raise output.failure()
