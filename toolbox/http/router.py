"""Find the route of a raw path.

Literal segments take precedence over ``{names}``. Trailing and doubled slashes are ignored. The prefixes ``/{own id}``
and ``/toolbox/{own id}`` are optional. The tail of a raw route is not decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from toolbox.errors import BadRequest
from toolbox.http.binding import unquote
from toolbox.http.endpoint import ANY_METHOD, WEBSOCKET, Request, Route


class RouteMatch(msgspec.Struct):
    """The routes of a path by method, and its captured values."""

    routes: dict[str, Route]
    captured: dict[str, str]

    def allowed(self) -> list[str]:
        """List the HTTP methods of this path."""
        methods = {"GET" if name == WEBSOCKET else name for name in self.routes}
        if "GET" in self.routes and self.routes["GET"].head:
            methods.add("HEAD")
        return sorted(methods)

    def pick(self, request: Request) -> Route | None:
        """Choose the route for the method of a request."""
        if ANY_METHOD in self.routes:
            return self.routes[ANY_METHOD]
        if WEBSOCKET in self.routes and is_upgrade(request):
            return self.routes[WEBSOCKET]
        if request.method == "HEAD":
            route = self.routes.get("GET")
            return route if route is not None and route.head else None
        return self.routes.get(request.method)


def is_upgrade(request: Request) -> bool:
    """Tell whether a request opens a WebSocket."""
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


class _Node(msgspec.Struct):
    """A path segment; ``wild`` is the child for any text, ``name`` that of the parameter."""

    name: str = ""
    children: dict[str, _Node] = {}
    wild: _Node | None = None
    routes: dict[str, Route] = {}


class Router:
    """The endpoint table as a tree of path segments."""

    def __init__(self, routes: Iterable[Route], sandbox_id: str) -> None:
        self._root = _Node()
        # Most requests are for a path without parameters, as it is written: one look-up finds it.
        self._exact: dict[str, _Node] = {}
        self._tails: list[tuple[re.Pattern[str], Route]] = []
        self._id = sandbox_id
        self.routes = list(routes)
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        path = route.mark.path
        if path.endswith("/{tail}"):
            stem = re.escape(path.removesuffix("/{tail}"))
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]*)", stem)
            self._tails.append((re.compile(f"/*{pattern.lstrip('/')}(?P<tail>/.*)?", re.DOTALL), route))
            return
        node = self._root
        for segment in path.strip("/").split("/"):
            node = self._step(node, segment)
        if "{" not in path:
            self._exact[path] = node
        if route.mark.method in node.routes:
            raise ValueError(f"two handlers for {route.mark.method} {path}")
        node.routes[route.mark.method] = route

    @staticmethod
    def _step(node: _Node, segment: str) -> _Node:
        if not segment.startswith("{"):
            return node.children.setdefault(segment, _Node())
        if node.wild is None:
            node.wild = _Node(segment[1:-1])
        if node.wild.name != segment[1:-1]:
            raise ValueError(f"path parameter {segment} is named {{{node.wild.name}}} by another route")
        return node.wild

    def resolve(self, raw_path: str) -> RouteMatch | None:
        """Find the routes of a raw (still percent-encoded) path, with or without the sandbox prefix."""
        exact = self._exact.get(raw_path)
        if exact is not None:
            return RouteMatch(exact.routes, {})
        return self._lookup(raw_path) or self._lookup(self._without_prefix(raw_path))

    def _without_prefix(self, raw_path: str) -> str:
        first, _, rest = raw_path.lstrip("/").partition("/")
        if unquote(first) == self._id:
            return f"/{rest}"
        second, _, rest = rest.partition("/")
        if first == "toolbox" and unquote(second) == self._id:
            return "/" + re.sub(r"^toolbox(/|$)", "", rest)
        return raw_path

    def _lookup(self, raw_path: str) -> RouteMatch | None:
        for pattern, route in self._tails:
            match = pattern.fullmatch(raw_path)
            if match:
                values = {key: value or "" for key, value in match.groupdict().items()}
                return RouteMatch({ANY_METHOD: route}, values)
        segments = [segment for segment in raw_path.split("/") if segment]
        captured: dict[str, str] = {}
        node = self._walk(self._root, segments, 0, captured)
        return RouteMatch(node.routes, captured) if node is not None else None

    def _walk(self, node: _Node, segments: list[str], at: int, captured: dict[str, str]) -> _Node | None:
        if at == len(segments):
            return node if node.routes else None
        child = node.children.get(unquote(segments[at]))
        found = self._walk(child, segments, at + 1, captured) if child is not None else None
        if found is None and node.wild is not None:
            found = self._walk(node.wild, segments, at + 1, captured)
            if found is not None:
                captured[node.wild.name] = unquote(segments[at])
                if "\0" in captured[node.wild.name]:
                    raise BadRequest("bad request: path contains a NUL byte")
        return found
