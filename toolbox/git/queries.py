"""Short questions to the git program: commit ids, the current branch, configured values."""

from __future__ import annotations

from toolbox.errors import GitBranchNotFound
from toolbox.git import validate
from toolbox.git.cli import GitCall
from toolbox.git.context import GitContext
from toolbox.git.repository import Repo


async def head(context: GitContext, repo: Repo) -> str:
    """Return the commit id of HEAD."""
    return (await context.cli.check(GitCall(repo, ["rev-parse", "--verify", "HEAD"]))).line


async def resolve(context: GitContext, repo: Repo, revision: str) -> str | None:
    """Return the full id of a commit, None if it does not exist."""
    argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    output = await context.cli.run(GitCall(repo, argv))
    return output.line if output.code == 0 else None


async def required(context: GitContext, repo: Repo, revision: str) -> str:
    """Return the full id of a commit that must exist. Other commands get ids only, never a client's text."""
    found = await resolve(context, repo, validate.plain(revision, "revision"))
    if found is None:
        raise GitBranchNotFound(f"not found: unknown revision '{revision}'")
    return found


async def current_branch(context: GitContext, repo: Repo) -> str:
    """Return the branch of HEAD, which may have no commit yet; empty if HEAD is detached."""
    # Not --short, which writes heads/NAME where a tag has the same name.
    return (await context.cli.run(GitCall(repo, ["symbolic-ref", "--quiet", "HEAD"]))).line.removeprefix("refs/heads/")


async def config_value(context: GitContext, repo: Repo, key: str) -> str:
    """Return the last value of a key over all scopes; empty if it is not set."""
    return (await context.cli.run(GitCall(repo, ["config", "--get", key]))).line


async def config_values(context: GitContext, repo: Repo, key: str) -> list[str]:
    """Return all values of a key over all scopes."""
    output = await context.cli.run(GitCall(repo, ["config", "-z", "--get-all", key]))
    return output.text.split("\0")[:-1]
