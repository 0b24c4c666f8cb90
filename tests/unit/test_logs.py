"""Logging: one line per record, with the request id, without credentials."""

from __future__ import annotations

import io
import json
import logging
import os
import pathlib
import re
from collections.abc import Iterator

import pytest

from toolbox import logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Restore the root logger."""
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
    log_one_record()
    logging.getLogger("toolbox.x").debug("not shown")
    running.close()
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "toolbox.x",
        "message": "file read: /a",
        "requestId": "r-1",
        "size": 3,
        "ok": True,
        "user": None,
        "note": "two words",
        "path": "/b\\udcff",
    }


def log_one_record() -> None:
    mark = logs.request_id.set("r-1")
    extra = {"size": 3, "ok": True, "user": None, "note": "two words", "path": "/b\udcff"}
    logging.getLogger("toolbox.x").warning("file read: %s", "/a", extra=extra)
    logs.request_id.reset(mark)


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """Open a pseudo-terminal: the descriptor to read it by, and the stream to write to it."""
    controller, device = os.openpty()
    with open(device, "w", encoding="utf-8") as stream:
        yield controller, stream
    os.close(controller)


PLAIN = (
    r"\d\d:\d\d:\d\d\.\d{3} warning file read: /a"
    r' requestId=r-1 size=3 ok=true user=null note="two words" path=/b\\udcff\r\n'
)


def test_terminal_shows_text_with_every_field(terminal: tuple[int, io.TextIOWrapper]) -> None:
    controller, stream = terminal
    running = logs.start("info", None, stream)
    log_one_record()
    running.close()
    assert re.fullmatch(PLAIN, os.read(controller, 4096).decode())


def test_terminal_with_colour_shows_the_same_text(terminal: tuple[int, io.TextIOWrapper]) -> None:
    controller, stream = terminal
    running = logs.start("info", None, stream, colour=True)
    log_one_record()
    running.close()
    shown = os.read(controller, 4096).decode()
    assert "\x1b[33mwarning\x1b[0m" in shown
    assert re.fullmatch(PLAIN, re.sub(r"\x1b\[\d+m", "", shown))


def test_terminal_gets_no_control_characters_of_a_record(terminal: tuple[int, io.TextIOWrapper]) -> None:
    controller, stream = terminal
    running = logs.start("info", None, stream)
    logging.getLogger("toolbox.x").info("open: %s", "a\x1b[2Jb\nc", extra={"name_": "\x9b\x1b"})
    running.close()
    assert os.read(controller, 4096).decode().endswith('open: a\\x1b[2Jb\\nc name_="\\x9b\\u001b"\r\n')


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
