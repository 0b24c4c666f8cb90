"""Search the output or the screen of a terminal. Everything here blocks; run it in a thread.

Patterns come from clients. ``re`` has no timeout and holds the GIL; the regex library has one and releases the GIL.
"""

from __future__ import annotations

import re
from typing import Any

from toolbox.errors import BadRequest

SECONDS = 1.0
# Escape sequences and control characters other than tab and newline.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[PX^_\]][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f]"
)


def plain(data: bytes) -> str:
    """Return output as text without escape sequences and control characters."""
    return _ESCAPES.sub("", data.decode("utf-8", "replace"))


class Matcher:
    """Search for a text or a pattern, whichever is given."""

    def __init__(self, text: str | None, pattern: str | None) -> None:
        self._text = text
        self._regex: Any = None
        if pattern is not None:
            import regex

            try:
                self._regex = regex.compile(pattern, regex.MULTILINE)
            except regex.error as error:
                raise BadRequest(f"bad request: regex: {error}") from error

    def search(self, where: str) -> str | None:
        """Return the match, None without one."""
        if self._text is not None and self._text in where:
            return self._text
        if self._regex is None:
            return None
        try:
            found = self._regex.search(where, timeout=SECONDS, concurrent=True)
        except TimeoutError:
            raise BadRequest("bad request: regex takes too long on this text") from None
        return None if found is None else str(found[0])
