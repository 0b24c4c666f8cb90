"""Build the sessions: the table, the entrypoint's session, the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from toolbox.process.entrypoint import Entrypoint
from toolbox.process.sessions.api import SessionsApi
from toolbox.process.sessions.entrypoint import EntrypointSession
from toolbox.process.sessions.sessions import Sessions
from toolbox.runs.context import ProcessContext
from toolbox.runs.wire import SignalRequest


class SessionsComponent:
    """Own everything behind ``/process/session``.

    The processes of a session get ``grace`` seconds between SIGTERM and SIGKILL when it is deleted, ``stop_grace`` at
    shutdown; ``send_signal`` signals a process by its id.
    """

    def __init__(
        self,
        context: ProcessContext,
        entrypoint: Entrypoint,
        *,
        state_dir: str,
        grace: float,
        stop_grace: float,
        send_signal: Callable[[str, SignalRequest], Awaitable[None]],
    ) -> None:
        self.sessions = Sessions(context, state_dir=state_dir, grace=grace, send_signal=send_signal)
        self._stop_grace = stop_grace
        self.apis = (SessionsApi(self.sessions, EntrypointSession(entrypoint, self.sessions.workers)),)

    async def stop(self) -> None:
        """End all sessions; their logs are kept."""
        await self.sessions.close(self._stop_grace)

    async def close(self) -> None:
        """Release nothing: ``stop`` has ended the threads."""
