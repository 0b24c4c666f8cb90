"""The commands other than ``serve``: config, openapi, version, doctor, entrypoint."""

from __future__ import annotations

import json
import sys

from toolbox import __version__, settings
from toolbox.settings import SETTINGS, SettingsError, redacted


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
    as_json = "--json" in argv
    current = settings.from_process([word for word in argv if word != "--json"])
    rows = [
        {"setting": row.env, "value": redacted(row, getattr(current, row.name)), "source": current.sources[row.name]}
        for row in SETTINGS
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        width = max(len(row.env) for row in SETTINGS)
        sys.stdout.write("".join(f"{row['setting']:{width}}  {row['source']:11}  {row['value']}\n" for row in rows))
    for warning in current.warnings:
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

    return doctor.run(argv, settings.from_process([]))


def _entrypoint(argv: list[str]) -> int:
    from toolbox import entrypoint_logs

    if argv[:1] != ["logs"]:
        raise SettingsError([entrypoint_logs.HELP])
    options = [word for word in argv[1:] if word != "--no-follow"]
    current = settings.from_process(options)
    _refuse(list(current.entrypoint))
    return entrypoint_logs.run(current, follow=options == argv[1:])


def _refuse(argv: list[str]) -> None:
    if argv:
        raise SettingsError([f"{word}: unexpected argument" for word in argv])
