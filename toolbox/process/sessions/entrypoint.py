"""The entrypoint as a read-only session with one command."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from toolbox.errors import ProcessNotFound
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.entrypoint import NAME, Entrypoint
from toolbox.process.sessions.log import Log
from toolbox.process.sessions.view import View
from toolbox.process.sessions.wire import Command, Session

COMMAND = "entrypoint_command"


class EntrypointSession:
    """Describe the entrypoint as a session."""

    def __init__(self, entrypoint: Entrypoint, workers: WorkerPool) -> None:
        self._entrypoint = entrypoint
        self._workers = workers

    def describe(self) -> Session:
        """Describe the session for the wire."""
        return Session(session_id=NAME, commands=[self.view().describe()])

    def view(self, command_id: str = COMMAND) -> View:
        """Return the log view of its command."""
        entry = self._entrypoint.entry
        if entry is None:
            raise ProcessNotFound("session not found")
        if command_id != COMMAND:
            raise ProcessNotFound("command not found")

        def describe() -> Command:
            code = None if entry.exit is None else entry.exit.code
            return Command(id=COMMAND, command=quoted(entry.argv), exit_code=code)

        return View(describe, Log(pathlib.Path(), self._workers, entry.output), lambda: not entry.running)


def quoted(argv: Sequence[str]) -> str:
    """Return an argument vector as a shell command, each argument in single quotes."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
