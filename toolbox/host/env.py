"""The environment variables of child processes, separate from the daemon's own.

``POST /env`` edits this mapping, which applies to children spawned afterwards. The daemon's ``os.environ`` does not
change after start: libraries read it at any time, and ``setenv`` is not safe with threads.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from toolbox.errors import BadRequest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PRIVATE_PREFIX = "TOOLBOX_"
# Search paths through which a child would load the daemon's modules and libraries.
_SEARCH_PATHS = ("PYTHONPATH", "LD_LIBRARY_PATH")
# Removed when they point into the daemon's private interpreter; otherwise the user has set them.
_PYTHON = ("PYTHONHOME", "VIRTUAL_ENV", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
_SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local"})


def own_prefixes() -> tuple[str, ...]:
    """Return the directories of the daemon's interpreter; empty if it is the system's."""
    return tuple({sys.prefix, sys.base_prefix} - _SHARED_PREFIXES)


def cleaned(initial: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """Copy an environment without the daemon's settings and without paths into the ``own`` directories."""
    prefixes = tuple(own)
    result = {name: value for name, value in initial.items() if not name.startswith(PRIVATE_PREFIX)}
    for name in _PYTHON:
        if _inside(result.get(name, ""), prefixes):
            del result[name]
    for name in _SEARCH_PATHS:
        kept = ":".join(entry for entry in result.pop(name, "").split(":") if not _inside(entry, prefixes))
        if kept:
            result[name] = kept
    return result


def _inside(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


def check_names(names: Iterable[str]) -> None:
    """Raise ``BadRequest`` for a name that is no shell identifier; applies to the variables of a request."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadRequest(f"bad request: invalid environment variable name: '{name}'")


def check(variables: Mapping[str, str]) -> None:
    """Raise ``BadRequest`` for names and values that execve cannot pass."""
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name:
            raise BadRequest(f"bad request: invalid environment variable name: '{name}'")
        if "\0" in value:
            raise BadRequest(f"bad request: environment variable {name} contains a NUL byte")


class Environment:
    """The variables that children start with."""

    def __init__(self, initial: Mapping[str, str], *, own: Iterable[str] | None = None) -> None:
        self._variables = cleaned(initial, own_prefixes() if own is None else own)

    def get(self, name: str, default: str = "") -> str:
        """Return one variable."""
        return self._variables.get(name, default)

    def merged(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return a copy, overridden by the variables of a request."""
        return {**self._variables, **(extra or {})}

    def update(self, variables: Mapping[str, str], *, unset: Iterable[str] = (), unset_value_prefix: str = "") -> None:
        """Remove the ``unset`` names and those whose value has the prefix, then set; nothing changes on an error."""
        check(variables)
        doomed = set(unset)
        if unset_value_prefix:
            doomed |= {name for name, value in self._variables.items() if value.startswith(unset_value_prefix)}
        kept = {name: value for name, value in self._variables.items() if name not in doomed}
        self._variables = {**kept, **variables}
