"""The credential store of git (``~/.git-credentials``): plain text, mode 0600, used on the user's request."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from toolbox.errors import BadRequest, Conflict, NotFound
from toolbox.git import validate
from toolbox.git.configuration import Configuration
from toolbox.git.context import GitContext
from toolbox.git.wire import GitAuthenticateRequest, GitForgetQuery

_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_PROTOCOLS = ("https", "http")


class CredentialStore:
    """Store credentials for hosts, in the file and format of ``git credential-store``."""

    def __init__(self, context: GitContext, configuration: Configuration) -> None:
        self._context = context
        self._configuration = configuration

    async def approve(self, request: GitAuthenticateRequest) -> None:
        """Store credentials, and configure git to use the store for that host only."""
        host, protocol = request.host or "github.com", request.protocol or "https"
        username = validate.credential_part(request.username, "username")
        password = validate.credential_part(request.password, "password")
        if protocol not in _PROTOCOLS:
            raise BadRequest(f"bad request: unknown protocol '{protocol[:20]}', one of {', '.join(_PROTOCOLS)}")
        if not _HOST.fullmatch(host):
            raise BadRequest("bad request: invalid host, give a name or address, and a port if it is not the usual one")
        file = os.path.join(self._context.home, ".git-credentials")
        async with self._context.repos.changing(file):
            await self._context.workers.run(store, file, protocol, username, password, host)
        await self._configuration.enable(f"credential.{protocol}://{host}.helper", "store")

    async def reject(self, query: GitForgetQuery) -> None:
        """Remove the credentials for a host, of one user or of all."""
        host, protocol = query.host or "github.com", query.protocol or "https"
        file = os.path.join(self._context.home, ".git-credentials")
        start = f"{protocol}://{_quoted(query.username)}:" if query.username else f"{protocol}://"
        async with self._context.repos.changing(file):
            if not await self._context.workers.run(forget, file, start, f"@{_quoted(host)}"):
                raise NotFound(f"not found: no credentials are stored for {protocol}://{host}")


def _quoted(text: str) -> str:
    """Percent-encode as git does: lower-case hex digits, and the colon of a port too."""
    raw = quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="")
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), raw)


def store(file: str, protocol: str, username: str, password: str, host: str) -> None:
    """Put an entry first, as git does, in place of those for the same user and host. Blocks."""
    start, end = f"{protocol}://{_quoted(username)}:", f"@{_quoted(host)}"
    with _changing(file) as lines:
        lines[:] = [f"{start}{_quoted(password)}{end}", *_without(lines, start, end)]


def forget(file: str, start: str, end: str) -> bool:
    """Remove the lines with that start and end; return whether there were any. Blocks."""
    if not os.path.exists(file):
        return False
    with _changing(file) as lines:
        kept = _without(lines, start, end)
        found = len(kept) < len(lines)
        lines[:] = kept
    return found


def _without(lines: list[str], start: str, end: str) -> list[str]:
    return [line for line in lines if not (line.startswith(start) and line.endswith(end))]


@contextlib.contextmanager
def _changing(file: str) -> Iterator[list[str]]:
    """Yield the lines to change, under the lock file that git takes too; write them back by rename."""
    lock = f"{file}.lock"
    try:
        fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Conflict(f"conflict: {lock} exists, another git is writing") from error
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as new:
            lines = _lines(file)
            yield lines
            new.write("".join(f"{line}\n" for line in lines))
            _keep_owner(file, new.fileno())
        os.rename(lock, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)
        raise


def _lines(file: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError), open(file, encoding="utf-8", errors="surrogateescape") as old:
        return old.read().splitlines()
    return []


def _keep_owner(file: str, fd: int) -> None:
    with contextlib.suppress(OSError):
        status = os.stat(file)
        os.fchown(fd, status.st_uid, status.st_gid)
