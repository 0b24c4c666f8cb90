"""The table of terminals: create, find and end them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from toolbox import wire
from toolbox.errors import BadRequest, Conflict, Gone, InvalidBody, ProcessNotFound, TooManyRequests, Unavailable
from toolbox.host import env
from toolbox.process.terminals.terminal import Terminal, TerminalPlan
from toolbox.process.terminals.wire import COLS, ROWS, CreateRequest
from toolbox.runs.context import ProcessContext
from toolbox.runs.registry import Entry
from toolbox.runs.run import TimeLimit

MAX_TERMINALS = 256
TERM = "xterm-256color"
# Not an id: the route ``/process/pty/create-connect`` has it in the same place.
_RESERVED = "create-connect"


class Terminals:
    """Create, find and end terminals."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._table: dict[str, Terminal] = {}
        self._closing = False

    def __iter__(self) -> Iterator[Terminal]:
        return iter([*self._table.values()])

    def get(self, terminal_id: str) -> Terminal:
        """Return a terminal; raise if it is unknown."""
        try:
            return self._table[terminal_id]
        except KeyError:
            raise ProcessNotFound("PTY session not found") from None

    def find(self, terminal_id: str) -> Terminal:
        """Return a terminal; raise the error text that clients expect on a WebSocket if it is unknown."""
        if terminal_id not in self._table:
            raise ProcessNotFound(f"PTY session {terminal_id} not found")
        return self._table[terminal_id]

    async def create(self, request: CreateRequest) -> Terminal:
        """Create a terminal and, unless it is lazy, start its shell."""
        return await self._make(self._plan(request))

    async def start(self, terminal: Terminal) -> None:
        """Start the shell if it is not started; remove a terminal that is not lazy and fails to start."""
        try:
            await terminal.start(self._remove)
        except BaseException:
            if terminal.entry is None and not terminal.plan.lazy:
                self._remove(terminal)
                await terminal.output.close()
            raise

    async def resize(self, terminal_id: str, cols: int, rows: int) -> Terminal:
        """Change the size of a terminal."""
        terminal = self._table.get(terminal_id)
        if terminal is None:
            raise Gone("PTY session not found")
        await terminal.resize(cols, rows)
        return terminal

    async def delete(self, terminal_id: str) -> None:
        """Kill a terminal with its process tree, and remove it."""
        terminal = self.get(terminal_id)
        await terminal.kill(keep=False)
        self._remove(terminal)

    async def launch(
        self,
        *,
        argv: Sequence[str] | None,
        cwd: str,
        env: Mapping[str, str],
        cols: int,
        rows: int,
        name: str,
        session_id: str,
        time_limit: TimeLimit,
    ) -> Entry:
        """Start a program on a terminal of its own, the usual shell without ``argv``; for ``/processes``."""
        terminal_id = name or secrets.token_hex(16)
        request = CreateRequest(id=terminal_id, cwd=cwd, envs=dict(env), cols=cols, rows=rows)
        plan = msgspec.structs.replace(
            self._plan(request),
            argv=argv,
            name=name,
            session_id=session_id or terminal_id,
            time_limit=time_limit,
        )
        terminal = await self._make(plan)
        assert terminal.entry is not None
        return terminal.entry

    async def close(self, grace: float) -> None:
        """End all terminals."""
        self._closing = True
        await asyncio.gather(*(terminal.stop(grace) for terminal in self._table.values()))
        self._table.clear()

    async def _make(self, plan: TerminalPlan) -> Terminal:
        # No await between check and insertion, so the second of two requests with one id gets the conflict.
        if self._closing:
            raise Unavailable("daemon is shutting down")
        if plan.id in self._table:
            raise Conflict(f"PTY session with id '{plan.id}' already exists")
        if len(self._table) >= MAX_TERMINALS:
            raise TooManyRequests(f"PTY sessions: there are {MAX_TERMINALS} already, delete one first")
        terminal = self._table[plan.id] = Terminal(plan, self._context)
        if not plan.lazy:
            await self.start(terminal)
        return terminal

    def _remove(self, terminal: Terminal) -> None:
        if self._table.get(terminal.id) is terminal:
            del self._table[terminal.id]

    def _plan(self, request: CreateRequest) -> TerminalPlan:
        if not request.id:
            raise InvalidBody("invalid request body: id is required")
        if request.id == _RESERVED:
            raise BadRequest(f"bad request: id cannot be {_RESERVED}")
        cwd = request.cwd or ""
        if "\0" in request.id or "\0" in cwd:
            raise BadRequest(f"bad request: {'cwd' if chr(0) in cwd else 'id'} contains a NUL byte")
        if wire.text(request.id) != request.id:
            raise BadRequest("bad request: id is not valid utf-8")
        envs = {"TERM": TERM, **(request.envs or {})}
        env.check(envs)
        return TerminalPlan(
            id=request.id,
            cwd=self._context.resolve(cwd),
            envs=envs,
            cols=request.cols or COLS,
            rows=request.rows or ROWS,
            lazy=bool(request.lazy_start),
            session_id=request.id,
            limits=self._context.limits,
        )
