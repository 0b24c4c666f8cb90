"""Stage files and commit what is staged."""

from __future__ import annotations

import re

from toolbox.errors import BadRequest, FileMissing
from toolbox.git import paths
from toolbox.git.classify import missing_path
from toolbox.git.cli import Job, Output
from toolbox.git.repository import Repo
from toolbox.git.revisions import head
from toolbox.git.tools import Tools
from toolbox.git.wire import GitAddRequest, GitCommitRequest, GitCommitResponse

_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")
_UNUSABLE = re.compile(r"[<>\n\r\0]")
# git takes these off the ends of a name itself, and refuses one that has nothing else.
_CRUD = " .,:;<>\"\\'\t"


class Staging:
    """Change the index, and make commits of it."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools

    async def add(self, request: GitAddRequest) -> None:
        """Stage files as they are on disk, all or nothing."""
        repo = (await self._t.repos.open(request.path)).with_files()
        names = await self._t.workers.run(paths.inside, repo, request.files)
        if not names:
            return
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                await self._t.worker.call("add", repo, files=names)
                return
            plan = await self._t.workers.run(paths.sort, repo, names)
            if plan.absent:
                listed = (await self._t.cli.check(Job(repo, ["ls-files", "-z"]))).text.split("\0")
                await self._t.workers.run(plan.find_absent, listed)
            await self._stage(repo, plan)

    async def _stage(self, repo: Repo, plan: paths.Plan) -> None:
        """Stage directories and patterns, then files; both lists are known to be good."""
        if plan.specs:
            job = Job(repo, ["add", "-A", *_FROM_STDIN], stdin=paths.nul_list(plan.specs))
            output = await self._t.cli.attempt(job)
            # A directory that is ignored as a whole has nothing to stage.
            if output.code and "ignored by one of your" not in output.stderr:
                _raise(output)
        if plan.files:
            # Takes time in proportion to the files, where ``add`` compares each with each; and takes ignored ones.
            argv = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"]
            await self._t.cli.check(Job(repo, argv, stdin=paths.nul_list(plan.files)))

    async def commit(self, request: GitCommitRequest) -> GitCommitResponse:
        """Commit the index with exactly this message; no hook runs."""
        repo = (await self._t.repos.open(request.path)).with_files()
        author, email = identity(request.author, request.email)
        empty = bool(request.allow_empty)
        async with self._t.repos.changing(repo.common):
            if not await self._t.cli.available():
                who = {"message": request.message, "author": author, "email": email}
                return GitCommitResponse(hash=await self._t.worker.call("commit", repo, **who, allow_empty=empty))
            argv = ["-c", "i18n.commitEncoding=UTF-8", "commit", "-q", "--no-verify", "--cleanup=verbatim"]
            job = Job(
                repo,
                [*argv, *(["--allow-empty"] if empty else []), "-F", "-"],
                stdin=request.message.encode("utf-8", "surrogateescape"),
                env=identity_env(author, email),
            )
            await self._t.cli.check(job)
            return GitCommitResponse(hash=await head(self._t, repo))


def _raise(output: Output) -> None:
    name = missing_path(output.stderr)
    if name is not None:
        raise FileMissing(f"not found: pathspec '{name}' did not match any files")
    raise output.failure()


def identity(name: str, email: str) -> tuple[str, str]:
    """Return a usable name and address."""
    name, email = _UNUSABLE.sub("", name), _UNUSABLE.sub("", email)
    if not name.strip(_CRUD) or not email.strip(_CRUD):
        raise BadRequest("bad request: name consists only of disallowed characters")
    return name, email


def identity_env(name: str, email: str) -> dict[str, str]:
    """Return the variables that make somebody author and committer."""
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
    }
