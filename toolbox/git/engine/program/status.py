"""Status from ``git status --porcelain=v2``."""

from __future__ import annotations

import asyncio
import logging

from toolbox.errors import ToolboxError
from toolbox.git.cli import GitCall
from toolbox.git.context import GitContext
from toolbox.git.engine.program.operations import ProgramOperations
from toolbox.git.queries import config_value
from toolbox.git.repository import Repo
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


class StatusParser:
    """Parse ``status --porcelain=v2 -z --branch``."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self._files: dict[str, FileStatus] = {}

    def parse(self, output: bytes) -> GitStatus:
        """Return the status."""
        records = iter(output.decode("utf-8", "replace").split("\0"))
        for record in records:
            if record:
                old = next(records, "") if record.startswith("2 ") else ""
                self._record(record, old)
        head = self.headers.get("branch.head", "")
        ahead, behind = self._distance()
        return GitStatus(
            current_branch=DETACHED if head == "(detached)" else head,
            file_status=[self._files[name] for name in sorted(self._files)],
            branch_published="branch.ab" in self.headers,
            ahead=ahead,
            behind=behind,
            detached=head == "(detached)",
            upstream=self.headers.get("branch.upstream", ""),
        )

    def _distance(self) -> tuple[int, int]:
        ahead, _, behind = self.headers.get("branch.ab", "+0 -0").partition(" ")
        return int(ahead), -int(behind)

    def _record(self, record: str, old: str) -> None:
        kind, _, rest = record.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            self.headers[name] = value
        elif kind == "?":
            self._untracked(rest)
        elif kind in _BEFORE_PATH:
            fields = record.split(" ", _BEFORE_PATH[kind])
            staging, worktree = (UNMERGED, UNMERGED) if kind == "u" else (_WORDS[fields[1][0]], _WORDS[fields[1][1]])
            name = fields[-1]
            self._files[name] = FileStatus(name=name, extra=old, staging=staging, worktree=worktree)

    def _untracked(self, name: str) -> None:
        known = self._files.get(name)
        # A file removed from the index but still on disk has two records.
        staging = known.staging if known is not None else UNTRACKED
        self._files[name] = FileStatus(name=name, extra="", staging=staging, worktree=UNTRACKED)


def parse(output: bytes) -> GitStatus:
    """Parse the output of one status."""
    return StatusParser().parse(output)


class ProgramStatus(ProgramOperations):
    """Read the status of a working tree."""

    def __init__(self, context: GitContext) -> None:
        super().__init__(context)
        self._refreshing: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for index refreshes in the background."""
        if self._refreshing:
            await asyncio.wait(list(self._refreshing.values()))

    async def status(self, repo: Repo) -> GitStatus:
        """Return changed files and the branch, without ``state``."""
        clock = asyncio.get_running_loop().time
        started = clock()
        argv = ["status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--find-renames"]
        output = await self._context.cli.check(GitCall(repo, argv))
        if clock() - started > _SLOW:
            self._refresh(repo)
        big = len(output.stdout) > _OFF_LOOP
        found = await self._context.workers.run(parse, output.stdout) if big else parse(output.stdout)
        if not found.upstream and not found.detached:
            await self._compare(repo, found)
        return found

    async def _compare(self, repo: Repo, status: GitStatus) -> None:
        """Compare with the branch of the same name on the remote, if no upstream is configured."""
        branch = status.current_branch
        remote = await config_value(self._context, repo, f"branch.{branch}.remote") or "origin"
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
