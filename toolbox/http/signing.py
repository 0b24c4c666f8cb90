"""Signed file URLs: HMAC over method, path and expiry, with a replaceable key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from toolbox.errors import BadRequest, Unauthorized


def sign(key: str, method: str, path: str, expires: int) -> str:
    """Return the signature that the SDKs put into a file URL."""
    text = f"v1:files:{method}:{path}:{expires}".encode("utf-8", "surrogateescape")
    digest = hmac.new(key.encode(), text, hashlib.sha256).digest()
    return "v1_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class SigningKeys:
    """The current signing key. Replacing it invalidates all URLs signed before."""

    def __init__(self, key: str = "") -> None:
        self._key = key

    def replace(self, key: str) -> None:
        """Replace the key."""
        self._key = key

    def verify(self, method: str, query: dict[str, list[str]]) -> None:
        """Verify a signed URL or raise; HEAD counts as GET, ``expires=0`` does not expire."""
        if not query.get("path", [""])[0]:
            raise BadRequest("bad request: path is required")
        text = query.get("expires", [""])[0]
        # isdecimal and int() accept digits of other scripts, which the signer never writes.
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise Unauthorized("expires of the signed url is not a unix time")
        expires = int(text)
        given = query.get("signature", [""])[0]
        if not self._key:
            raise Unauthorized("signed urls are off: the daemon has no signing key (TOOLBOX_SIGNING_KEY)")
        wanted = sign(self._key, "GET" if method == "HEAD" else method, query["path"][0], expires)
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode()):
            raise Unauthorized("signature does not match")
        if expires and expires < time.time():
            raise Unauthorized("signed url has expired")
