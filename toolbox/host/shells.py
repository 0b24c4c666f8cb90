"""Which shell runs commands, and how a script gets to it.

The script is the shell's standard input when it starts, as a nameless file: no length limit, nothing to clean up,
nothing in ``ps``, and no descriptor that a child could inherit, because the first thing the shell does is to replace
it by ``/dev/null``. Read this way ``$0`` and ``/proc/$$/exe`` are those of the shell, which a script argument or
``-c SCRIPT`` would change.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import time
from collections.abc import Callable

import msgspec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A shell that was installed a moment ago may be missed this long.
FRESH_SECONDS = 1.0

_QUIET = "exec </dev/null;"
# bash: eval, because an error message then starts with "bash: line 3:"; a command list that does not parse stops it
# only there. ``$(<file)`` reads without a process since bash 5.2.
_BASH = f'eval "{_QUIET}$(</proc/self/fd/0)"'
# zsh parses all of an eval before it runs any, but reads a sourced file line by line; the option keeps $0.
_ZSH = "unsetopt functionargzero; . /proc/self/fd/0"
_SH = ". /proc/self/fd/0"
_POSIX = frozenset({"sh", "dash", "ash", "ksh", "mksh", "ksh93", "yash", "busybox"})


class Shell(msgspec.Struct, frozen=True):
    """A shell that can run scripts."""

    path: str

    @property
    def kind(self) -> str:
        """Return the family: bash, zsh or sh."""
        name = os.path.basename(self.path)
        return name if name in ("bash", "zsh") else "sh"

    @property
    def name(self) -> str:
        """Return the shell's ``$0``: the whole path for zsh, the bare name otherwise."""
        return self.path if self.kind == "zsh" else os.path.basename(self.path)

    def script(self, text: bytes) -> tuple[list[str], bytes]:
        """Return the arguments to start with and the standard input to start on."""
        argv, before = _driver(self)
        return argv, before + text


@functools.cache
def _driver(shell: Shell) -> tuple[list[str], bytes]:
    """Return the arguments of a shell, and what precedes its script."""
    if shell.kind == "bash":
        return [shell.name, "-c", _BASH], b""
    if shell.kind == "zsh":
        return [shell.name, "-c", _ZSH], b"setopt functionargzero;" + _QUIET.encode()
    return [shell.name, "-c", _SH], _QUIET.encode()


class Shells:
    """Choose the shell: the configured one, else the first of zsh, bash, ``$SHELL`` and sh that can be executed."""

    def __init__(self, variable: Callable[[str], str], configured: str = "") -> None:
        self._variable = variable
        self._configured = configured
        self._found: Shell | None = None
        self._looked = float("-inf")

    async def choose(self) -> Shell:
        """Return the shell for new commands."""
        now = time.monotonic()
        if self._found is None or now - self._looked > FRESH_SECONDS:
            path, login = self._variable("PATH") or DEFAULT_PATH, self._variable("SHELL")
            self._found = Shell(await asyncio.to_thread(find, path, login, self._configured))
            self._looked = now
        return self._found

    def forget(self) -> None:
        """Look again next time: the shell could not be started."""
        self._found = None


def find(path: str, login: str, configured: str) -> str:
    """Return the path of the shell; blocks."""
    for name in (configured, "zsh", "bash", login if _known(login) else "", "sh"):
        found = shutil.which(name, path=path) if name else None
        if found:
            return found
    return "/bin/sh"


def _known(path: str) -> bool:
    """Tell whether a login shell speaks a language that scripts are written in; fish and csh do not."""
    return os.path.basename(path) in _POSIX | {"bash", "zsh"}
