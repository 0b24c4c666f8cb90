"""Interpreters that have everything imported already, from which each run is forked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolbox.host.child import Process
from toolbox.host.procs import Procs
from toolbox.host.spool import Spool


class Spare:
    """A forked child that waits for its program."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def go(self, text: str, argv: Sequence[str], environ: Mapping[str, str], cwd: str, charts: int) -> None:
        """Have it run a program."""


class Warm:
    """Keep warm interpreters."""

    def __init__(self, procs: Procs, spool: Spool, *, workdir: str, max_output: int) -> None:
        self._procs, self._spool, self._workdir, self._max_output = procs, spool, workdir, max_output

    async def take(self, *_: object) -> Spare | None:
        """Return a child to run in, None for a cold start."""
        return None

    async def close(self) -> None:
        """End them."""
