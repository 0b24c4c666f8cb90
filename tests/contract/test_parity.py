"""Route, schema and error-code parity with the generated client of the newest SDK."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from toolbox import daemon, errors, wire
from toolbox.errors import Code, ToolboxError
from toolbox.http.binding import describe
from toolbox.http.endpoint import WEBSOCKET, Route
from toolbox.settings import read

HERE = pathlib.Path(__file__).parent
MISSING = HERE / "missing_routes.txt"
ROUTES = daemon.routes(read({}, []))

# Response struct -> model of the SDK that must accept whatever we may send.
MODELS = {
    "BulkUploadResponse": ("upload_files_response", "UploadFilesResponse"),
    "DirInfo": ("user_home_dir_response", "UserHomeDirResponse"),
    "ExecuteResponse": ("execute_response", "ExecuteResponse"),
    "FileInfo": ("file_info", "FileInfo"),
    "PortList": ("port_list", "PortList"),
    "PortInUse": ("is_port_in_use_response", "IsPortInUseResponse"),
    "SystemMetrics": ("system_metrics", "SystemMetrics"),
    "Match": ("match", "Match"),
    "SearchResponse": ("search_files_response", "SearchFilesResponse"),
    "ReplaceResult": ("replace_result", "ReplaceResult"),
    "UploadResponse": ("uploaded_file", "UploadedFile"),
}
# Answers of endpoints that the SDK has no model for.
EXTENSIONS = {"CopyResponse", "EnvNames", "ExtractResponse", "HealthInfo", "VersionInfo"}


def sdk_routes() -> set[tuple[str, str]]:
    """Collect every operation of the generated client."""
    import daytona_toolbox_api_client.api as package

    found: set[tuple[str, str]] = set()
    for path in pathlib.Path(package.__file__).parent.glob("*_api.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"method='(\w+)',\s*resource_path='([^']+)'", text))
    return found


def shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def our_routes() -> set[tuple[str, str]]:
    return {
        ("GET" if route.mark.method == WEBSOCKET else route.mark.method, shape(route.mark.path)) for route in ROUTES
    }


def listed_as_missing() -> set[tuple[str, str]]:
    lines = MISSING.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {(method, path) for method, path in rows}


def test_client_has_the_operations_we_know_of() -> None:
    assert len(sdk_routes()) >= 100


def test_every_operation_has_a_route_or_is_listed_as_missing() -> None:
    ours, missing = our_routes(), listed_as_missing()
    unknown = {row for row in sdk_routes() - missing if (row[0], shape(row[1])) not in ours}
    assert not unknown, f"no route for {sorted(unknown)}"


def test_list_of_missing_routes_only_shrinks() -> None:
    ours, missing = our_routes(), listed_as_missing()
    done = {row for row in missing if (row[0], shape(row[1])) in ours}
    assert not done, f"built by now, remove from {MISSING.name}: {sorted(done)}"
    assert missing <= sdk_routes(), "listed, but no operation of the SDK"


def test_error_codes_agree() -> None:
    from daytona_toolbox_api_client.models.daemon_error_code import DaemonErrorCode

    theirs = {code.value for code in DaemonErrorCode} - {"unknown_default_open_api"}
    assert theirs <= {code.value for code in Code}


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


def structs_returned() -> list[type[msgspec.Struct]]:
    found: dict[str, type[msgspec.Struct]] = {}

    def visit(kind: Any) -> None:
        if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
            found[kind.__name__] = kind
        for part in getattr(kind, "__args__", ()):
            visit(part)

    for route in ROUTES:
        visit(route.returns)
    return [found[name] for name in sorted(found)]


def sdk_model(name: str) -> Any:
    module, model = MODELS[name]
    return getattr(importlib.import_module(f"daytona_toolbox_api_client.models.{module}"), model)


def test_every_answer_is_compared_or_known_as_ours() -> None:
    assert {kind.__name__ for kind in structs_returned()} <= MODELS.keys() | EXTENSIONS


TEXT = strategies.text(strategies.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    "kind", [kind for kind in structs_returned() if kind.__name__ in MODELS], ids=lambda kind: kind.__name__
)
def test_sdk_accepts_whatever_the_struct_may_hold(kind: type[msgspec.Struct]) -> None:
    model = sdk_model(kind.__name__)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(strategies.from_type(kind))
    def check(value: msgspec.Struct) -> None:
        assert model.from_json(wire.encode(value).decode("utf-8", "surrogatepass")) is not None

    strategies.register_type_strategy(str, TEXT)
    strategies.register_type_strategy(float, strategies.floats(allow_nan=False, allow_infinity=False))
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
