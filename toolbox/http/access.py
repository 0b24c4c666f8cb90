"""Authorisation of requests: token, signed URL, or Host and Origin checks where the daemon has no token."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import logging
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from toolbox.errors import Forbidden, Unauthorized
from toolbox.http.binding import parse_query
from toolbox.http.endpoint import Route
from toolbox.http.signing import SigningKeys

log = logging.getLogger(__name__)

QUERY_KEY = "DAYTONA_SANDBOX_AUTH_KEY"
PREVIEW_HEADER = "X-Daytona-Preview-Token"
CORS_HEADERS = "Authorization, Content-Type, Range, traceparent, tracestate, baggage, X-Request-Id, X-Daytona-*"
CORS_EXPOSED = "Content-Disposition, Content-Length, Content-Range, ETag, X-Request-Id"


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is a loopback one."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=64)
def _split(url: str) -> SplitResult:
    """Split a URL; an invalid one has no host."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


class Access:
    """Check every request before its handler runs."""

    def __init__(
        self,
        keys: SigningKeys,
        *,
        token: str = "",
        check_host: bool = True,
        allowed_hosts: frozenset[str] = frozenset(),
        allowed_origins: frozenset[str] = frozenset(),
    ) -> None:
        self._token = token.encode()
        self._keys = keys
        self._check_host = check_host
        self._hosts = allowed_hosts
        self._origins = allowed_origins

    def check(self, request: web.BaseRequest, route: Route | None) -> None:
        """Accept a request or raise 401 or 403; an unknown route needs a credential too, so its 404 reveals nothing."""
        if route is not None and route.mark.open:
            return
        raw_query = request.rel_url.raw_query_string
        query = parse_query(raw_query) if raw_query else {}
        try:
            if route is not None and route.mark.signed and "signature" in query:
                self._keys.verify(request.method, query)
            elif self._token:
                self._check_token(request, query)
            else:
                self._check_browser(request)
        except (Unauthorized, Forbidden) as error:
            # The text of a 403 quotes the client, that of a 401 does not. Neither contains a credential.
            reason = error.message if isinstance(error, Unauthorized) else "host or origin is not allowed"
            peer = "loopback" if is_loopback(request.remote or "") else "remote"
            log.info("credential refused: %s", reason, extra={"peer": peer})
            raise

    def _check_token(self, request: web.BaseRequest, query: dict[str, list[str]]) -> None:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = [
            bearer.strip() if scheme.lower() == "bearer" else "",
            request.headers.get(PREVIEW_HEADER, ""),
            query.get(QUERY_KEY, [""])[0],
        ]
        # Compare all candidates in constant time: the duration must not depend on the token.
        matches = [hmac.compare_digest(text.encode("utf-8", "surrogateescape"), self._token) for text in given]
        if not any(matches):
            what = "token is wrong" if any(given) else "token is missing: send 'Authorization: Bearer <token>'"
            raise Unauthorized(what)

    def _check_browser(self, request: web.BaseRequest) -> None:
        """Refuse requests of other web sites (CSRF), also through a name that resolves to loopback (DNS rebinding)."""
        host = request.headers.get("Host", "")
        name = _split(f"//{host}").hostname or ""
        if self._check_host and host and not (is_loopback(name) or name in self._hosts):
            raise Forbidden(f"host {name or host!r} is not allowed: add it to TOOLBOX_ALLOWED_HOSTS or set a token")
        origin = request.headers.get("Origin")
        if origin is None:
            # Browsers omit Origin on some requests but send Sec-Fetch-*. Following a link is allowed: the linking site
            # cannot read the page.
            navigates = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method == "GET"
            if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not navigates:
                raise Forbidden("cross-site browser requests are not allowed: set TOOLBOX_ALLOWED_ORIGINS or a token")
            return
        if not (origin in self._origins or _split(origin).netloc.lower() == host.lower()):
            raise Forbidden(f"origin {origin!r} is not allowed: add it to TOOLBOX_ALLOWED_ORIGINS or set a token")

    def cors(self, request: web.BaseRequest) -> dict[str, str]:
        """Return the CORS headers for an allowed origin; empty for others."""
        origin = request.headers.get("Origin", "")
        if not origin or origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": CORS_EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Answer a CORS preflight of an allowed origin."""
        wanted = request.headers.get("Access-Control-Request-Method")
        headers = self.cors(request)
        if request.method != "OPTIONS" or wanted is None or not headers:
            return None
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
        asked = request.headers.get("Access-Control-Request-Headers", "")
        headers["Access-Control-Allow-Headers"] = asked or CORS_HEADERS
        headers["Access-Control-Max-Age"] = "600"
        return web.Response(status=204, headers=headers)
