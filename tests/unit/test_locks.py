"""The lock files contain every dependency of ``pyproject.toml``."""

from __future__ import annotations

import pathlib
import re
import tomllib
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["telemetry"]]
GROUPS = PROJECT["dependency-groups"]
TEST = [*RUN, *(item for group in GROUPS.values() for item in group if isinstance(item, str))]


@pytest.mark.parametrize(("lock", "wanted"), [("run", RUN), ("test", TEST)])
def test_lock_contains_every_dependency(lock: str, wanted: list[str]) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    locked = {_name(line) for line in text.splitlines() if re.match(r"[a-zA-Z0-9]", line)}
    assert {_name(item) for item in wanted} - locked == set()


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()
