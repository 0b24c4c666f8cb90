"""Why the daemon cannot listen, with the process that has the port; imported only after the bind failed."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import pwd
from collections.abc import Iterator

from toolbox.settings import Settings

_LISTEN = "0A"  # the state column of /proc/net/tcp


def cannot_listen(settings: Settings, error: OSError | UnicodeError) -> str:
    """Return the message for a failed bind."""
    where = settings.unix_socket or f"{settings.host}:{settings.port}"
    if isinstance(error, UnicodeError):
        return f"cannot listen on {where}: not a host name"
    # socket.create_server appends "(while attempting to bind on address ...)".
    reason = f"cannot listen on {where}: {(error.strerror or str(error)).partition(' (while')[0].lower()}"
    if error.errno != errno.EADDRINUSE:
        return reason
    return reason + _owner(settings) + ("" if settings.unix_socket else "; --port 0 picks a free port")


def _owner(settings: Settings) -> str:
    """Return who listens there, as far as the kernel shows it to this user."""
    unix = settings.unix_socket
    found = list(_unix(unix) if unix else _tcp(settings.port))
    for inode, _ in found:
        for pid, name in _holders(inode):
            return f", used by {name} (pid {pid})"
    # Descriptors of another user's processes are hidden, the owner of the socket is not.
    for _, uid in found:
        if uid is not None:
            return f", used by a process of {_user(uid)}"
    return ""


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return f"user {pwd.getpwuid(uid).pw_name}"
    return f"uid {uid}"


def _tcp(port: int) -> Iterator[tuple[str, int | None]]:
    """Yield inode and uid of the sockets that listen on a port, of any address."""
    for table in ("tcp", "tcp6"):
        for row in _rows(table):
            if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port:
                yield row[9], int(row[7])


def _unix(path: str) -> Iterator[tuple[str, int | None]]:
    for row in _rows("unix"):
        if row[7:] and " ".join(row[7:]) == path:
            yield row[6], None


def _rows(table: str) -> list[list[str]]:
    """Return the rows of a table of /proc/net below its header; none if there is no such table."""
    try:
        text = pathlib.Path("/proc/net", table).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [line.split() for line in text.splitlines()[1:]]


def _holders(inode: str) -> Iterator[tuple[int, str]]:
    """Yield pid and name of the processes that have a socket open; only those whose descriptors are readable."""
    wanted = f"socket:[{inode}]"
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_target(link) == wanted for link in (process / "fd").iterdir()):
                yield int(process.name), (process / "comm").read_text(errors="replace").strip()


def _target(link: pathlib.Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - Path.readlink makes a path of "socket:[1]"
    except OSError:
        return ""
