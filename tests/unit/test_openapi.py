"""The OpenAPI document is complete, consistent and reproducible."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toolbox import daemon, wire
from toolbox.http import openapi
from toolbox.settings import read

ROUTES = daemon.routes(read({}, []))
DOCUMENT: dict[str, Any] = json.loads(wire.encode(openapi.build(ROUTES)))
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_document_is_the_same_every_time() -> None:
    assert (
        wire.encode(openapi.build(ROUTES)) == wire.encode(DOCUMENT)
        or json.loads(wire.encode(openapi.build(ROUTES))) == DOCUMENT
    )


def test_references_have_a_target() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) <= known


def test_operation_ids_are_unique() -> None:
    names = [(operation["operationId"], path) for path, _, operation in OPERATIONS if "x-websocket" not in operation]
    assert len({name for name, _ in names}) == len(names)


@pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_operation_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert any(status.startswith(("1", "2")) for status in operation["responses"])
    declared = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
    assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == declared
    if "security" not in operation:
        assert "401" in operation["responses"]


def test_every_visible_route_is_in_the_document() -> None:
    assert {route.mark.path for route in ROUTES if not route.mark.hidden} == DOCUMENT["paths"].keys()


def test_fields_that_may_not_be_empty_are_required() -> None:
    """Their structs have an empty default, so that the service reports a missing one in its own wording."""
    parameters = {item["name"]: item for item in DOCUMENT["paths"]["/files/search"]["get"]["parameters"]}
    assert {name for name, item in parameters.items() if item["required"]} == {"path", "pattern"}
    assert parameters["path"]["schema"] == {"type": "string", "minLength": 1}
    assert wire.NEEDED not in json.dumps(DOCUMENT)


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [("post", "/process/session/{sessionId}/exec", {"200", "202"}), ("get", "/files/download", {"200", "206", "304"})],
)
def test_every_success_status_is_documented(method: str, path: str, statuses: set[str]) -> None:
    answers = DOCUMENT["paths"][path][method]["responses"]
    assert {status for status in answers if status < "400"} == statuses
    assert "content" not in answers.get("304", {})
