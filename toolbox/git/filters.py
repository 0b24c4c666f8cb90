"""Turn off the filters that a repository itself configures: they are programs, and reading should not run them."""

from __future__ import annotations

import os
import re

import msgspec

from toolbox.errors import ToolboxError, Unprocessable
from toolbox.git.cli import GitCall, PlainFolder
from toolbox.git.context import GitContext
from toolbox.git.repository import Repo, find

# ``lfs.extension`` names programs that git-lfs runs within its own clean filter.
_KEYS = r"^(filter\..*\.(clean|smudge|process|required)|lfs\.extension\..*\.(clean|smudge))$"
# ``command`` is what the daemon itself sets.
_TRUSTED = frozenset({"system", "global", "command"})
_USAGE = 129
_MOST_BYTES = 64 * 1024
_MOST_SUBMODULES = 200
# The mode of a submodule in the index, 0o160000. Elsewhere the same bytes cost one question to git.
_LINK = b"\0\0\xe0\0"


async def disabled(context: GitContext, repo: Repo, *, asked: bool = False) -> list[str]:
    """Return options of git that restore the system's and the user's filters; none if filters are asked for."""
    if asked:
        return []
    values: dict[str, str] = {}
    await _collect(context, repo, values, set())
    if sum(map(len, values)) > _MOST_BYTES:
        raise Unprocessable("repository configures more filters than can be turned off, give filters=true to run them")
    for key in values:
        if "=" in key:  # git ends the key of -c at the first one
            raise Unprocessable(f"filter cannot be turned off, give filters=true to run it: {key}")
    return [part for key, value in values.items() for part in ("-c", f"{key}={value}")]


async def _collect(context: GitContext, repo: Repo, values: dict[str, str], seen: set[str]) -> None:
    """Add the keys of a repository and of its submodules, in which git looks for changes too."""
    seen.add(repo.path)
    if len(seen) > _MOST_SUBMODULES:
        raise Unprocessable("repository has too many submodules to look for filters, give filters=true to run them")
    values.update(overrides(await _listed(context, repo)))
    if repo.bare or not await context.workers.run(_may_have_links, repo):
        return
    listed = await context.cli.check(GitCall(repo, ["ls-files", "-s", "-z"]))
    for name in re.findall(r"(?:^|\0)160000 [^\t]*\t([^\0]+)", listed.text):
        inner = await context.workers.run(_submodule, repo, name)
        if inner is not None and inner.path not in seen:
            await _collect(context, inner, values, seen)


async def _listed(context: GitContext, repo: Repo) -> str:
    """Return pairs of a scope and a key with its value."""
    argv = ["config", "-z", "--get-regexp", _KEYS]
    output = await context.cli.run(GitCall(repo, [*argv[:1], "--show-scope", *argv[1:]]))
    if output.code == _USAGE:  # git before 2.26 has no --show-scope
        outside = (await context.cli.run(GitCall(PlainFolder("/", repo.user), argv))).text.split("\0")[:-1]
        every = (await context.cli.run(GitCall(repo, argv))).text.split("\0")[:-1]
        inside = [entry for entry in every if entry not in outside]
        pairs = [*(f"global\0{entry}\0" for entry in outside), *(f"local\0{entry}\0" for entry in inside)]
        return "".join(pairs)
    if output.code not in (0, 1):  # 1: no such key
        raise output.failure()
    return output.text


def overrides(listed: str) -> dict[str, str]:
    """Return the value that each key gets: that of the trusted scopes, else one that runs nothing."""
    trusted: dict[str, str] = {}
    own: list[str] = []
    fields = listed.split("\0")[:-1]
    for scope, entry in zip(fields[::2], fields[1::2], strict=True):
        key, _, value = entry.partition("\n")
        if scope in _TRUSTED:
            trusted[key] = value
        else:
            own.append(key)
    return {key: trusted.get(key, _nothing(key)) for key in own}


def _nothing(key: str) -> str:
    # git-lfs fails on an empty command.
    if key.startswith("lfs."):
        return "cat"
    return "false" if key.endswith(".required") else ""


def _may_have_links(repo: Repo) -> bool:
    """Return whether an index may contain submodules. Blocks."""
    with os.scandir(repo.gitdir) as entries:
        indexes = [entry.path for entry in entries if entry.name == "index" or entry.name.startswith("sharedindex.")]
    for path in indexes:
        with open(path, "rb") as source:
            if _LINK in source.read():
                return True
    return False


def _submodule(repo: Repo, name: str) -> Repo | None:
    """Return a submodule that is checked out. Blocks."""
    path = os.path.join(repo.path, name)
    try:
        inner = find(path)
    except (ToolboxError, OSError):
        return None
    # git looks into it as the user it runs as here.
    return None if inner.bare else msgspec.structs.replace(inner, user=repo.user)
