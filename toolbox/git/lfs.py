"""Large files: their objects travel beside git's own, with the credentials of the request and before the files do."""

from __future__ import annotations

import os

from toolbox.git.access import Access
from toolbox.git.cli import Job
from toolbox.git.repository import Repo
from toolbox.git.tools import Tools

_READ = 64 * 1024


async def uses_lfs(tools: Tools, repo: Repo, revision: str = "") -> bool:
    """Tell whether a repository keeps large files, and the program for them is there."""
    if not await tools.cli.has_lfs():
        return False
    if await tools.workers.run(_traces, repo):
        return True
    if not revision:
        return False
    shown = await tools.cli.run(Job(repo, ["cat-file", "blob", f"{revision}:.gitattributes"]))
    return b"filter=lfs" in shown.stdout


def _traces(repo: Repo) -> bool:
    if os.path.isdir(os.path.join(repo.common, "lfs", "objects")):
        return True
    try:
        with open(os.path.join(repo.path, ".gitattributes"), "rb") as source:
            return b"filter=lfs" in source.read(_READ)
    except OSError:
        return False


async def push_objects(tools: Tools, repo: Repo, remote: str, branch: str, access: Access) -> None:
    """Upload objects; once the references are there, nothing would be uploaded any more."""
    if await uses_lfs(tools, repo):
        await tools.cli.check(Job(repo, ["lfs", "push", remote, branch], access=access, network=True))


async def fetch_objects(tools: Tools, repo: Repo, remote: str, commit: str, access: Access) -> None:
    """Download objects with credentials, so that the checkout, which runs filters, needs none."""
    if access.given and await uses_lfs(tools, repo, commit):
        await tools.cli.check(Job(repo, ["lfs", "fetch", remote, commit], access=access, network=True))
