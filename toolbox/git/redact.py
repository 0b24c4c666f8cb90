"""Redact credentials in git's output before it enters a message or a log."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_HIDDEN = "***"
# Shorter user names occur in ordinary words.
_SHORTEST_NAME = 4


def secrets_of(username: str, password: str) -> tuple[str, ...]:
    """Return every form in which credentials may appear: Basic pair, raw, percent-encoded."""
    pair = base64.b64encode(f"{username}:{password}".encode("utf-8", "surrogateescape")).decode()
    names = [username] if len(username) >= _SHORTEST_NAME else []
    forms = [
        pair,
        password,
        quote(password, safe=""),
        quote(password),
        *names,
        *(quote(name, safe="") for name in names),
    ]
    # The password before the user name: replacing a name that starts the password would leave its rest.
    return tuple(dict.fromkeys(form for form in forms if form))


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Replace known secrets and the user part of any URL."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _USERINFO.sub(f"{_HIDDEN}@", text)
