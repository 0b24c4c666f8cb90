"""The documents are consistent with the tree: the tests and files they name exist."""

from __future__ import annotations

import pathlib
import re
import tomllib

import pytest

import toolbox

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


def test_package_names_its_licence_and_version_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    licence = (ROOT / project["license-files"][0]).read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert project["version"] == toolbox.__version__
    assert (pathlib.Path(toolbox.__file__).parent / "py.typed").exists()
    # pip builds the wheel in the image from what is copied there.
    copied = re.findall(r"^COPY (.*) /src/$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= set(" ".join(copied).split())


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/releasing.md", "SECURITY.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_files_that_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:docs|tests|toolbox|http|host|bench)/[\w/.-]+|[A-Z]+\.md)`", text))
    roots = (ROOT, ROOT / "toolbox")
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda page: page.name)
def test_decisions_have_their_four_parts(page: pathlib.Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "How we would notice it was wrong"]
