"""What a session's shell does between commands: wait for the word, run the script, report its status.

Everything is reached by path and opened only for the moment, so commands inherit no descriptor of ours and may use any
number; nothing comes through standard input; and the loop is parsed before the first command, so neither aliases nor
functions nor options of the user change it. ``.`` makes ``return`` work and keeps functions, variables and options.
"""

from __future__ import annotations

import pathlib
import shlex

from toolbox.host.shells import Shell

RUN, EXIT_STATUS = "go", "done"
# Its name is part of the error messages that a shell prints.
SCRIPT = "run"
STDIN, STDOUT, STDERR = "in", "out", "err"
_NAMES = (RUN, EXIT_STATUS, SCRIPT, STDIN, STDOUT, STDERR)
# The status is reported by the condition, so that ``continue`` in a script reports it too; ``break`` leaves the inner
# loop only, and the outer one begins it again. When the daemon is gone the shell goes too.
_LOOP = (
    "while :; do while {own} printf '%s\\n' $? >{done} || exit; {own} read -r _ <{go} || exit; "
    "do {before}{own} . {run} <{in} >{out} 2>{err}; done; done"
)
# ``command`` keeps a script that does not parse from ending a POSIX shell; zsh means something else by it.
_POSIX = _LOOP.replace("{own}", "command").replace("{before}", "")
_BASH = "shopt -s expand_aliases; " + _POSIX
_ZSH = _LOOP.replace("{own}", "builtin").replace("{before}", "unsetopt functionargzero; ")
_LOOPS = {"bash": _BASH, "zsh": _ZSH}


def arguments(shell: Shell, folder: pathlib.Path) -> list[str]:
    """Return the arguments that start a shell on the loop, which talks through ``folder``."""
    loop = _LOOPS.get(shell.kind, _POSIX)
    for name in _NAMES:
        loop = loop.replace(f"{{{name}}}", shlex.quote(str(folder / name)))
    return [shell.name, "-c", loop]


def script(shell: Shell, text: bytes) -> bytes:
    """Return what the shell sources for a command; in zsh the option, off for the moment, keeps ``$0`` as it is."""
    return (b"setopt functionargzero;" if shell.kind == "zsh" else b"") + text + b"\n"
