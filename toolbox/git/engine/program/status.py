"""Status from ``git status --porcelain=v2``."""

from __future__ import annotations

import asyncio
import logging

from toolbox.errors import ToolboxError
from toolbox.git import filters as filtering
from toolbox.git.cli import GitCall
from toolbox.git.context import GitContext
from toolbox.git.repository import Repo
from toolbox.git.service import GitService
from toolbox.git.wire import FileStatus, GitStatus

log = logging.getLogger(__name__)

DETACHED = "HEAD"
_WORDS = {
    ".": "Unmodified",
    "M": "Modified",
    "T": "Modified",
    "A": "Added",
    "D": "Deleted",
    "R": "Renamed",
    "C": "Copied",
    "U": "Updated but unmerged",
}
UNTRACKED, UNMERGED = "Untracked", "Updated but unmerged"
# Fields before the path in each kind of record.
_BEFORE_PATH = {"1": 8, "2": 9, "u": 10}
# Seconds. A slow status has rehashed files with changed times; refreshing the index makes the next one fast.
_SLOW = 0.2
_OFF_LOOP = 64 * 1024


def parse(output: bytes) -> GitStatus:
    """Parse ``status --porcelain=v2 -z --branch``."""
    headers: dict[str, str] = {}
    files: dict[str, FileStatus] = {}
    records = iter(output.decode("utf-8", "replace").split("\0"))
    for record in records:
        kind, _, rest = record.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            headers[name] = value
        elif kind == "?":
            # A file removed from the index but still on disk has two records.
            staging = files[rest].staging if rest in files else UNTRACKED
            files[rest] = FileStatus(name=rest, extra="", staging=staging, worktree=UNTRACKED)
        elif kind in _BEFORE_PATH:
            *fields, name = record.split(" ", _BEFORE_PATH[kind])
            staging, worktree = (UNMERGED, UNMERGED) if kind == "u" else (_WORDS[letter] for letter in fields[1])
            old = next(records, "") if kind == "2" else ""
            files[name] = FileStatus(name=name, extra=old, staging=staging, worktree=worktree)
    head = headers.get("branch.head", "")
    ahead, _, behind = headers.get("branch.ab", "+0 -0").partition(" ")
    return GitStatus(
        current_branch=DETACHED if head == "(detached)" else head,
        file_status=[files[name] for name in sorted(files)],
        branch_published="branch.ab" in headers,
        ahead=int(ahead),
        behind=-int(behind),
        detached=head == "(detached)",
        upstream=headers.get("branch.upstream", ""),
    )


class ProgramStatus(GitService):
    """Read the status of a working tree."""

    def __init__(self, context: GitContext) -> None:
        super().__init__(context)
        self._refreshing: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for index refreshes in the background."""
        if self._refreshing:
            await asyncio.wait(list(self._refreshing.values()))

    async def status(self, repo: Repo, *, filters: bool) -> GitStatus:
        """Return changed files and the branch, without ``state``; ``filters`` runs those of the repository."""
        options = await filtering.disabled(self._context, repo, asked=filters)
        clock = asyncio.get_running_loop().time
        started = clock()
        flags = ["--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--find-renames"]
        output = await self._git(repo, *options, "status", *flags)
        # With filters turned off a refresh would record files as unchanged that are not.
        if clock() - started > _SLOW and not options and not filters:
            self._refresh(repo)
        big = len(output.stdout) > _OFF_LOOP
        found = await self._context.workers.run(parse, output.stdout) if big else parse(output.stdout)
        if not found.upstream and not found.detached:
            await self._compare(repo, found)
        return found

    async def _compare(self, repo: Repo, status: GitStatus) -> None:
        """Compare with the branch of the same name on the remote, if no upstream is configured."""
        branch = status.current_branch
        remote = await self._config_value(repo, f"branch.{branch}.remote") or "origin"
        refs = f"refs/heads/{branch}...refs/remotes/{remote}/{branch}"
        counted = await self._context.cli.run(GitCall(repo, ["rev-list", "--left-right", "--count", refs, "--"]))
        if counted.code == 0:
            ahead, behind = counted.text.split()
            status.branch_published, status.ahead, status.behind = True, int(ahead), int(behind)

    def _refresh(self, repo: Repo) -> None:
        if repo.common not in self._refreshing:
            task = asyncio.create_task(self._write_index(repo), name="git index refresh")
            self._refreshing[repo.common] = task
            task.add_done_callback(lambda _: self._refreshing.pop(repo.common, None))

    async def _write_index(self, repo: Repo) -> None:
        try:
            async with self._context.repos.changing(repo.common):
                await self._context.cli.run(GitCall(repo, ["update-index", "-q", "--refresh"]))
        except (OSError, ToolboxError) as error:
            log.debug("index was not refreshed: %s: %s", repo.path, error)
