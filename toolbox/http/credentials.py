"""Remove the daemon's credential from what a proxied application receives."""

from __future__ import annotations

import base64
import binascii
import re

from multidict import CIMultiDict

from toolbox.http.access import PREVIEW_HEADER, QUERY_KEY
from toolbox.http.binding import unquote

# Where one value is a list of which the other entries are the application's own.
_LISTS = {"cookie": ";", "sec-websocket-protocol": ","}
# A token this long is recognised inside any text. A shorter one may be an ordinary word or number there, so it is
# recognised only where clients put credentials, and only as the last word of a value.
_UNMISTAKABLE = 8


class Credentials:
    """Knows the token; without one nothing is removed."""

    def __init__(self, token: str) -> None:
        self._token = token
        raw = token.encode("utf-8", "surrogateescape")
        # Sub-protocols cannot carry every character, so clients encode tokens there.
        encoded = {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
        words = "|".join(map(re.escape, sorted({token, *encoded})))
        self._long = len(token) >= _UNMISTAKABLE
        self._pattern = re.compile(words if self._long else rf"(?:^|[\s=:.~])(?:{words})\s*$")

    def strip_query(self, query: str) -> str:
        """Return a raw query string without the token."""
        if not self._token:
            return query
        return "&".join(part for part in query.split("&") if not self._secret_parameter(part))

    def strip_headers(self, headers: CIMultiDict[str]) -> None:
        """Remove the token from request headers; what is the application's own stays."""
        if not self._token:
            return
        kept = [(name, self._strip(name.lower(), value)) for name, value in headers.items()]
        headers.clear()
        headers.extend((name, value) for name, value in kept if value is not None)

    def _strip(self, name: str, value: str) -> str | None:
        """Return what is left of a header, None if that is nothing."""
        if name == PREVIEW_HEADER.lower():
            return None
        if name == "referer":
            value = self._strip_url(value)
        elif name in _LISTS:
            return self._strip_list(value, _LISTS[name])
        elif name == "authorization":
            return None if self._holds(value) or self._holds(_decoded(value.rpartition(" ")[2])) else value
        return None if self._long and self._holds(value) else value

    def _strip_url(self, url: str) -> str:
        page, mark, query = url.partition("?")
        kept = self.strip_query(query)
        return page + (mark if kept else "") + kept

    def _strip_list(self, value: str, separator: str) -> str | None:
        parts = value.split(separator)
        kept = [part for part in parts if not self._secret_part(part)]
        return value if len(kept) == len(parts) else separator.join(kept).strip() or None

    def _secret_parameter(self, part: str) -> bool:
        return _name(part) == QUERY_KEY or (self._long and self._holds(part))

    def _secret_part(self, part: str) -> bool:
        return _name(part).strip().lower() in (QUERY_KEY.lower(), PREVIEW_HEADER.lower()) or self._holds(part)

    def _holds(self, text: str) -> bool:
        """Tell whether text contains the token, also if it was encoded for a URL inside a URL."""
        for _ in range(3):
            if self._pattern.search(text):
                return True
            text = unquote(text, plus=True)
        return False


def _name(part: str) -> str:
    return unquote(part.partition("=")[0], plus=True)


def _decoded(text: str) -> str:
    """Decode the user and the password of Basic; the empty text if it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_").decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
