"""From names of commits to ids, which is all that other commands are given."""

from __future__ import annotations

from toolbox.errors import GitBranchNotFound
from toolbox.git import names
from toolbox.git.cli import Job
from toolbox.git.repository import Repo
from toolbox.git.tools import Tools


async def head(tools: Tools, repo: Repo) -> str:
    """Return the id of the commit HEAD is at."""
    return (await tools.cli.check(Job(repo, ["rev-parse", "--verify", "HEAD"]))).line


async def resolve(tools: Tools, repo: Repo, revision: str) -> str | None:
    """Return the full id of a commit, None if there is no such."""
    argv = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    output = await tools.cli.run(Job(repo, argv))
    return output.line if output.code == 0 else None


async def required(tools: Tools, repo: Repo, revision: str) -> str:
    """Return the full id of a commit that must exist."""
    found = await resolve(tools, repo, names.plain(revision, "revision"))
    if found is None:
        raise GitBranchNotFound(f"not found: unknown revision '{revision}'")
    return found


async def current_branch(tools: Tools, repo: Repo) -> str:
    """Return the branch HEAD is on, made or not; empty if it is on none."""
    # Not --short, which writes heads/NAME where a tag has the same name.
    return (await tools.cli.run(Job(repo, ["symbolic-ref", "--quiet", "HEAD"]))).line.removeprefix("refs/heads/")
