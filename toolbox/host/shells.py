"""Choice of the shell that runs commands, and how it receives a script.

The script is an unnamed file on the shell's standard input, which the shell replaces by ``/dev/null`` first. Compared
with ``-c SCRIPT`` there is no length limit (``MAX_ARG_STRLEN`` is 128 KiB) and the script is not visible in ``ps``. A
script file would need a removal, and would change ``$0``. Children inherit no descriptor of it.
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
# Seconds for which the choice is reused: a shell installed meanwhile is found later.
FRESH_SECONDS = 1.0

_QUIET = "exec </dev/null;"
# bash: with eval error messages start with "bash: line 3:", and a syntax error takes effect only at its line.
# ``$(<file)`` does not fork since bash 5.2.
_BASH = f'eval "{_QUIET}$(</proc/self/fd/0)"'
# zsh parses the whole argument of eval before it runs any of it, but a sourced file line by line. The option keeps $0.
_ZSH = "unsetopt functionargzero; . /proc/self/fd/0"
_SH = ". /proc/self/fd/0"
_POSIX = frozenset({"bash", "zsh", "sh", "dash", "ash", "ksh", "mksh", "ksh93", "yash", "busybox"})


class Shell(msgspec.Struct, frozen=True):
    """A shell by its path."""

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
        """Return argv and standard input with which the shell runs a script."""
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
        """Drop the cached choice, after the shell failed to start."""
        self._found = None


def find(path: str, login: str, configured: str) -> str:
    """Return the path of the shell; blocks."""
    # A login shell that is not POSIX-like (fish, csh) is passed over.
    known = os.path.basename(login) in _POSIX
    for name in (configured, "zsh", "bash", login if known else "", "sh"):
        found = shutil.which(name, path=path) if name else None
        if found:
            return found
    return "/bin/sh"
