"""What the session endpoints send and receive."""

from __future__ import annotations

from typing import Annotated

import msgspec

from toolbox.wire import Flag, Needed, Wire

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class SessionPath(Wire, kw_only=True):
    """Name a session."""

    session_id: str


class CommandPath(Wire, kw_only=True):
    """Name a command of a session."""

    session_id: str
    command_id: str


class CreateSession(Wire, kw_only=True):
    """Ask for a session under an id of the client's choice."""

    session_id: Needed = ""


class SessionHeaders(msgspec.Struct, kw_only=True):
    """Say what the client understands."""

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
    """Ask for a command; either flag makes it run while the client goes on."""

    command: Needed = ""
    run_async: bool | None = None
    var_async: bool | None = msgspec.field(name="async", default=None)
    suppress_input_echo: bool | None = None

    @property
    def in_background(self) -> bool:
        """Tell whether the client does not wait."""
        return bool(self.run_async or self.var_async)


class SessionExecuteResponse(Wire, kw_only=True, omit_defaults=False):
    """Report a command; of one that runs only the id is known, and the TypeScript SDK compares the rest with null."""

    cmd_id: str
    output: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None


class LogsQuery(Wire, kw_only=True):
    """Choose a part of a log: from an offset in bytes, or the last bytes; ``wait`` seconds for something new."""

    follow: Flag | None = None
    offset: Count | None = None
    tail: Count | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=300)] | None = None


class Logs(Wire, kw_only=True, omit_defaults=False):
    """Hold a log three ways: with markers, and per stream without."""

    output: str
    stdout: str
    stderr: str


class Input(Wire, kw_only=True):
    """Write to a command: a line break is added unless ``raw``; ``eof`` ends its input."""

    data: str = ""
    eof: bool | None = None
    raw: bool | None = None


class DeleteQuery(Wire, kw_only=True):
    """``keepBackground`` ends only the shell, not what it started."""

    keep_background: Flag | None = None


class Record(Wire, kw_only=True):
    """One line of what is kept on disk of a session: its id, a command, or an end."""

    session: str | None = None
    created: float | None = None
    command: str | None = None
    text: str | None = None
    exit: int | None = None
