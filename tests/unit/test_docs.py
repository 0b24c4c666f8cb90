"""The documents are consistent with the tree: the tests and files they name exist."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
COMPAT = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8")
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", COMPAT)))
ROWS = [line for line in COMPAT.splitlines() if line.startswith("| ") and not line.startswith("| what")]


@pytest.mark.parametrize(("path", "name"), NAMED_TESTS)
def test_compat_names_tests_that_exist(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_difference_names_a_test(row: str) -> None:
    assert re.search(r"`tests/[\w/.]+\.py::\w+` \|$", row)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md"])
def test_documents_name_files_that_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:docs|tests|toolbox|http|host|bench)/[\w/.-]+|[A-Z]+\.md)`", text))
    roots = (ROOT, ROOT / "toolbox")
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda page: page.name)
def test_decisions_have_their_four_parts(page: pathlib.Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "How we would notice it was wrong"]
