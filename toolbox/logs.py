"""Logging set-up: text on a terminal, JSON lines otherwise, with request ids and without credentials.

A log call only appends to a queue. A thread formats and writes, so a slow disk or terminal cannot block the event loop.
"""

from __future__ import annotations

import contextvars
import gzip
import logging
import logging.handlers
import pathlib
import queue
import re
import shutil
import sys
import time
from typing import Any, TextIO

import msgspec

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

# Credentials in URLs, in headers, in query keys and in environment variables.
_SECRET = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@"
    r"|(?P<header>(?:authorization|x-daytona-preview-token)['\"]?\s*[:=]\s*['\"]?(?:bearer\s+|basic\s+)?)[^\s'\",;]+"
    r"|(?P<bearer>\bbearer\s+)[\w.~+/=-]{8,}"
    r"|(?P<query>\b(?:DAYTONA_SANDBOX_AUTH_KEY|signature|TOOLBOX_TOKEN|TOOLBOX_SIGNING_KEY)=)[^&\s'\"]+",
    re.IGNORECASE,
)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "request_id"}
# A file name can contain escape sequences, which a terminal would execute, and line ends, which would forge a line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_COLOURS = {logging.DEBUG: _DIM, logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def redact(text: str) -> str:
    """Replace the credentials in a text by ``[redacted]``."""
    return _SECRET.sub(lambda found: f"{next(filter(None, found.groups()), '')}[redacted]", text)


class _Enqueue(logging.Handler):
    """Queue records with the request id of the current task, which the listener thread cannot see."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__()
        self._waiting = waiting
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        record.request_id = request_id.get()
        # Arguments may change before the listener formats them.
        record.msg, record.args = record.getMessage(), None
        if self.dropped:
            record.msg = f"{record.msg} ({self.dropped} log lines before this one were dropped)"
        try:
            self._waiting.put_nowait(record)
            self.dropped = 0
        except queue.Full:
            self.dropped += 1


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the request id and the ``extra`` fields; a value that is no number, boolean or None becomes text."""
    fields: dict[str, Any] = {}
    if getattr(record, "request_id", ""):
        fields["requestId"] = record.__dict__["request_id"]
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            fields[key] = value if value is None or isinstance(value, (int, float)) else _safe(str(value))
    return fields


def _safe(text: str) -> str:
    """Remove credentials and escape lone surrogates (bytes of file names), which neither UTF-8 nor JSON can carry."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _shown(value: Any) -> str:
    """Format a field: as in JSON, but without quotes around a single word."""
    return value if isinstance(value, str) and re.fullmatch(r"[^\s\"=\x00-\x1f]+", value) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class TextFormatter(logging.Formatter):
    """One readable line per record: local time, level, message, fields as ``key=value``; a traceback below."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        clock = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        level = self._paint(f"{record.levelname.lower():7}", _COLOURS.get(record.levelno, ""))
        fields = "".join(f" {key}={_escape(_shown(value))}" for key, value in _fields(record).items())
        line = f"{self._paint(clock, _DIM)} {level} {_escape(_safe(record.getMessage()))}{self._paint(fields, _DIM)}"
        return line + (f"\n{_safe(self.formatException(record.exc_info))}" if record.exc_info else "")

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour and text else text


class JsonFormatter(logging.Formatter):
    """One JSON object per record and line: UTC time, level, logger, message, fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _safe(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            fields["exception"] = _safe(self.formatException(record.exc_info))
        return _json(fields)


class RotatingFile(logging.handlers.RotatingFileHandler):
    """A log file rotated by size; old files are compressed, and deleted by number and age."""

    def __init__(self, path: str, *, max_mb: int, backups: int, age_days: int, compress: bool) -> None:
        super().__init__(path, maxBytes=max_mb * 1024 * 1024, backupCount=backups, encoding="utf-8", delay=True)
        self._age = age_days * 86400.0
        if compress:
            self.namer = lambda name: f"{name}.gz"
            self.rotator = _gz_rotate

    def doRollover(self) -> None:  # noqa: N802 - the name of the base class
        """Rotate, then delete old files over the age limit."""
        super().doRollover()
        path = pathlib.Path(self.baseFilename)
        for old in path.parent.glob(f"{path.name}.*"):
            if time.time() - old.stat().st_mtime > self._age:
                old.unlink(missing_ok=True)


def _gz_rotate(source: str, target: str) -> None:
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:  # noqa: PTH123
        shutil.copyfileobj(plain, packed)
    pathlib.Path(source).unlink()


class LogPipeline:
    """Own the queue of log records, the thread that empties it, and the handlers it writes to."""

    def __init__(self, handlers: list[logging.Handler], level: int) -> None:
        # Bounded: with a disk that hangs, records are counted and dropped instead of filling memory.
        self._queue: queue.Queue[logging.LogRecord] = queue.Queue(10_000)
        self._listener = logging.handlers.QueueListener(self._queue, *handlers)
        self._enqueue = _Enqueue(self._queue)
        self._handlers = handlers
        root = logging.getLogger()
        root.handlers[:] = [self._enqueue]
        root.setLevel(level)
        # aiohttp warns about every sub-protocol it does not know; we negotiate them ourselves.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        # At DEBUG asyncio reports its selector and every slow callback.
        logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
        self._listener.start()

    def add(self, handler: logging.Handler) -> None:
        """Add a handler, which the caller closes."""
        self._listener.handlers = (*self._listener.handlers, handler)

    def close(self) -> None:
        """Write what is queued and stop the thread."""
        logging.getLogger().removeHandler(self._enqueue)
        self._listener.stop()
        for handler in self._handlers:
            handler.close()


def start(level: str, file: RotatingFile | None, stream: TextIO = sys.stderr, *, colour: bool = False) -> LogPipeline:
    """Log to a stream, as text if it is a terminal (with ``colour`` if that is wanted), and to a file as JSON."""
    console = logging.StreamHandler(stream)
    console.setFormatter(TextFormatter(colour=colour) if stream.isatty() else JsonFormatter())
    handlers: list[logging.Handler] = [console]
    if file is not None:
        file.setFormatter(JsonFormatter())
        handlers.append(file)
    return LogPipeline(handlers, LEVELS[level])
