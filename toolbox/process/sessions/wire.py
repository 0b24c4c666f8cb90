"""Requests and answers of ``/process/session``, and the records on disk."""

from __future__ import annotations

from typing import Annotated

import msgspec

from toolbox.wire import Flag, Needed, Wire

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class SessionPath(Wire, kw_only=True):
    """Path of a session."""

    session_id: str


class CommandPath(SessionPath, kw_only=True):
    """Path of a command in a session."""

    command_id: str


class CreateSession(Wire, kw_only=True):
    """Create a session under an id that the client chooses."""

    session_id: Needed = ""


class SessionHeaders(msgspec.Struct, kw_only=True):
    """The release of the client's SDK, and the forms of output it accepts."""

    version: str = msgspec.field(name="X-Daytona-SDK-Version", default="")
    split: Flag | None = msgspec.field(name="X-Daytona-Split-Output", default=None)
    accept: str = msgspec.field(name="Accept", default="")


class Command(Wire, kw_only=True):
    """Describe a command; without ``exitCode`` it has not ended."""

    id: str
    command: str
    exit_code: int | None = None


class Session(Wire, kw_only=True):
    """Describe a session and its commands, in order."""

    session_id: str
    commands: list[Command]


class SessionExecute(Wire, kw_only=True):
    """Run a command; with either flag the answer does not wait for its exit."""

    command: Needed = ""
    run_async: bool | None = None
    var_async: bool | None = msgspec.field(name="async", default=None)
    suppress_input_echo: bool | None = None

    @property
    def in_background(self) -> bool:
        """Tell whether the answer does not wait for the exit."""
        return bool(self.run_async or self.var_async)


class SessionExecuteResponse(Wire, kw_only=True, omit_defaults=False):
    """Report a command; all but the id is null while it runs: the TypeScript SDK compares with null."""

    cmd_id: str
    output: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None


class LogsQuery(Wire, kw_only=True):
    """Choose a part of a log: from a byte offset on, or the last bytes; ``wait`` is in seconds."""

    follow: Flag | None = None
    offset: Count | None = None
    tail: Count | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=300)] | None = None


class Logs(Wire, kw_only=True, omit_defaults=False):
    """A log: both streams with prefixes, and each stream without."""

    output: str
    stdout: str
    stderr: str


class Input(Wire, kw_only=True):
    """Write to standard input: a line break is added unless ``raw``; ``eof`` closes it."""

    data: str = ""
    eof: bool | None = None
    raw: bool | None = None


class DeleteQuery(Wire, kw_only=True):
    """With ``keepBackground`` only the shell ends, not the processes it left in the background."""

    keep_background: Flag | None = None


class Record(Wire, kw_only=True):
    """One line of a session's ``events``: its id, a started command, or the exit code of a command."""

    session: str | None = None
    command: str | None = None
    text: str | None = None
    exit: int | None = None
