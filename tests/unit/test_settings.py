"""Settings: precedence, malformed values, and secrets that must not leak."""

from __future__ import annotations

import pathlib
import re

import pytest

from toolbox.parsers import duration, labels, names
from toolbox.settings import SETTINGS, Setting, Settings, SettingsError, read, redacted
from toolbox.suggestions import unknown_variables

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "configuration.md"


def test_flag_wins_over_environment_over_default() -> None:
    settings = read({"TOOLBOX_PORT": "1", "TOOLBOX_HOST": "::1"}, ["--port", "2"])
    assert (settings.port, settings.host, settings.log_level) == (2, "::1", "info")
    assert [settings.sources[name] for name in ("port", "host", "log_level")] == ["flag", "environment", "default"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5.0), ("1500ms", 1.5), ("1m30s", 90.0), ("1m", 60.0), ("7", 7.0), ("1.5h", 5400.0)]
)
def test_durations_have_the_syntax_of_go(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5x", "s", "1m30", "-5s", "5 s"])
def test_malformed_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("name", "value", "attribute", "default"),
    [
        ("DAYTONA_DAEMON_LOG_MAX_SIZE_MB", "0", "log_max_mb", 100),
        ("DAYTONA_DAEMON_LOG_MAX_SIZE_MB", "many", "log_max_mb", 100),
        ("DAYTONA_TERMINATION_GRACE_PERIOD", "1ms", "grace_period", 5.0),
        ("DAYTONA_TERMINATION_GRACE_PERIOD", "nan", "grace_period", 5.0),
        ("DAYTONA_DAEMON_LOG_COMPRESS", "perhaps", "log_compress", True),
        ("TOOLBOX_PORT", "70000", "port", 2280),
        ("LOG_LEVEL", "loud", "log_level", "info"),
        ("DAYTONA_SANDBOX_OTEL_EXTRA_LABELS", "novalue", "otel_labels", {}),
    ],
)
def test_malformed_environment_warns_and_uses_the_default(
    name: str, value: str, attribute: str, default: object
) -> None:
    settings = read({name: value}, [])
    assert getattr(settings, attribute) == default
    assert [warning for warning in settings.warnings if warning.startswith(f"{name}: ")]


def test_all_flag_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read({}, ["--prot", "--port=x", "--host"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["--port", "1", "--", "sleep", "--help"], ("sleep", "--help")),
        (["--insecure-no-auth", "--", "--weird"], ("--weird",)),
        (["--insecure-no-auth=false", "--", "a b", "c'd", "--"], ("a b", "c'd", "--")),
        ([], ()),
    ],
)
def test_what_follows_the_dashes_is_the_entrypoint(argv: list[str], command: tuple[str, ...]) -> None:
    assert read({}, argv).entrypoint == command


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["sleep", "5"], "sleep: unexpected argument"),
        (["--port", "1", "sleep"], "a command to run comes after --"),
        (["--PORT", "1"], "did you mean --port?"),
        (["-port", "1"], "did you mean --port?"),
        (["--token_file", "x"], "did you mean --token-file?"),
        (["workdir", "/"], "did you mean --workdir?"),
        (["--hlep"], "did you mean --help?"),
        (["-x"], "-x: unknown option; --help lists what there is"),
        (["--port", "--", "sleep"], "--port: needs a value"),
        (["--workdir", "--port", "1"], "--workdir: needs a value"),
        (["--json"], "--json: unknown option"),
    ],
)
def test_what_is_no_option_is_an_error_with_a_suggestion(argv: list[str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read({}, argv)
    assert says in caught.value.problems[0]


@pytest.mark.parametrize("argv", [["-p", "7"], ["-p7"], ["-p=7"], ["--port=7"], ["--port", "8", "-p", "7"]])
def test_port_has_a_short_option(argv: list[str]) -> None:
    assert read({}, argv).port == 7


TYPED = [row for row in SETTINGS if row.parse not in (str, names, labels)]


@pytest.mark.parametrize("text", ["x", "nan", "inf", "1e999", "0x10", "1_0", "٣", "9" * 5000, "-7", "\udcff"])
@pytest.mark.parametrize("setting", TYPED, ids=lambda row: row.env)
def test_malformed_values_are_explained_without_words_of_python(setting: Setting, text: str) -> None:
    settings = read({setting.env: text}, [])
    (warning,) = settings.warnings
    assert settings.sources[setting.name] == "default"
    assert re.match(rf"{setting.env}: expected [a-z0-9][^\n]{{4,80}}, got '", warning)
    assert not re.search(r"literal|base 10|convert|float|int\b|Errno|string|codec", warning)


def test_unknown_variables_are_found_but_no_others() -> None:
    environ = {
        "TOOLBOX_PROT": "1",
        "toolbox_port": "1",
        "TOOLBOX_PORT": "1",
        "MY_TOOLBOX_X": "1",
        "DAYTONA_API_KEY": "k",
    }
    assert read(environ, []).unknown == ("TOOLBOX_PROT", "toolbox_port")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("TOOLBOX_PROT", "did you mean TOOLBOX_PORT?"),
        ("toolbox_port", "did you mean TOOLBOX_PORT?"),
        ("TOOLBOX_LOGLEVEL", "did you mean LOG_LEVEL?"),
        ("TOOLBOX_XYZ", "TOOLBOX_XYZ: unknown variable"),
    ],
)
def test_unknown_variables_get_a_suggestion(name: str, says: str) -> None:
    (warning,) = unknown_variables([name], [setting.env for setting in SETTINGS])
    assert warning.endswith(says)


def test_children_never_see_the_daemons_settings() -> None:
    settings = read({"TOOLBOX_TOKEN": "s3cret", "TOOLBOX_SIGNING_KEY": "k", "PYTHONPATH": "/app", "PATH": "/bin"}, [])
    assert settings.child_env == {"PYTHONPATH": "/app", "PATH": "/bin"}


def test_settings_are_read_only() -> None:
    settings = read({}, [])
    with pytest.raises(AttributeError, match="read-only"):
        settings.port = 1


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.secret], ids=lambda row: row.env)
def test_secrets_are_shown_as_set_only(setting: object) -> None:
    assert redacted(setting, "s3cret") == "(set)"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "exposed"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True)],
)
def test_exposed_means_reachable_from_other_machines(host: str, exposed: bool) -> None:
    assert read({"TOOLBOX_HOST": host}, []).exposed is exposed


@pytest.mark.parametrize(
    ("environ", "colour"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_colour_follows_the_terminal_and_no_color(environ: dict[str, str], colour: bool) -> None:
    assert read(environ, []).colour is colour


def test_every_attribute_is_declared() -> None:
    declared = set(Settings.__annotations__)
    assert {setting.name for setting in SETTINGS} <= declared


def test_every_setting_has_a_row_in_the_documentation() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [tuple(cell.strip(" `") for cell in row) for row in rows] == [
        (setting.env, setting.default, setting.flag, setting.help) for setting in SETTINGS
    ]
