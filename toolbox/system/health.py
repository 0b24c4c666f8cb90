"""The health of the daemon: each listener reports its own state."""

from __future__ import annotations

import time

from toolbox.system.wire import HealthInfo, ListenerState


class Health:
    """Hold the state of every listener."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._listeners: dict[str, ListenerState] = {}

    def listening(self, name: str, address: str) -> None:
        """Report a listener that accepts connections."""
        self._listeners[name] = ListenerState(state="listening", address=address)

    def failed(self, name: str, reason: str) -> None:
        """Report a listener that could not start or has stopped working."""
        self._listeners[name] = ListenerState(state="failed", detail=reason)

    def off(self, name: str) -> None:
        """Report a listener that is disabled."""
        self._listeners[name] = ListenerState(state="off")

    def report(self) -> HealthInfo:
        """Return the state of all listeners; ``degraded`` if one has failed."""
        broken = any(listener.state == "failed" for listener in self._listeners.values())
        return HealthInfo(
            status="degraded" if broken else "ok",
            uptime_seconds=round(time.monotonic() - self._since, 3),
            listeners=dict(self._listeners),
        )
