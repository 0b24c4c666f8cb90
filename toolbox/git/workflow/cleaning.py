"""Untracked and ignored files: remove them, or list the matching rules."""

from __future__ import annotations

import re

from toolbox.git import paths
from toolbox.git.cli import GitCall
from toolbox.git.service import GitService
from toolbox.git.workflow.wire import CleanRequest, GitCleaned, GitIgnored, IgnoredFile, IgnoreQuery

_REMOVED = re.compile(r"(?:Would remove|Removing) (.*)")
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Cleaning(GitService):
    """Remove untracked files, and explain ignored ones."""

    async def clean(self, request: CleanRequest) -> GitCleaned:
        """Remove untracked files and return them; nested repositories are kept."""
        repo = (await self._context.repos.open(request.path)).with_files()
        names = await self._context.workers.run(paths.inside, repo, request.files or [])
        switches = {"-d": request.directories, "-x": request.ignored}
        flags = ["-n" if request.dry_run else "-f", *(name for name, on in switches.items() if on)]
        # clean.requireForce=false counts as another -f, and a second -f removes nested repositories.
        argv = ["-c", "clean.requireForce=true", "clean", *flags, "--", *map(paths.literal, names)]
        async with self._context.repos.changing(repo.common):
            output = await self._git(repo, *argv)
        found = (_REMOVED.fullmatch(line) for line in output.text.split("\n"))
        return GitCleaned(files=[unquoted(match[1]) for match in found if match])

    async def ignored(self, query: IgnoreQuery) -> GitIgnored:
        """Return which of some files are ignored, and by which line of which file."""
        repo = (await self._context.repos.open(query.path)).with_files()
        names = await self._context.workers.run(paths.inside, repo, query.files or [])
        if not names:
            return GitIgnored(files=[])
        call = GitCall(repo, ["check-ignore", "-z", "-v", "--stdin"], stdin=paths.nul_list(names))
        output = await self._context.cli.run(call)
        if output.code > 1:
            raise output.failure()
        fields = output.text.split("\0")
        rows = zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False)
        return GitIgnored(
            files=[
                IgnoredFile(path=name, source=source, line=int(line or 0), pattern=pattern)
                for source, line, pattern, name in rows
            ]
        )


def unquoted(text: str) -> str:
    """Return a name that git printed, with C quoting removed."""
    if not (text.startswith('"') and text.endswith('"')):
        return text
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if len(code) == 3 else _LETTERS.get(code, code)
