"""API documentation: /openapi.json and an offline Swagger UI."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import mimetypes
import pathlib
from collections.abc import Callable

import msgspec
from aiohttp import web

from toolbox import wire
from toolbox.errors import NotFound
from toolbox.http import openapi
from toolbox.http.endpoint import Request, Route, endpoint

# Relative, so that the page also works behind a path prefix.
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>toolbox API</title>
<link rel="stylesheet" href="{up}docs/assets/swagger-ui.css{query}"></head><body><div id="ui"></div>
<script src="{up}docs/assets/swagger-ui-bundle.js{query}"></script>
<script>{script}</script>
</body></html>"""
_SCRIPT = """SwaggerUIBundle({{url: "{up}openapi.json" + location.search, dom_id: "#ui", deepLinking: true}})"""
# Swagger UI sets style attributes and shows images from data: and blob: URLs; its requests stay on this origin. No site
# may frame the page, because a user could be tricked into a click on "Execute".
_POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src blob:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})
_ASSET_HEADERS = {"Cache-Control": "max-age=86400", "X-Content-Type-Options": "nosniff"}
JSON = "application/json"


def _page_headers(script: str) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "Content-Security-Policy": _POLICY.format(digest=digest),
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


class AssetPath(wire.Wire, kw_only=True):
    """Name of a bundled file."""

    name: str


class DocsApi:
    """Serve the documentation of all other endpoints."""

    def __init__(self, routes: Callable[[], list[Route]], *, pages: bool) -> None:
        self._routes = routes
        self._pages = pages
        self._document: bytes | None = None

    @endpoint("GET", "/openapi.json", tag="server", hidden=True, media=JSON)
    @endpoint("GET", "/swagger/doc.json", tag="server", hidden=True, media=JSON)
    async def openapi(self) -> web.Response:
        """Describe every endpoint as OpenAPI 3.1."""
        if self._document is None:
            self._document = await asyncio.to_thread(self._build)
        return web.Response(body=self._document, content_type="application/json")

    def _build(self) -> bytes:
        return msgspec.json.format(wire.encode(openapi.build(self._routes())))

    @endpoint("GET", "/docs", tag="server", hidden=True, media="text/html")
    @endpoint("GET", "/swagger", tag="server", hidden=True, media="text/html")
    @endpoint("GET", "/swagger/index.html", tag="server", hidden=True, media="text/html")
    async def page(self, request: Request) -> web.Response:
        """Show the API in a browser."""
        self._check()
        up = "../" * request.rel_url.raw_path.removeprefix("/").count("/")
        # With the token in the query, the assets need it in theirs too.
        query = html.escape(request.rel_url.raw_query_string)
        script = _SCRIPT.format(up=up)
        page = _PAGE.format(up=up, query=f"?{query}" if query else "", script=script)
        return web.Response(text=page, content_type="text/html", headers=_page_headers(script))

    @endpoint("GET", "/docs/assets/{name}", tag="server", hidden=True, media="text/css text/javascript")
    async def asset(self, path: AssetPath) -> web.Response:
        """Serve a bundled style or script."""
        self._check()
        if path.name not in ASSETS:
            raise NotFound(f"no such asset: {path.name}")
        data = await asyncio.to_thread(self._read, path.name)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return web.Response(body=data, content_type=kind, headers=_ASSET_HEADERS)

    def _check(self) -> None:
        if not self._pages:
            raise NotFound("the api browser is off (ENVIRONMENT=production), /openapi.json still answers")

    @staticmethod
    def _read(name: str) -> bytes:
        from swagger_ui_bundle import swagger_ui_path  # slow import, done in the thread that reads

        return (pathlib.Path(swagger_ui_path) / name).read_bytes()
