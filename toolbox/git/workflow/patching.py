"""Apply patches to files and index."""

from __future__ import annotations

import re

from toolbox.errors import BadRequest, Conflict, GitDirtyWorktree, GitMergeConflict, ToolboxError
from toolbox.git import filters
from toolbox.git.classify import message
from toolbox.git.cli import GitCall, Output
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import ApplyRequest, GitApplied, PatchedFile

_MEANINGS: tuple[tuple[type[ToolboxError], re.Pattern[str]], ...] = (
    (
        BadRequest,
        re.compile(
            r"corrupt patch|no valid patches in input|unrecognized input|invalid path|beyond a symbolic link"
            r"|patch with only garbage|patch fragment without header|git diff header lacks filename",
            re.IGNORECASE,
        ),
    ),
    (GitMergeConflict, re.compile("with conflicts")),
    (GitDirtyWorktree, re.compile("does not match index")),
    (
        Conflict,
        re.compile(r"does not apply|patch failed|does not exist in index|already exists|no such file", re.IGNORECASE),
    ),
)


class Patching(GitService):
    """Apply patches."""

    async def apply(self, request: ApplyRequest) -> GitApplied:
        """Apply a patch; with ``check`` only test whether it applies."""
        if not request.patch.strip():
            raise BadRequest("bad request: patch is empty")
        repo = (await self._context.repos.open(request.path)).with_files()
        switches = {"--index": request.index, "--reverse": request.reverse, "--3way": request.three_way}
        flags = ["--check" if request.check else "--apply", *(name for name, on in switches.items() if on)]
        patch = request.patch.encode("utf-8", "surrogateescape")
        # A test only reads, so it runs no filter of the repository.
        options = await filters.disabled(self._context, repo, asked=not request.check)
        call = GitCall(
            repo, [*options, "apply", "-z", "--numstat", "--whitespace=nowarn", *flags, "-"], stdin=_ended(patch)
        )
        async with self._context.repos.changing(repo.common):
            output = await self._context.cli.attempt(call)
        if output.code:
            raise _failure(output)
        return GitApplied(files=[_file(record) for record in output.text.split("\0") if record])


def _ended(patch: bytes) -> bytes:
    """Add a missing line end at the end of the patch, without which git reports a corrupt patch."""
    return patch if patch.endswith(b"\n") else patch + b"\n"


def _failure(output: Output) -> ToolboxError:
    for kind, pattern in _MEANINGS:
        if pattern.search(output.stderr):
            return kind(message(kind, output.stderr))
    return output.failure()


def _file(record: str) -> PatchedFile:
    added, removed, name = record.split("\t", 2)
    counts = {} if added == "-" else {"additions": int(added), "deletions": int(removed)}
    return PatchedFile(path=name, **counts)
