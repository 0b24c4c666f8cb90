"""A class name means one thing: it is defined once in the package."""

from __future__ import annotations

import ast
import collections
import pathlib

PACKAGE = pathlib.Path(__file__).parents[2] / "toolbox"


def definitions() -> dict[str, list[str]]:
    """Map each class name to the places that define it, private and nested classes included.

    ``wire.py`` files are left out: their names are those of the API schemas, which the domains share.
    """
    found = collections.defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "wire.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}")
    return found


def test_class_name_is_defined_once() -> None:
    offenders = [f"{name}: {', '.join(places)}" for name, places in definitions().items() if len(places) > 1]
    assert not offenders, "class name defined more than once:\n" + "\n".join(offenders)
