"""What everything that runs for the user is made from."""

from __future__ import annotations

import os

import msgspec

from toolbox.host.env import Environment
from toolbox.host.limits import Limits
from toolbox.host.procs import Procs
from toolbox.host.shells import Shells
from toolbox.host.spool import Spool
from toolbox.runs.registry import Registry


class ProcessContext(msgspec.Struct, frozen=True):
    """Start processes, with the variables, shell, directory and limits they have unless a request says otherwise."""

    procs: Procs
    environment: Environment
    shells: Shells
    spool: Spool
    registry: Registry
    workdir: str
    limits: Limits = Limits()

    def resolve(self, cwd: str) -> str:
        """Return the directory that a request means: ``~`` is HOME, a relative path starts at the working directory."""
        if cwd == "~" or cwd.startswith("~/"):
            cwd = self.environment.get("HOME", "~") + cwd[1:]
        return os.path.join(self.workdir, cwd) if cwd else self.workdir  # noqa: PTH118 - keeps what the user wrote
