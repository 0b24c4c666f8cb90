"""The base of the services: short questions to the git program."""

from __future__ import annotations

from toolbox.errors import GitBranchNotFound
from toolbox.git import collisions, validate
from toolbox.git.cli import GitCall, Output, PlainFolder
from toolbox.git.context import GitContext
from toolbox.git.repository import Repo


class GitService:
    """Run git, and ask for commit ids, the current branch and configured values."""

    def __init__(self, context: GitContext) -> None:
        self._context = context

    async def _git(self, where: Repo | PlainFolder, *argv: str) -> Output:
        """Run git and raise what its failure means."""
        return await self._context.cli.check(GitCall(where, argv))

    async def _resolve(self, repo: Repo, revision: str) -> str | None:
        """Return the full id of a commit, None if it does not exist."""
        argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
        output = await self._context.cli.run(GitCall(repo, argv))
        if output.code and "Permission denied" in output.stderr:  # unreadable is not absent
            raise output.failure()
        return output.line if output.code == 0 else None

    async def _required(self, repo: Repo, revision: str) -> str:
        """Return the full id of a commit that must exist. Other commands get ids only, never a client's text."""
        found = await self._resolve(repo, validate.plain(revision, "revision"))
        if found is None:
            raise GitBranchNotFound(f"not found: unknown revision '{revision}'")
        return found

    async def _current_branch(self, repo: Repo) -> str:
        """Return the branch of HEAD, which may have no commit yet; empty if HEAD is detached."""
        # Not --short, which writes heads/NAME where a tag has the same name.
        output = await self._context.cli.run(GitCall(repo, ["symbolic-ref", "--quiet", "HEAD"]))
        return output.line.removeprefix("refs/heads/")

    async def _branch_names(self, repo: Repo) -> list[str]:
        """Return the local branches by name."""
        found = await self._context.metadata.branches(repo.path)
        if found is not None:
            return found[0]
        output = await self._git(repo, "for-each-ref", "--format=%(refname)", "refs/heads")
        return sorted(line.removeprefix("refs/heads/") for line in output.text.splitlines())

    async def _refuse_branch(self, repo: Repo, name: str) -> None:
        """Raise an error that names the branch in the way of a new one."""
        folded = await self._context.workers.run(collisions.ignores_case, repo)
        collisions.refuse_branch(name, await self._branch_names(repo), ignore_case=folded)

    async def _config_value(self, repo: Repo, key: str) -> str:
        """Return the last value of a key over all scopes; empty if it is not set."""
        return (await self._context.cli.run(GitCall(repo, ["config", "--get", key]))).line

    async def _config_values(self, repo: Repo, key: str) -> list[str]:
        """Return all values of a key over all scopes."""
        output = await self._context.cli.run(GitCall(repo, ["config", "-z", "--get-all", key]))
        return output.text.split("\0")[:-1]
