"""Generate OpenAPI 3.1 from the endpoint table; on first request, in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from toolbox import __version__
from toolbox.errors import BadRequest, ToolboxError, Unauthorized
from toolbox.http.endpoint import WEBSOCKET, Route, is_stream
from toolbox.wire import NEEDED, Flag

ERROR_SCHEMA = {
    "type": "object",
    "required": ["statusCode", "message", "code", "source", "timestamp", "path", "method"],
    "properties": {
        "statusCode": {"type": "integer"},
        "message": {"type": "string"},
        "code": {"type": "string"},
        "source": {"type": "string", "const": "DAYTONA_DAEMON"},
        "timestamp": {"type": "string", "format": "date-time"},
        "path": {"type": "string"},
        "method": {"type": "string"},
    },
}
_REF = "#/components/schemas/{name}"
# Sources of parameters that have a schema.
VALIDATED = frozenset({"path", "query", "headers", "body"})


def build(routes: list[Route]) -> dict[str, Any]:
    """Return the document for every visible route."""
    visible = [route for route in routes if not route.mark.hidden]
    kinds = [kind for route in visible for kind in _kinds(route)]
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=_custom, ref_template=_REF)
    for schema in components.values():
        _require(schema)
    known = dict(zip(map(str, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in visible:
        is_websocket = route.mark.method == WEBSOCKET
        method = "get" if is_websocket else route.mark.method.lower()
        # A path may have a GET and a WebSocket route: the GET route is documented, regardless of their order.
        if method not in paths.setdefault(route.mark.path, {}) or not is_websocket:
            paths[route.mark.path][method] = _operation(route, known, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "toolbox",
            "version": __version__,
            "description": "Files, git, commands, code and a desktop inside a sandbox. "
            "WebSocket routes are listed as GET with the answer 101.",
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}, {}],
    }


def _require(schema: dict[str, Any]) -> None:
    """Replace the NEEDED marker of a field by ``required`` and ``minLength: 1``."""
    needed = [name for name, prop in schema.get("properties", {}).items() if prop.pop(NEEDED, False)]
    for name in needed:
        schema["properties"][name].pop("default", None)
        schema["properties"][name]["minLength"] = 1
    if needed:
        schema["required"] = [*schema.get("required", ()), *needed]


def _custom(kind: type[Any]) -> dict[str, Any]:
    if kind is Flag:
        return {"type": "string", "description": "true only for the exact text 'true'"}
    raise NotImplementedError(f"no schema for {kind!r}")


def _kinds(route: Route) -> list[Any]:
    """List the types of a route that need a schema."""
    kinds = [kind for source, kind in route.params.items() if source in VALIDATED]
    return [*kinds, route.returns] if _has_schema(route.returns) else kinds


def _has_schema(returns: Any) -> bool:
    return returns not in (None, type(None)) and not is_stream(returns)


def _operation(route: Route, known: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    mark = route.mark
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "tags": [mark.tag],
        "summary": route.summary,
        "parameters": list(_parameters(route, known, components)),
        "responses": _responses(route, known),
    }
    if route.description:
        operation["description"] = route.description
    if mark.open:
        operation["security"] = [{}]
    body = _body(route, known, components)
    if body:
        operation["requestBody"] = body
    if mark.method == WEBSOCKET:
        operation["x-websocket"] = True
    return operation


def _parameters(route: Route, known: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    declared: set[str] = set()
    for source, where in (("path", "path"), ("query", "query"), ("headers", "header")):
        if source not in route.params:
            continue
        schema = _resolve(known[str(route.params[source])], components)
        for name, prop in schema.get("properties", {}).items():
            declared.add(name)
            required = where == "path" or name in schema.get("required", ())
            plain = {key: value for key, value in prop.items() if key != "default" or value is not None}
            yield {"name": name, "in": where, "required": required, "schema": plain}
    for name in re.findall(r"{(\w+)}", route.mark.path):
        if name not in declared:
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _resolve(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to its schema."""
    ref = schema.get("$ref")
    found: dict[str, Any] = components[ref.rpartition("/")[2]] if ref else schema
    return found


def _body(route: Route, known: dict[str, Any], components: dict[str, Any]) -> dict[str, Any] | None:
    if "body" in route.params:
        schema = known[str(route.params["body"])]
        required = bool(_resolve(schema, components).get("required"))
        return {"required": required, "content": {"application/json": {"schema": schema}}}
    if route.mark.body_media:
        return {"required": True, "content": {media: {"schema": {}} for media in route.mark.body_media.split()}}
    return None


def _responses(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    mark = route.mark
    success: dict[str, Any] = {"description": route.summary or "ok"}
    content: dict[str, Any] = {media: {"schema": {}} for media in mark.media.split()}
    if _has_schema(route.returns):
        content["application/json"] = {"schema": known[str(route.returns)]}
    if content:
        success["content"] = content
    empty = {"description": success["description"]}
    responses = {str(status): success if status < 300 else empty for status in (mark.status, *mark.also)}
    for error in _errors(route):
        refused = {"description": "", "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}}
        entry = responses.setdefault(str(error.status), refused)
        entry["description"] = ", ".join(sorted({*filter(None, entry["description"].split(", ")), error.code}))
    return responses


def _errors(route: Route) -> Iterator[type[ToolboxError]]:
    if route.params.keys() & VALIDATED:
        yield BadRequest
    if not route.mark.open:
        yield Unauthorized
    yield from route.mark.errors
