"""The form of output that a client expects, which depends on the release of its SDK."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

from toolbox.process.subprotocols import SDK_VERSION

_NUMBERS = re.compile(r"v?(\d{1,6})\.(\d{1,6})")
_NEWEST = (1_000_000, 0)
SPLIT_SINCE, JSON_SINCE, WORKDIR_SINCE = (0, 27), (0, 167), (0, 103)


class Form(enum.Enum):
    """A form of output: JSON with three fields, bytes with stream prefixes, bytes without."""

    JSON = "json"
    PREFIXED = "prefixed"
    PLAIN = "plain"


def release(version: str, protocols: Sequence[str] = ()) -> tuple[int, int] | None:
    """Return major and minor version of the SDK, None without one; an unreadable version counts as the newest."""
    token = next((token.removeprefix(SDK_VERSION) for token in protocols if token.startswith(SDK_VERSION)), "")
    given = version or token
    if not given:
        return None
    numbers = _NUMBERS.match(given)
    if numbers is None or "dev" in given:
        return _NEWEST
    return int(numbers[1]), int(numbers[2])


def form_of(known: tuple[int, int] | None, *, split: bool, accept: str) -> Form:
    """Choose the form for a client."""
    if known is None:
        if split:
            return Form.PREFIXED
        return Form.JSON if "application/json" in accept and "*/*" not in accept else Form.PLAIN
    if known < SPLIT_SINCE:
        return Form.PLAIN
    return Form.PREFIXED if known < JSON_SINCE else Form.JSON


def starts_at_home(known: tuple[int, int] | None) -> bool:
    """Tell whether the sessions of a client start in the home directory."""
    return known is not None and known < WORKDIR_SINCE
