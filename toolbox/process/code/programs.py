"""Find the programs that run code, on the search path of the request."""

from __future__ import annotations

import asyncio
import shutil
import time

from toolbox.host.shells import DEFAULT_PATH

# How long a search result is reused: a program that was installed or removed meanwhile is not noticed.
FRESH_SECONDS = 1.0
_MAX_KNOWN = 64


class Programs:
    """Search for programs, and cache the result for a moment."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[float, str]] = {}

    async def find(self, names: tuple[str, ...], path: str) -> str:
        """Return the path of the first of these programs that exists; empty if none does."""
        key = (*names, path)
        looked, found = self._known.get(key, (float("-inf"), ""))
        now = time.monotonic()
        if now - looked > FRESH_SECONDS:
            found = await asyncio.to_thread(_which, names, path or DEFAULT_PATH)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = (now, found)
        return found


def _which(names: tuple[str, ...], path: str) -> str:
    return next((found for name in names if (found := shutil.which(name, path=path))), "")
