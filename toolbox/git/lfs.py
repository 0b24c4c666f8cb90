"""Git LFS: transfer objects with the credentials of the request, before filters run without them."""

from __future__ import annotations

import os

from toolbox.git.cli import GitCall
from toolbox.git.context import GitContext
from toolbox.git.credentials import HostCredentials
from toolbox.git.repository import Repo

_READ = 64 * 1024


async def uses_lfs(context: GitContext, repo: Repo, revision: str = "") -> bool:
    """Return whether a repository uses LFS and git-lfs is installed."""
    if not await context.cli.has_lfs():
        return False
    if await context.workers.run(_traces, repo):
        return True
    if not revision:
        return False
    shown = await context.cli.run(GitCall(repo, ["cat-file", "blob", f"{revision}:.gitattributes"]))
    return b"filter=lfs" in shown.stdout


def _traces(repo: Repo) -> bool:
    if os.path.isdir(os.path.join(repo.common, "lfs", "objects")):
        return True
    try:
        with open(os.path.join(repo.path, ".gitattributes"), "rb") as source:
            return b"filter=lfs" in source.read(_READ)
    except OSError:
        return False


async def push_objects(context: GitContext, repo: Repo, remote: str, branch: str, credentials: HostCredentials) -> None:
    """Upload objects before the push: after it git-lfs takes them for already uploaded."""
    if await uses_lfs(context, repo):
        await context.cli.check(GitCall(repo, ["lfs", "push", remote, branch], credentials=credentials, network=True))


async def fetch_objects(
    context: GitContext, repo: Repo, remote: str, commit: str, credentials: HostCredentials
) -> None:
    """Download objects with credentials, so that the checkout, which runs filters, needs none."""
    if credentials.given and await uses_lfs(context, repo, commit):
        await context.cli.check(GitCall(repo, ["lfs", "fetch", remote, commit], credentials=credentials, network=True))
