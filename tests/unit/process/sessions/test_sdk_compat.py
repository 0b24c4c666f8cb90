"""The form of output that each release of the SDK expects."""

from __future__ import annotations

import pytest

from toolbox.process.sessions.sdk_compat import Form, form_of, release, starts_at_home


@pytest.mark.parametrize(
    ("version", "form"),
    [
        ("0.226.1", Form.JSON),
        ("0.167.0", Form.JSON),
        ("0.167.0a1", Form.JSON),
        ("0.166.9", Form.PREFIXED),
        ("0.27.0", Form.PREFIXED),
        ("0.27.0a1", Form.PREFIXED),
        ("0.26.9", Form.PLAIN),
        ("0.1", Form.PLAIN),
        ("0.10.0.dev1", Form.JSON),
        ("unknown", Form.JSON),
        ("v0.150.0", Form.PREFIXED),
        ("", Form.PLAIN),
    ],
)
def test_form_by_release(version: str, form: Form) -> None:
    assert form_of(release(version, []), split=False, accept="*/*") is form


def test_browsers_send_their_release_as_a_sub_protocol() -> None:
    assert release("", ["x", "X-Daytona-SDK-Version~0.150.1"]) == (0, 150)
    assert release("0.200.0", ["X-Daytona-SDK-Version~0.150.1"]) == (0, 200)


def test_clients_without_a_release_choose_by_header() -> None:
    assert form_of(None, split=True, accept="") is Form.PREFIXED
    assert form_of(None, split=False, accept="application/json") is Form.JSON
    assert form_of(None, split=False, accept="application/json, */*") is Form.PLAIN


@pytest.mark.parametrize(("version", "home"), [("0.102.9", True), ("0.103.0", False), ("", False), ("unknown", False)])
def test_old_releases_start_at_home(version: str, home: bool) -> None:
    assert starts_at_home(release(version, [])) is home
