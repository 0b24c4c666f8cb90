"""Route, schema and error-code parity with the generated client of the newest SDK."""

from __future__ import annotations

import inspect
import pathlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from tests.contract.generated import Operation, decode, fields, operations, shape
from toolbox import daemon, errors, wire
from toolbox.errors import ErrorCode, ToolboxError
from toolbox.http.binding import describe
from toolbox.http.endpoint import WEBSOCKET, Route, is_stream
from toolbox.settings import read

HERE = pathlib.Path(__file__).parent
SDK_ROUTES = {(operation.method, operation.path) for operation in operations()}
MISSING = HERE / "missing_routes.txt"
ROUTES = daemon.routes(read({}, []))


def our_routes() -> set[tuple[str, str]]:
    return {
        ("GET" if route.mark.method == WEBSOCKET else route.mark.method, shape(route.mark.path)) for route in ROUTES
    }


def listed_as_missing() -> set[tuple[str, str]]:
    lines = MISSING.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {(method, path) for method, path in rows}


def test_client_has_the_operations_we_know_of() -> None:
    assert len(SDK_ROUTES) >= 100


def test_every_operation_has_a_route_or_is_listed_as_missing() -> None:
    ours, missing = our_routes(), listed_as_missing()
    unknown = {row for row in SDK_ROUTES - missing if (row[0], shape(row[1])) not in ours}
    assert not unknown, f"no route for {sorted(unknown)}"


def test_list_of_missing_routes_only_shrinks() -> None:
    ours, missing = our_routes(), listed_as_missing()
    done = {row for row in missing if (row[0], shape(row[1])) in ours}
    assert not done, f"built by now, remove from {MISSING.name}: {sorted(done)}"
    assert missing <= SDK_ROUTES, "listed, but no operation of the SDK"


def test_error_codes_agree() -> None:
    from daytona_toolbox_api_client.models.daemon_error_code import DaemonErrorCode

    theirs = {code.value for code in DaemonErrorCode} - {"unknown_default_open_api"}
    assert theirs <= {code.value for code in ErrorCode}


def error_classes() -> list[type[ToolboxError]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ToolboxError)]
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_code_and_status_lead_to_the_same_sdk_class(kind: type[ToolboxError]) -> None:
    """Whoever catches by code and whoever catches by status must agree."""
    from daytona.common import errors as theirs

    table = next(
        value
        for value in vars(theirs).values()
        if isinstance(value, dict) and ("DAYTONA_DAEMON", "FILE_NOT_FOUND") in value
    )
    by_status = next(
        value
        for value in vars(theirs).values()
        if isinstance(value, dict) and 404 in value and inspect.isclass(value[404])
    )
    precise = table.get(("DAYTONA_DAEMON", str(kind.code)))
    general = by_status.get(kind.status)
    if precise is not None and general is not None:
        assert issubclass(precise, general)


# Each route that the client knows too, beside what the client knows of it.
SHARED = [
    (route, operation)
    for route in ROUTES
    for operation in operations()
    if operation.key == (route.mark.method, shape(route.mark.path))
]


def named(pair: tuple[Route, Operation]) -> str:
    return f"{pair[1].method} {pair[1].path}"


@pytest.mark.parametrize("pair", SHARED, ids=named)
def test_success_has_the_status_the_client_reads(pair: tuple[Route, Operation]) -> None:
    route, operation = pair
    assert route.mark.status == operation.status


@pytest.mark.parametrize("pair", SHARED, ids=named)
def test_client_sends_nothing_we_ignore(pair: tuple[Route, Operation]) -> None:
    """Every query key and every field of a body has its place in our structs."""
    route, operation = pair
    if operation.query:
        assert operation.query <= wire_names(route.params["query"])
    if operation.body:
        assert fields(operation.body) <= wire_names(route.params["body"])


def wire_names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


# Charts nest without end and carry what libraries made; the gallery of ``test_code_sdk.py`` goes through the client.
ELSEWHERE = {"/process/code-run"}
ANSWERS = [
    pair
    for pair in SHARED
    if pair[1].returns and pair[0].returns and not is_stream(pair[0].returns) and pair[0].mark.path not in ELSEWHERE
]
TEXT = strategies.text(strategies.characters(exclude_categories=("Cs",)))
FINITE = strategies.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("pair", ANSWERS, ids=named)
def test_client_reads_whatever_the_answer_may_hold(pair: tuple[Route, Operation]) -> None:
    """Any value our type allows goes through the client's own decoder."""
    route, operation = pair
    strategies.register_type_strategy(str, TEXT)
    strategies.register_type_strategy(float, FINITE)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(strategies.from_type(route.returns))
    def check(value: Any) -> None:
        assert decode(wire.encode(value).decode("utf-8", "surrogatepass"), operation.returns) is not None

    check()


def test_error_envelope_is_accepted_by_the_sdk() -> None:
    from daytona_toolbox_api_client.models.error_response import ErrorResponse

    from toolbox.http.connection import envelope

    body = envelope(404, "FILE_NOT_FOUND", "x", path="/files", method="GET", extra={"a": 1})
    parsed = ErrorResponse.from_json(wire.encode(body).decode())
    assert parsed is not None
    assert (parsed.source, parsed.additional_properties) == ("DAYTONA_DAEMON", {"extra": {"a": 1}})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.mark.method} {route.mark.path}")
def test_every_route_is_documented_and_bound_to_structs(route: Route) -> None:
    assert route.summary
    assert not route.summary.endswith(".")
    for source in ("path", "query", "headers", "body"):
        kind = route.params.get(source)
        assert kind is None or issubclass(kind, msgspec.Struct)
    assert set(re.findall(r"{(\w+)}", route.mark.path)) - {"tail"} <= (
        {field.encode_name for field in msgspec.structs.fields(route.params["path"])}
        if "path" in route.params
        else {"port"}
    )


def test_validation_errors_name_the_field() -> None:
    class Probe(wire.Wire, kw_only=True):
        some_field: int

    with pytest.raises(msgspec.ValidationError) as caught:
        wire.decode(b"{}", Probe)
    assert describe(caught.value) == "someField is required"
