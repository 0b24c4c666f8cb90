"""Diff and blame. Programs configured by the repository (external diff, textconv) are disabled."""

from __future__ import annotations

import re

from toolbox.errors import BadRequest, FileMissing, GitBranchNotFound
from toolbox.git import filters as filtering
from toolbox.git import paths
from toolbox.git.cli import GitCall
from toolbox.git.repository import Repo
from toolbox.git.service import GitService
from toolbox.git.workflow import wire

# Candidates for the default branch: origin's HEAD, else the usual names.
_DEFAULTS = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master", "main", "master")
FORMATS = ("json", "stat", "patch")
# Default length of a patch in bytes; longer ones are truncated.
PATCH_BYTES = 1024 * 1024
MOST_PATCH_BYTES = 64 * 1024 * 1024
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color")
_WORDS = {
    "A": "Added",
    "C": "Copied",
    "D": "Deleted",
    "M": "Modified",
    "R": "Renamed",
    "T": "Modified",
    "U": "Unmerged",
}
_HEADER = re.compile(r"(?P<hash>[0-9a-f]{40,64}) (?P<original>\d+) (?P<final>\d+)(?: \d+)?")
_LINES = re.compile(r"\d+(,\d+)?")


class Comparing(GitService):
    """Compare revisions, the index and the files."""

    async def diff(self, query: wire.DiffQuery) -> wire.GitDiff:
        """Return the changed files with counts, and the patch with ``format=patch``."""
        wanted = query.format or "json"
        if wanted not in FORMATS:
            raise BadRequest(f"bad request: unknown format '{wanted[:40]}', one of {', '.join(FORMATS)}")
        repo = await self._context.repos.open(query.path)
        what = await self._what(repo, query)
        options = await filtering.disabled(self._context, repo, asked=bool(query.filters))
        states = await self._git(repo, *options, "diff", "-z", "-M", "--name-status", *_PLAIN, *what)
        counts = await self._git(repo, *options, "diff", "-z", "-M", "--numstat", *_PLAIN, *what)
        found = wire.GitDiff(files=files(states.text, counts.text))
        if wanted == "patch":
            await self._patch(repo, query, what, found, options)
        return found

    async def _what(self, repo: Repo, query: wire.DiffQuery) -> list[str]:
        """Build the arguments that select what is compared."""
        if query.to and not query.base:
            raise BadRequest("bad request: to needs from")
        revisions = [await self._required(repo, one) for one in (query.base, query.to) if one]
        if not revisions or not query.to:
            repo.with_files()
        names = await self._context.workers.run(paths.inside, repo, query.paths or [])
        return [*(["--cached"] if query.staged else []), *revisions, "--", *map(paths.literal, names)]

    async def _patch(
        self, repo: Repo, query: wire.DiffQuery, what: list[str], found: wire.GitDiff, options: list[str]
    ) -> None:
        limit = min(query.limit or PATCH_BYTES, MOST_PATCH_BYTES)
        context = [f"--unified={query.context}"] if query.context is not None else []
        output = await self._git(repo, *options, "diff", "-M", *_PLAIN, *context, *what)
        found.truncated = len(output.stdout) > limit
        found.patch = output.stdout[:limit].decode("utf-8", "replace")

    async def changes(self, query: wire.ChangesQuery) -> wire.GitChanges:
        """Return changes since the merge base with another branch: committed, uncommitted and untracked."""
        repo = (await self._context.repos.open(query.path)).with_files()
        base = await self._merge_base(repo, query.base)
        found = await self.diff(wire.DiffQuery(path=query.path, base=base, filters=query.filters))
        output = await self._git(repo, "ls-files", "-z", "--others", "--exclude-standard")
        new = [wire.DiffFile(path=name, status="Untracked") for name in output.text.split("\0") if name]
        return wire.GitChanges(base=base, files=[*found.files, *new])

    async def _merge_base(self, repo: Repo, name: str | None) -> str:
        """Return the merge base of HEAD and a branch."""
        commit = await self._required(repo, name) if name else await self._default(repo)
        output = await self._context.cli.run(GitCall(repo, ["merge-base", "HEAD", commit]))
        if output.code:
            raise GitBranchNotFound(f"not found: HEAD has nothing in common with '{name or commit}'")
        return output.line

    async def _default(self, repo: Repo) -> str:
        for candidate in _DEFAULTS:
            commit = await self._resolve(repo, candidate)
            if commit is not None:
                return commit
        raise BadRequest("bad request: no default branch is known, give base")

    async def blame(self, query: wire.BlameQuery) -> wire.GitBlame:
        """Return each line of a file with the commit it comes from."""
        if not query.file:
            raise BadRequest("bad request: file is required")
        if query.lines and not _LINES.fullmatch(query.lines):
            raise BadRequest("bad request: lines are given as 10 or 10,20")
        repo = await self._context.repos.open(query.path)
        if not query.ref:
            repo.with_files()
        (name,) = await self._context.workers.run(paths.inside, repo, [query.file])
        revision = [await self._required(repo, query.ref)] if query.ref else []
        span = ["-L", query.lines if "," in query.lines else f"{query.lines},+1"] if query.lines else []
        options = await filtering.disabled(self._context, repo, asked=bool(query.filters))
        argv = [*options, "blame", "--line-porcelain", "--no-textconv", *span, *revision, "--", name]
        missing = FileMissing(f"not found: no such file in the revision: {name}")
        output = await self._context.cli.check(GitCall(repo, argv), ("no such path", missing))
        return wire.GitBlame(lines=await self._context.workers.run(blamed, output.stdout))


def files(states: str, counts: str) -> list[wire.DiffFile]:
    """Join the output of ``--name-status -z`` and ``--numstat -z``."""
    found: dict[str, wire.DiffFile] = {}
    fields = iter(states.split("\0"))
    for state in fields:
        if state:
            old = next(fields) if state[0] in "RC" else ""
            name = next(fields)
            found[name] = wire.DiffFile(path=name, old_path=old, status=_WORDS.get(state[0], "Modified"))
    fields = iter(counts.split("\0"))
    for record in fields:
        if record:
            added, removed, name = record.split("\t", 2)
            if not name:
                next(fields)
                name = next(fields)
            if name in found and added != "-":
                found[name].additions, found[name].deletions = int(added), int(removed)
    return list(found.values())


def blamed(output: bytes) -> list[wire.BlameLine]:
    """Parse ``blame --line-porcelain``."""
    lines: list[wire.BlameLine] = []
    facts: dict[str, str] = {}
    for line in output.decode("utf-8", "replace").split("\n"):
        header = _HEADER.fullmatch(line)
        if header is not None and not facts:
            facts = header.groupdict()
        elif line.startswith("\t"):
            lines.append(_blamed(facts, line[1:]))
            facts = {}
        elif line:
            name, _, value = line.partition(" ")
            facts[name] = value
    return lines


def _blamed(facts: dict[str, str], content: str) -> wire.BlameLine:
    return wire.BlameLine(
        line=int(facts["final"]),
        hash=facts["hash"],
        original_line=int(facts["original"]),
        author=facts.get("author", ""),
        email=facts.get("author-mail", "").strip("<>"),
        timestamp=int(facts.get("author-time", "0")),
        summary=facts.get("summary", ""),
        content=content,
    )
