"""What a session's shell does between commands: wait for the word, run the script, report its status.

Everything is reached by path and opened only for the moment, so commands inherit no descriptor of ours and may use any
number; nothing comes through standard input; and the loop is parsed before the first command, so neither aliases nor
functions nor options of the user change it. ``.`` makes ``return`` work and keeps functions, variables and options.
"""

from __future__ import annotations

import pathlib
import shlex

from toolbox.host.shells import Shell

GO, DONE, SCRIPT, STDIN, STDOUT, STDERR = "go", "done", "run", "in", "out", "err"
# ``command`` keeps a script that does not parse from ending a POSIX shell; zsh means something else by it.
_POSIX = "while command read -r _ <{go}; do command . {run} <{in} >{out} 2>{err}; command echo $? >{done}; done"
_BASH = "shopt -s expand_aliases; " + _POSIX
_ZSH = (
    "while builtin read -r _ <{go}; do "
    "unsetopt functionargzero; builtin . {run} <{in} >{out} 2>{err}; builtin echo $? >{done}; done"
)
_LOOPS = {"bash": _BASH, "zsh": _ZSH}


def arguments(shell: Shell, folder: pathlib.Path) -> list[str]:
    """Return the arguments that start a shell on the loop, which talks through ``folder``."""
    paths = {name: shlex.quote(str(folder / name)) for name in (GO, DONE, SCRIPT, STDIN, STDOUT, STDERR)}
    loop = _LOOPS.get(shell.kind, _POSIX)
    for name, path in paths.items():
        loop = loop.replace(f"{{{name}}}", path)
    return [shell.name, "-c", loop]


def script(shell: Shell, text: bytes) -> bytes:
    """Return what the shell sources for a command; in zsh the option, off for the moment, keeps ``$0`` as it is."""
    return (b"setopt functionargzero;" if shell.kind == "zsh" else b"") + text + b"\n"
