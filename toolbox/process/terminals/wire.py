"""Requests and answers of ``/process/pty``, and the text frames of its WebSockets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from toolbox.wire import Needed, Wire

COLS, ROWS = 80, 24
Size = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class CreateRequest(Wire, kw_only=True):
    """Create a terminal; with ``lazyStart`` its shell starts with the first connection."""

    id: Needed = ""
    cwd: str | None = None
    envs: dict[str, str] | None = None
    cols: Size | None = None
    rows: Size | None = None
    lazy_start: bool | None = None


class CreateQuery(Wire, kw_only=True):
    """Create a terminal and connect to it; variables are sent as a sub-protocol."""

    id: Needed = ""
    cols: Size = COLS
    rows: Size = ROWS
    cwd: str | None = None


class CreateResponse(Wire, kw_only=True):
    """Id of the new terminal."""

    session_id: str


class SessionInfo(Wire, kw_only=True):
    """Describe a terminal; its scrollback is from ``firstOffset`` to ``offset``."""

    additive: ClassVar[frozenset[str]] = frozenset({"offset", "firstOffset", "processId"})

    id: str
    cwd: str
    envs: dict[str, str]
    cols: int
    rows: int
    created_at: str
    active: bool
    lazy_start: bool
    offset: int
    first_offset: int
    process_id: str | None = None


class SessionList(Wire, kw_only=True):
    """List all terminals."""

    sessions: list[SessionInfo]


class ResizeRequest(Wire, kw_only=True):
    """Change the size."""

    cols: Size
    rows: Size


class Deleted(Wire, kw_only=True):
    """The terminal was deleted."""

    message: str


class SessionPath(Wire, kw_only=True):
    """Path of a terminal."""

    session_id: str


class ConnectQuery(Wire, kw_only=True):
    """Choose what is replayed: all scrollback, output from an offset on, or with ``replay=0`` nothing."""

    since: Offset | None = None
    replay: Literal["0", "1", "false", "true"] | None = None

    @property
    def wanted(self) -> bool:
        """Tell whether scrollback is replayed."""
        return self.replay not in ("0", "false")


class Control(Wire):
    """A text frame of the daemon; old clients know only the first three fields."""

    type: str
    status: str
    error: str | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    offset: int | None = None
    cols: int | None = None
    rows: int | None = None
    id: str | None = None


class CloseReason(Wire, kw_only=True):
    """The reason of a close frame: compact JSON of at most 123 bytes."""

    exit_code: int | None = None
    exit_reason: str | None = None
    error: str | None = None


class ResizeCommand(ResizeRequest, kw_only=True, tag="resize"):
    """Change the size."""


class SignalCommand(Wire, kw_only=True, tag="signal"):
    """Signal the foreground process group."""

    signal: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class PingCommand(Wire, kw_only=True, tag="ping"):
    """Request a ``pong``."""

    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None


Command = ResizeCommand | SignalCommand | PingCommand


class Cursor(Wire, kw_only=True):
    """Position of the cursor."""

    row: int
    col: int
    hidden: bool


class ScreenResponse(Wire, kw_only=True):
    """The screen of a terminal; ``row`` and ``col`` of the cursor count from 0.

    ``offset`` is the offset of the output up to which it is drawn.
    """

    text: str
    cursor: Cursor
    title: str
    cols: int
    rows: int
    alternate: bool
    offset: int
    active: bool


class WaitRequest(Wire, kw_only=True):
    """Wait until the screen (or with ``on`` the plain output after ``since``) matches, or output stops for a while.

    The first condition that is true ends the wait; without a condition, half a second without output does.
    """

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    regex: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    on: Literal["screen", "output"] | None = None
    since: Offset | None = None
    quiet_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)] | None = None
    timeout_ms: Milliseconds | None = None


class WaitResponse(Wire, kw_only=True):
    """What ended the wait, ``match``, ``quiet``, ``exited`` or ``timeout``, and the screen."""

    reason: Literal["match", "quiet", "exited", "timeout"]
    matched: str | None = None
    screen: ScreenResponse
