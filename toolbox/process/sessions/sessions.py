"""The table of sessions."""

from __future__ import annotations

import asyncio
import logging
import pathlib
from collections.abc import Awaitable, Callable

from toolbox.errors import BadRequest, Conflict, InvalidBody, ProcessNotFound, TooManyRequests, Unavailable
from toolbox.host.worker_pool import WorkerPool
from toolbox.process.sessions import archive, wire
from toolbox.process.sessions.command import SessionCommand
from toolbox.process.sessions.session import Session
from toolbox.process.sessions.shell import SessionShell
from toolbox.runs.context import ProcessContext
from toolbox.runs.wire import SignalRequest

log = logging.getLogger(__name__)

MAX_SESSIONS = 1000
MAX_ID = 255
ENTRYPOINT = "entrypoint"


class Sessions:
    """Create, find and end sessions."""

    def __init__(
        self,
        context: ProcessContext,
        *,
        state_dir: str,
        grace: float,
        send_signal: Callable[[str, SignalRequest], Awaitable[None]],
    ) -> None:
        self._context = context
        self._root = pathlib.Path(state_dir, "sessions")
        self._grace = grace
        self._signal = send_signal
        self.workers = WorkerPool("session", 4)
        self._sessions: dict[str, Session] = {}
        self._starting: set[str] = set()
        self._loaded: asyncio.Task[None] | None = None
        self._closing = False

    async def create(self, session_id: str, *, at_home: bool = False) -> None:
        """Start a session; it replaces a restored session with the same id."""
        _check_id(session_id)
        await self._load()
        if self._closing:
            raise Unavailable("daemon is shutting down")
        old = self._sessions.get(session_id)
        if session_id in self._starting or (old is not None and not old.restored):
            raise Conflict(f"session already exists: {session_id}")
        if len(self._sessions) + len(self._starting) >= MAX_SESSIONS:
            raise TooManyRequests(f"too many sessions: {MAX_SESSIONS}")
        self._starting.add(session_id)
        try:
            if old is not None:
                await self._remove(old, 0.0)
            self._sessions[session_id] = await self._start(session_id, at_home=at_home)
        finally:
            self._starting.discard(session_id)

    async def _start(self, session_id: str, *, at_home: bool) -> Session:
        shell = await self._context.shells.choose()
        folder = await self.workers.run(archive.Folder.make, self._root)
        context = self._context
        cwd = context.environment.get("HOME", context.workdir) if at_home else context.workdir
        try:
            running = await SessionShell.start(context, shell, folder.path, self.workers, cwd)
        except BaseException:
            await self.workers.run(folder.remove)
            raise
        log.info("session started", extra={"session": session_id, "pid": running.child.pid})
        return Session(session_id, folder, context, self.workers, running)

    async def all(self) -> list[Session]:
        """List the sessions, the oldest first."""
        await self._load()
        return list(self._sessions.values())

    async def get(self, session_id: str) -> Session:
        """Return one session."""
        await self._load()
        try:
            return self._sessions[session_id]
        except KeyError:
            raise ProcessNotFound("session not found") from None

    async def execute(self, session_id: str, request: wire.SessionExecute) -> SessionCommand:
        """Queue a command."""
        if not request.command:
            raise InvalidBody("invalid request body: command is required")
        if request.command.isspace():
            raise BadRequest("bad request: command cannot be empty or whitespace-only")
        if "\0" in request.command:
            raise BadRequest("bad request: command contains a NUL byte")
        _refuse_entrypoint(session_id, "run commands in")
        session = await self.get(session_id)
        echo = not request.suppress_input_echo
        return session.submit(request.command, background=request.in_background, echo=echo)

    async def write(self, session_id: str, command_id: str, request: wire.Input) -> None:
        """Write to the standard input of a command."""
        _refuse_entrypoint(session_id, "write to")
        session = await self.get(session_id)
        command = session.command(command_id)
        if not command.ended:
            session.require_shell()
        if not request.data and not request.eof:
            raise InvalidBody("invalid request body: data is required")
        data = request.data.encode("utf-8", "surrogateescape")
        if data and not request.raw and not data.endswith(b"\n"):
            data += b"\n"
        await command.write(data, eof=bool(request.eof))

    async def signal(self, session_id: str, command_id: str, request: SignalRequest) -> None:
        """Signal the processes of a command, not the shell."""
        _refuse_entrypoint(session_id, "signal")
        session = await self.get(session_id)
        command = session.command(command_id)
        command.require_running()
        await self._signal(command.id, request)

    async def delete(self, session_id: str, *, keep_background: bool = False) -> None:
        """End a session and remove its folder."""
        _refuse_entrypoint(session_id, "delete")
        session = await self.get(session_id)
        # Requests get 404 from now on. The id is free once the session has ended.
        del self._sessions[session_id]
        self._starting.add(session_id)
        try:
            await asyncio.shield(self._remove(session, self._grace, keep_background=keep_background))
        finally:
            self._starting.discard(session_id)

    async def _remove(self, session: Session, grace: float, *, keep_background: bool = False) -> None:
        await session.end(grace, background=not keep_background)
        await self.workers.run(session.folder.remove)

    async def close(self, grace: float) -> None:
        """End all sessions; their logs are kept for the next daemon."""
        self._closing = True
        await asyncio.gather(*(self._archive(session, grace) for session in self._sessions.values()))
        if self._loaded is not None:
            await asyncio.wait([self._loaded])
        await self.workers.close()

    async def _archive(self, session: Session, grace: float) -> None:
        await session.end(grace, deleted=False)
        await self.workers.run(session.folder.close)

    async def _load(self) -> None:
        """Restore the sessions of earlier daemons, once, on the first request."""
        if self._loaded is None:
            self._loaded = asyncio.create_task(self._restore(), name="restore sessions")
        await asyncio.shield(self._loaded)

    async def _restore(self) -> None:
        for folder, records in await self.workers.run(archive.restorable, self._root):
            session_id = records[0].session
            if session_id:
                session = Session(session_id, folder, self._context, self.workers, None)
                session.restore(records)
                self._sessions.setdefault(session_id, session)


def _check_id(session_id: str) -> None:
    if not session_id:
        raise InvalidBody("invalid request body: sessionId is required")
    if "\0" in session_id or len(session_id.encode("utf-8", "surrogateescape")) > MAX_ID:
        raise BadRequest(f"bad request: sessionId contains a NUL byte or is over {MAX_ID} bytes")
    if session_id == ENTRYPOINT:
        raise BadRequest(f"bad request: sessionId is reserved: {ENTRYPOINT}")


def _refuse_entrypoint(session_id: str, what: str) -> None:
    if session_id == ENTRYPOINT:
        raise BadRequest(f"bad request: cannot {what} the entrypoint session")
