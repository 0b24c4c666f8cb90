"""The entrypoint as a read-only session with one command."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from toolbox.errors import ProcessNotFound
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.entrypoint import NAME, Entrypoint
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.wire import Command, Session
from toolbox.runs.registry import Entry

COMMAND = "entrypoint_command"


class EntrypointSession:
    """Describe the entrypoint as a session."""

    def __init__(self, entrypoint: Entrypoint, workers: WorkerPool) -> None:
        self._entrypoint = entrypoint
        self._workers = workers

    def describe(self) -> Session:
        """Describe the session for the wire."""
        return Session(session_id=NAME, commands=[self.command()])

    def command(self, command_id: str = COMMAND) -> Command:
        """Describe its command."""
        entry = self._entry(command_id)
        code = None if entry.exit is None else entry.exit.code
        return Command(id=COMMAND, command=quoted(entry.argv), exit_code=code)

    def log(self, command_id: str = COMMAND) -> Log:
        """Return the log of its command."""
        entry = self._entry(command_id)
        return Log(pathlib.Path(), self._workers, entry.output, lambda: not entry.running)

    def _entry(self, command_id: str) -> Entry:
        if self._entrypoint.entry is None:
            raise ProcessNotFound("session not found")
        if command_id != COMMAND:
            raise ProcessNotFound("command not found")
        return self._entrypoint.entry


def quoted(argv: Sequence[str]) -> str:
    """Return an argument vector as a shell command, each argument in single quotes."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
