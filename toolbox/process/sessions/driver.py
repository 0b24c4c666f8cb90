"""The loop of a session's shell: wait on a control pipe, source the script, report its exit status.

The shell opens each pipe by path and only while it needs it, so commands inherit no descriptor of ours and may use any
number. It does not read standard input. The loop is parsed before the first command, so aliases, functions and options
of the user cannot change it. ``.`` allows ``return`` in a script and keeps functions, variables and options.
"""

from __future__ import annotations

import pathlib
import shlex

from toolbox.host.shells import Shell

RUN, EXIT_STATUS = "go", "done"
# Shells print this name in their error messages.
SCRIPT = "run"
STDIN, STDOUT, STDERR = "in", "out", "err"
_NAMES = (RUN, EXIT_STATUS, SCRIPT, STDIN, STDOUT, STDERR)
# The condition reports the status, so ``continue`` in a script reports it too. ``break`` leaves only the inner loop,
# which the outer one restarts. ``read`` fails once the daemon has closed its end, and the shell exits.
_LOOP = (
    "while :; do while {own} printf '%s\\n' $? >{done} || exit; {own} read -r _ <{go} || exit; "
    "do {before}{own} . {run} <{in} >{out} 2>{err}; done; done"
)
# A POSIX shell exits on a syntax error in a sourced script, unless ``.`` runs through ``command``. In zsh ``command``
# runs only external programs.
_POSIX = _LOOP.replace("{own}", "command").replace("{before}", "")
_BASH = "shopt -s expand_aliases; " + _POSIX
_ZSH = _LOOP.replace("{own}", "builtin").replace("{before}", "unsetopt functionargzero; ")
_LOOPS = {"bash": _BASH, "zsh": _ZSH}


def arguments(shell: Shell, folder: pathlib.Path) -> list[str]:
    """Return the arguments that start the loop in a shell, with its pipes in ``folder``."""
    loop = _LOOPS.get(shell.kind, _POSIX)
    for name in _NAMES:
        loop = loop.replace(f"{{{name}}}", shlex.quote(str(folder / name)))
    return [shell.name, "-c", loop]


def script(shell: Shell, text: bytes) -> bytes:
    """Return what the shell sources; in zsh it restores an option that the loop switches off to keep ``$0``."""
    return (b"setopt functionargzero;" if shell.kind == "zsh" else b"") + text + b"\n"
