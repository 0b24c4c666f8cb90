from __future__ import annotations

import pytest

from toolbox.errors import BadRequest
from toolbox.host.env import Environment, check, check_names, cleaned

OWN = ("/opt/toolbox",)


def test_nothing_of_ours_reaches_children() -> None:
    environment = Environment(
        {
            "HOME": "/root",
            "PYTHONHOME": "/opt/toolbox/python",
            "PYTHONPATH": "/opt/toolbox/lib:/home/me/lib",
            "LD_LIBRARY_PATH": "/opt/toolbox/lib",
            "VIRTUAL_ENV": "/opt/toolbox",
            "TOOLBOX_TOKEN": "secret",
        },
        own=OWN,
    )
    assert environment.merged() == {"HOME": "/root", "PYTHONPATH": "/home/me/lib"}


def test_what_the_user_set_stays() -> None:
    users = {"PYTHONHOME": "/usr", "LD_LIBRARY_PATH": "/opt/toolbox-not/lib:", "VIRTUAL_ENV": "/home/me/venv"}
    assert cleaned(users, OWN) == users


def test_a_request_wins_and_leaves_no_trace() -> None:
    environment = Environment({"A": "1", "B": "2"}, own=())
    assert environment.merged({"B": "3", "C": "4"}) == {"A": "1", "B": "3", "C": "4"}
    assert environment.merged() == {"A": "1", "B": "2"}


def test_update_removes_first_and_sets_last() -> None:
    environment = Environment({"A": "dtn_1", "B": "dtn_2", "C": "x", "D": "y"}, own=())
    environment.update({"B": "dtn_3", "C": "new"}, unset=["C", "D", "unknown"], unset_value_prefix="dtn_")
    assert environment.merged() == {"B": "dtn_3", "C": "new"}


def test_an_empty_prefix_removes_nothing() -> None:
    environment = Environment({"A": "1"}, own=())
    environment.update({}, unset_value_prefix="")
    assert environment.merged() == {"A": "1"}


@pytest.mark.parametrize("bad", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0y"}])
def test_a_bad_variable_changes_nothing(bad: dict[str, str]) -> None:
    environment = Environment({"A": "1"}, own=())
    with pytest.raises(BadRequest):
        environment.update({"GOOD": "1", **bad}, unset=["A"])
    assert environment.merged() == {"A": "1"}


@pytest.mark.parametrize("name", ["1A", "A-B", "", "A B", "Ä", "A\n"])
def test_names_a_shell_cannot_use_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="invalid environment variable name: '"):
        check_names([name])


def test_good_names_pass() -> None:
    check_names(["_", "A1_b"])
    check({"with-dash": "ok"})
