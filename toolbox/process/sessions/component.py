"""Put the sessions together: the table, the entrypoint's session, the API."""

from __future__ import annotations

from toolbox.host.worker_pool import WorkerPool
from toolbox.process.entrypoint import Entrypoint
from toolbox.process.sessions.api import SessionsApi
from toolbox.process.sessions.entrypoint import EntrypointSession
from toolbox.process.sessions.sessions import Sessions


class SessionsComponent:
    """Own everything behind ``/process/session``."""

    def __init__(self, sessions: Sessions, entrypoint: Entrypoint) -> None:
        self.sessions = sessions
        self._workers = WorkerPool("entrypoint-log", 1)
        self.api = SessionsApi(sessions, EntrypointSession(entrypoint, self._workers))

    async def close(self, grace: float) -> None:
        """End all sessions; their logs stay."""
        await self.sessions.close(grace)
        await self._workers.close()
