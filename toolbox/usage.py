"""Help texts of the command line; imported only to print one."""

from __future__ import annotations

from collections.abc import Iterable

from toolbox.settings import SETTINGS
from toolbox.suggestions import did_you_mean

COMMANDS = {
    "serve": "run the daemon (default); a command after -- runs as the entrypoint session",
    "config": "show every setting with its value and source (secrets redacted)",
    "openapi": "print the OpenAPI document",
    "doctor": "check the programs, modules and limits of this machine; print fixes",
    "version": "print the version",
    "entrypoint": "print the output of the entrypoint of the running daemon (entrypoint logs)",
    "help": "print this text, or that of a command",
}
_LINES = {
    "serve": "toolbox serve [options] [-- command [argument ...]]",
    "config": "toolbox config [--json] [options]",
    "openapi": "toolbox openapi",
    "doctor": "toolbox doctor [--json]",
    "version": "toolbox version",
    "entrypoint": "toolbox entrypoint logs [--no-follow] [options]",
    "help": "toolbox help [command]",
}
_SWITCHES = {
    "config": [("--json", "print JSON")],
    "doctor": [("--json", "print JSON")],
    "entrypoint": [("--no-follow", "print what there is and end")],
}
_WITH_SETTINGS = ("serve", "config", "entrypoint")


def general() -> str:
    """Return the help of the whole program."""
    commands = _rows(COMMANDS.items())
    return (
        f"usage: toolbox [{'|'.join(COMMANDS)}] [options] [-- command [argument ...]]\n\n{commands}\n"
        f"options of serve, config and entrypoint logs:\n{_rows(_settings())}\n{_rows(_COMMON)}\n"
        "toolbox COMMAND --help shows one command. docs/configuration.md has the settings without an option.\n"
    )


def of(command: str) -> str:
    """Return the help of one command."""
    rows = [*_SWITCHES.get(command, ()), *(_settings() if command in _WITH_SETTINGS else ()), *_COMMON]
    return f"usage: {_LINES[command]}\n\n{COMMANDS[command]}\n\noptions:\n{_rows(rows)}"


def unknown_command(word: str) -> str:
    """Return the message for a word that is no command."""
    return (
        f"unknown command '{word}'{did_you_mean(word, COMMANDS)}\n"
        f"commands: {', '.join(COMMANDS)}; a program beside the daemon is run with: toolbox serve -- {word}"
    )


_COMMON = [("-h, --help", "print this text"), ("-V, --version", "print the version")]


def _settings() -> list[tuple[str, str]]:
    return [
        (("-p, " if s.short else "") + s.flag + ("" if s.switch else " VALUE"), f"{s.help} ({s.env})")
        for s in SETTINGS
        if s.flag
    ]


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"  {name:22} {text}\n" for name, text in rows)
