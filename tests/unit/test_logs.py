"""Logging: one line per record, stamped with the request, without credentials."""

from __future__ import annotations

import io
import json
import logging
import pathlib
from collections.abc import Iterator

import pytest

from toolbox import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "kept", "secret"),
    [
        ("clone https://user:tok3n@host/r.git", "@host/r.git" and "host/r.git", "tok3n"),
        ("clone https://tok3n@host/r.git", "https://", "tok3n"),
        ("Authorization: Bearer tok3nvalue", "Authorization", "tok3nvalue"),
        ("{'authorization': 'Basic dG9rM24='}", "authorization", "dG9rM24="),
        ("X-Daytona-Preview-Token: tok3n", "Preview", "tok3n"),
        ("GET /x?DAYTONA_SANDBOX_AUTH_KEY=tok3n&a=1", "a=1", "tok3n"),
        ("GET /files/download?path=/a&signature=v1_tok3n", "path=/a", "v1_tok3n"),
    ],
)
def test_credentials_are_redacted(text: str, kept: str, secret: str) -> None:
    shown = logs.redact(text)
    assert secret not in shown
    assert kept in shown
    assert "[redacted]" in shown


@pytest.mark.parametrize("text", ["bearer of news", "user@host", "signature mismatch", "http://host/path@v1"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert logs.redact(text) == text


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_records_carry_request_id_and_fields() -> None:
    stream = io.StringIO()
    running = logs.start("info", None, stream)
    mark = logs.request_id.set("r-1")
    logging.getLogger("toolbox.x").info("file read: %s", "/a", extra={"size": 3})
    logging.getLogger("toolbox.x").debug("not shown")
    logs.request_id.reset(mark)
    running.close()
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["requestId"], line["size"]) == ("file read: /a", "info", "r-1", 3)


def test_traceback_is_redacted_too() -> None:
    stream = io.StringIO()
    running = logs.start("info", None, stream)
    try:
        raise ValueError("https://u:tok3n@host")
    except ValueError:
        logging.getLogger("toolbox.x").exception("failed")
    running.close()
    (line,) = lines(stream)
    assert "tok3n" not in line["exception"]
    assert "ValueError" in line["exception"]


def test_log_file_rotates_compresses_and_keeps_few(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "daemon.log"
    file = logs.RotatingFile(str(path), max_mb=1, backups=2, age_days=1, compress=True)
    running = logs.start("info", file, io.StringIO())
    for number in range(5):
        logging.getLogger("toolbox.x").info("%d %s", number, "x" * 700_000)
    running.close()
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith("daemon")) == [
        "daemon.log",
        "daemon.log.1.gz",
        "daemon.log.2.gz",
    ]
