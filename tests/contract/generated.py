"""What the newest SDK's generated client knows of the protocol, read from its code."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
from typing import Any

import daytona_toolbox_api_client as package
from daytona_toolbox_api_client import api


@dataclasses.dataclass(frozen=True)
class Operation:
    """One method of the client: what it sends, and how it reads a success."""

    method: str
    path: str
    status: int
    returns: str | None
    body: str | None
    query: frozenset[str]

    @property
    def key(self) -> tuple[str, str]:
        """Return method and path, without the names of its parameters."""
        return self.method, shape(self.path)


def shape(path: str) -> str:
    """Forget the names of path parameters."""
    return re.sub(r"{\w+}", "{}", path)


@functools.cache
def operations() -> list[Operation]:
    """List every operation of every API class."""
    found = []
    for module in pkgutil.iter_modules(api.__path__):
        for name, kind in vars(importlib.import_module(f"{api.__name__}.{module.name}")).items():
            if name.endswith("Api") and inspect.isclass(kind):
                found += [_operation(kind, method) for method in vars(kind) if hasattr(kind, f"_{method}_serialize")]
    return found


def _operation(kind: type, name: str) -> Operation:
    sent, read = inspect.getsource(getattr(kind, f"_{name}_serialize")), inspect.getsource(getattr(kind, name))
    where = re.search(r"method='(\w+)',\s*resource_path='([^']+)'", sent)
    answer = re.search(r"'(2\d\d|101)': (None|\"[^\"]+\")", read)
    body = re.search(r"_body_params = (\w+)\n", sent)
    parameter = f"\\b{body[1]}: (?:Annotated\\[)?(?:Optional\\[)?(\\w+)" if body else ""
    typed = re.search(parameter, read) if body else None
    assert where, name
    return Operation(
        method=where[1],
        path=where[2],
        status=int(answer[1]) if answer else 0,
        returns=answer[2].strip('"') if answer and answer[2] != "None" else None,
        body=typed[1] if typed else None,
        query=frozenset(re.findall(r"_query_params\.append\(\('([^']+)'", sent)),
    )


def decode(text: str, returns: str) -> Any:
    """Read an answer the way the client does."""
    return package.ApiClient().deserialize(text, returns, "application/json")


def fields(model: str) -> set[str]:
    """Return the names a request model has on the wire."""
    schema = getattr(package, model).model_json_schema(mode="serialization")
    return set(schema["properties"]) - {"additional_properties"}
