"""The commands other than ``serve``: config, openapi, version, doctor, entrypoint."""

from __future__ import annotations

import json
import sys

from toolbox import __version__, settings
from toolbox.settings import SETTINGS, SettingsError, redacted
from toolbox.suggestions import did_you_mean, unexpected


def run(command: str, argv: list[str]) -> int:
    """Run a command and return its exit status."""
    commands = {
        "config": _config,
        "openapi": _openapi,
        "version": _version,
        "doctor": _doctor,
        "entrypoint": _entrypoint,
    }
    return commands[command](argv)


def _config(argv: list[str]) -> int:
    current = settings.from_process(argv, ("--json",))
    _refuse(list(current.entrypoint))
    rows = [
        {"setting": row.env, "value": redacted(row, getattr(current, row.name)), "source": current.sources[row.name]}
        for row in SETTINGS
    ]
    if current.switches:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        width = max(len(row.env) for row in SETTINGS)
        sys.stdout.write("".join(f"{row['setting']:{width}}  {row['source']:11}  {row['value']}\n" for row in rows))
    for warning in settings.warnings_of(current):
        sys.stderr.write(f"warning: {warning}\n")
    return 0


def _openapi(argv: list[str]) -> int:
    _refuse(argv)
    from toolbox import daemon, wire
    from toolbox.http import openapi

    document = openapi.build(daemon.routes(settings.read({}, [])))
    sys.stdout.write(json.dumps(json.loads(wire.encode(document)), indent=2) + "\n")
    return 0


def _version(argv: list[str]) -> int:
    _refuse(argv)
    sys.stdout.write(f"toolbox {__version__} (protocol {settings.from_process([]).version})\n")
    return 0


def _doctor(argv: list[str]) -> int:
    from toolbox import doctor

    _refuse([word for word in argv if word != "--json"], "--json")
    return doctor.run(settings.from_process([]), as_json="--json" in argv)


def _entrypoint(argv: list[str]) -> int:
    from toolbox import entrypoint_logs

    if argv[:1] != ["logs"]:
        wrong = [f"{argv[0]}: unknown command{did_you_mean(argv[0], ['logs'])}"] if argv else []
        raise SettingsError([*wrong, entrypoint_logs.HELP])
    current = settings.from_process(argv[1:], ("--no-follow",))
    _refuse(list(current.entrypoint))
    return entrypoint_logs.run(current, follow=not current.switches)


def _refuse(argv: list[str], *switches: str) -> None:
    """Refuse what is left of a command line that takes nothing more than ``switches``."""
    if argv:
        raise SettingsError([unexpected(word, [*switches, "--help", "--version"]) for word in argv])
