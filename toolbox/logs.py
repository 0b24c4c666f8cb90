"""Logging set-up: text on a terminal, JSON lines otherwise, off the loop, with request ids and redaction."""

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

# Credentials in URLs, in headers, and the two query keys that carry one.
_SECRET = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@"
    r"|(?P<header>(?:authorization|x-daytona-preview-token)['\"]?\s*[:=]\s*['\"]?(?:bearer\s+|basic\s+)?)[^\s'\",;]+"
    r"|(?P<bearer>\bbearer\s+)[\w.~+/=-]{8,}"
    r"|(?P<query>\b(?:DAYTONA_SANDBOX_AUTH_KEY|signature|TOOLBOX_TOKEN|TOOLBOX_SIGNING_KEY)=)[^&\s'\"]+",
    re.IGNORECASE,
)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "request_id"}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def redact(text: str) -> str:
    """Replace credentials in a line of text."""
    return _SECRET.sub(lambda found: f"{next(filter(None, found.groups()), '')}[redacted]", text)


class _Stamp(logging.Handler):
    """Queue records with the request id of the task that logged them; formatting happens in the listener."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__()
        self._waiting = waiting
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        record.request_id = request_id.get()
        record.msg, record.args = record.getMessage(), None
        if self.dropped:
            record.msg = f"{record.msg} ({self.dropped} log lines before this one were dropped)"
        try:
            self._waiting.put_nowait(record)
            self.dropped = 0
        except queue.Full:
            self.dropped += 1


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


class TextFormatter(logging.Formatter):
    """One readable line per record, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        mark = getattr(record, "request_id", "")
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock}.{int(record.msecs):03d} {record.levelname.lower():7} {record.getMessage()}{extra}"
        line += f" [{mark}]" if mark else ""
        return redact(line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""))


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if getattr(record, "request_id", ""):
            fields["requestId"] = record.__dict__["request_id"]
        for key, value in _extra(record).items():
            fields[key] = value if isinstance(value, (int, float)) else redact(str(value))
        if record.exc_info:
            fields["exception"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(fields).decode()


class RotatingFile(logging.handlers.RotatingFileHandler):
    """A log file cut by size; old ones are compressed and dropped by number and age."""

    def __init__(self, path: str, *, max_mb: int, backups: int, age_days: int, compress: bool) -> None:
        super().__init__(path, maxBytes=max_mb * 1024 * 1024, backupCount=backups, encoding="utf-8", delay=True)
        self._age = age_days * 86400.0
        if compress:
            self.namer = _gz_name
            self.rotator = _gz_rotate

    def doRollover(self) -> None:  # noqa: N802 - the name of the base class
        """Rotate, then drop what is too old."""
        super().doRollover()
        path = pathlib.Path(self.baseFilename)
        for old in path.parent.glob(f"{path.name}.*"):
            if time.time() - old.stat().st_mtime > self._age:
                old.unlink(missing_ok=True)


def _gz_name(name: str) -> str:
    return f"{name}.gz"


def _gz_rotate(source: str, target: str) -> None:
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:  # noqa: PTH123
        shutil.copyfileobj(plain, packed)
    pathlib.Path(source).unlink()


class LogPipeline:
    """Own the listener thread and the handlers behind it."""

    def __init__(self, handlers: list[logging.Handler], level: int) -> None:
        self._queue: queue.Queue[logging.LogRecord] = queue.Queue(10_000)
        self._listener = logging.handlers.QueueListener(self._queue, *handlers)
        self._stamp = _Stamp(self._queue)
        self._handlers = handlers
        root = logging.getLogger()
        root.handlers[:] = [self._stamp]
        root.setLevel(level)
        # aiohttp warns once per sub-protocol it does not know; we answer those ourselves.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
        self._listener.start()

    def add(self, handler: logging.Handler) -> None:
        """Add a sink, for telemetry."""
        self._listener.handlers = (*self._listener.handlers, handler)

    def close(self) -> None:
        """Write what is queued and stop the thread."""
        logging.getLogger().removeHandler(self._stamp)
        self._listener.stop()
        for handler in self._handlers:
            handler.close()


def start(level: str, file: RotatingFile | None, stream: TextIO = sys.stderr) -> LogPipeline:
    """Send log lines to a stream and a file, formatted off the loop."""
    console = logging.StreamHandler(stream)
    console.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    handlers: list[logging.Handler] = [console]
    if file is not None:
        file.setFormatter(JsonFormatter())
        handlers.append(file)
    return LogPipeline(handlers, LEVELS[level])
