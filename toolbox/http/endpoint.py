"""The table of endpoints: decorators on methods, and the ``Route`` records built from them.

The *name* of a handler's parameter is the source of its value (``path``, ``query``, ``headers``, ``body``, ``request``,
``ws``), its annotation is the type. There is no other registration: routing, validation, OpenAPI and the SDK parity
tests use the records that ``collect`` returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from aiohttp import web

from toolbox.errors import ToolboxError
from toolbox.http.websocket import WsSession

MIB = 1024 * 1024
DEFAULT_BODY_LIMIT = 16 * MIB

Request = web.BaseRequest
Handler = Callable[..., Awaitable[Any]]
F = TypeVar("F", bound=Handler)
T = TypeVar("T")

SOURCES = frozenset({"path", "query", "headers", "body", "request", "ws"})
WEBSOCKET = "WEBSOCKET"
ANY_METHOD = "*"


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """A JSON response with headers, or with a status other than the declared one."""

    value: T
    status: int | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class Subprotocols(msgspec.Struct, frozen=True):
    """Which of the sub-protocols that a client offers is echoed; names are compared up to the first ``~``.

    One of ``first`` in that order, else an unknown one, else one of ``last``. Browsers abort if none is echoed.
    """

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    def choose(self, offered: Sequence[str]) -> str | None:
        """Return the one to echo."""
        return min(offered, key=self._rank, default=None)

    def _rank(self, token: str) -> int:
        name = token.partition("~")[0]
        if name in self.first:
            return self.first.index(name)
        return len(self.first) + (name in self.last)


class Mark(msgspec.Struct, frozen=True):
    """Properties of a route. Applied as a decorator, it makes a method an endpoint.

    ``open``: no credential needed. ``signed``: a signed URL is accepted. ``quiet``: access log at DEBUG.
    ``hidden``: not in OpenAPI. ``media``, ``body_media``: content types of raw responses and bodies.
    ``also``: further success statuses.
    """

    method: str
    path: str
    tag: str
    status: int = 200
    errors: tuple[type[ToolboxError], ...] = ()
    body_limit: int = DEFAULT_BODY_LIMIT
    open: bool = False
    signed: bool = False
    quiet: bool = False
    head: bool | None = None
    hidden: bool = False
    media: str = ""
    body_media: str = ""
    also: tuple[int, ...] = ()
    subprotocols: Subprotocols = Subprotocols()

    def __call__(self, function: F) -> F:
        """Add the route to a method, which may have several."""
        function.__dict__.setdefault("__marks__", []).append(self)
        return function


endpoint = Mark


class Route(msgspec.Struct, frozen=True):
    """One row of the table: its mark, the bound method, and the types of its parameters."""

    mark: Mark
    call: Handler
    params: dict[str, Any]
    returns: Any
    operation: str
    summary: str
    description: str

    @property
    def head(self) -> bool:
        """Tell whether HEAD runs this GET handler, without the body."""
        if self.mark.head is not None:
            return self.mark.head
        return self.mark.method == "GET" and not is_stream(self.returns)


def websocket(
    path: str,
    *,
    tag: str,
    errors: tuple[type[ToolboxError], ...] = (),
    subprotocols: Subprotocols = Subprotocols(),  # noqa: B008 - frozen
) -> Mark:
    """Mark a method as a WebSocket endpoint; it may share its path with a GET endpoint."""
    return Mark(WEBSOCKET, path, tag, 101, errors, quiet=True, subprotocols=subprotocols)


def raw_route(path: str, *, tag: str) -> Mark:
    """Mark a method that handles all HTTP methods and WebSockets below ``path``, which ends with ``{tail}``."""
    return Mark(ANY_METHOD, path, tag, hidden=True)


def is_stream(returns: Any) -> bool:
    """Tell whether a return annotation is an aiohttp response."""
    return inspect.isclass(returns) and issubclass(returns, web.StreamResponse)


def collect(api: object) -> Iterator[Route]:
    """Yield the routes of ``api``; raise ``TypeError`` for a wrong signature, which is at startup."""
    for name, function in inspect.getmembers(type(api), inspect.isfunction):
        for mark in reversed(function.__dict__.get("__marks__", ())):
            yield _bind(mark, name, function, getattr(api, name))


def _bind(mark: Mark, name: str, function: Handler, call: Handler) -> Route:
    hints = get_type_hints(function, localns={"WsSession": WsSession})
    returns = hints.pop("return", None)
    unknown = set(hints) - SOURCES
    if unknown:
        raise TypeError(f"{function.__qualname__}: unknown parameter {', '.join(sorted(unknown))}")
    if get_origin(returns) is Reply:
        returns = get_args(returns)[0]
    summary, _, description = inspect.cleandoc(function.__doc__ or name).partition("\n")
    return Route(mark, call, hints, returns, name, summary.rstrip("."), description.strip())
