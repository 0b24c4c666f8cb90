"""Convert a request to a handler's arguments, and its result to a response."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from toolbox import wire
from toolbox.errors import BadRequest, InvalidBody, TooLarge
from toolbox.http.connection import JSON
from toolbox.http.endpoint import Reply, Request, Route

# JSON above this size is encoded and decoded in a thread.
OFF_LOOP = 1024 * 1024
# msgspec's messages: "Expected `int`, got `str` - at `$.depth`".
_AT = re.compile(r"^(?P<what>.*?)(?: - at (?:key in )?`\$?\.?(?P<where>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


def unquote(value: str, *, plus: bool = False) -> str:
    """Decode percent-encoding; bytes that are not UTF-8 survive as surrogates (``os.fsencode`` restores them)."""
    if plus:
        value = value.replace("+", " ")
    raw = value.encode("utf-8", "surrogateescape")
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "surrogateescape")


def parse_query(raw: str) -> dict[str, list[str]]:
    """Parse a raw query string into the values of each key, in order."""
    found: dict[str, list[str]] = {}
    for part in raw.split("&"):
        if part:
            key, _, value = part.partition("=")
            found.setdefault(unquote(key, plus=True), []).append(unquote(value, plus=True))
    return found


def describe(error: Exception) -> str:
    """Describe a validation error, field name first."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not valid utf-8 at byte {error.start}"
    match = _AT.match(str(error))
    what, where = (match["what"], match["where"] or "") if match else (str(error), "")
    missing = _MISSING.fullmatch(what)
    if missing:
        return f"{where + '.' if where else ''}{missing['field']} is required"
    what = what.rstrip(".") if what[:2].isupper() else what[:1].lower() + what[1:].rstrip(".")
    return wire.text(f"{where}: {what}" if where else what)


def _texts(kind: Any, values: dict[str, list[str]]) -> Any:
    """Read a struct from texts: the first value of each field, or all where the field is a list."""
    picked = {name: found if many else found[0] for name, many in _plan(kind) if (found := values.get(name))}
    return _convert(picked, kind)


def _headers(kind: Any, request: Request) -> Any:
    values = {}
    for name, _ in _plan(kind):
        if name in request.headers:
            values[name] = request.headers.getall(name)
    return _texts(kind, values) if values else _empty(kind)


@functools.cache
def _empty(kind: Any) -> Any:
    """Return the struct of a request that sets none of its fields; handlers never change what they are given."""
    return _convert({}, kind)


@functools.cache
def _plan(kind: Any) -> tuple[tuple[str, bool], ...]:
    """Return for each field its wire name and whether it is a list, which takes repeated keys."""
    return tuple((field.encode_name, _is_list(field.type)) for field in msgspec.structs.fields(kind))


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list or any(get_origin(part) is list for part in get_args(kind))


def _convert(values: Any, kind: Any) -> Any:
    try:
        return wire.convert(values, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"bad request: {describe(error)}") from error


async def _decode_body(request: Request, kind: Any, limit: int) -> Any:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadRequest("bad request: content-encoding of a json body is not supported, send it plain")
    if (request.content_length or 0) > limit:
        raise TooLarge(f"request body is over {limit} bytes")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"request body is over {limit} bytes")
    # The TypeScript client sends an empty body where every field is optional.
    data = bytes(body) if body.strip() else b"{}"
    decode = wire.decoder(kind).decode
    try:
        return await asyncio.to_thread(decode, data) if len(data) > OFF_LOOP else decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody(f"invalid request body: {describe(error)}") from error


async def arguments(route: Route, request: Request, captured: dict[str, str]) -> dict[str, Any]:
    """Build the keyword arguments of a handler; raise ``BadRequest`` that names an invalid value."""
    bound: dict[str, Any] = {}
    for source, kind in route.params.items():
        if source == "request":
            bound[source] = request
        elif source == "path":
            bound[source] = _convert(captured, kind)
        elif source == "query":
            raw = request.rel_url.raw_query_string
            bound[source] = _texts(kind, parse_query(raw)) if raw else _empty(kind)
        elif source == "headers":
            bound[source] = _headers(kind, request)
        elif source == "body":
            bound[source] = await _decode_body(request, kind, route.mark.body_limit)
    return bound


async def respond(route: Route, request: Request, result: Any) -> web.StreamResponse:
    """Convert a handler's result to a response."""
    reply = result if isinstance(result, Reply) else Reply(result)
    status = reply.status or route.mark.status
    if reply.value is None:
        return web.Response(status=status, headers=reply.headers)
    value = for_client(reply.value, request)
    size = getattr(value, "wire_size", None)
    large = size is not None and size() > OFF_LOOP
    body = await asyncio.to_thread(wire.encode, value) if large else wire.encode(value)
    return web.Response(status=status, body=body, headers={"Content-Type": JSON, **reply.headers})


def for_client(value: Any, request: Request) -> Any:
    """Leave out additive fields for clients that refuse unknown keys."""
    return _strip(value) if is_strict(request) else value


def is_strict(request: Request) -> bool:
    """Tell whether a client refuses unknown keys: Go SDKs older than 0.188 do."""
    if request.headers.get("X-Daytona-Source") != "sdk-go":
        return False
    version = request.headers.get("X-Daytona-SDK-Version", "")
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return match is not None and "dev" not in version and (int(match[1]), int(match[2])) < (0, 188)


def _strip(value: Any) -> Any:
    if isinstance(value, list):
        return [_strip(item) for item in value]
    if not isinstance(value, wire.Wire):
        return value
    plain = {}
    for field in msgspec.structs.fields(value):
        item = getattr(value, field.name)
        if field.encode_name not in value.additive and (field.required or item != field.default):
            plain[field.encode_name] = _strip(item)
    return plain
