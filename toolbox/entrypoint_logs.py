"""``toolbox entrypoint logs``: print the output of the entrypoint, on the streams it was written to."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from toolbox.settings import Settings, token_in

HELP = "usage: toolbox entrypoint logs [--no-follow] [--host, --port, --unix-socket, --token-file: as for serve]"
_STREAMS = {"stdout": 1, "stderr": 2}
# Wildcard addresses, which only a listener can use, and the address to connect to instead.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class EntrypointLogsError(Exception):
    """Report why there is no output, or why it is incomplete."""


class _UnixConnection(http.client.HTTPConnection):
    """Speak HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class _Client:
    """Send requests to the daemon that these settings start."""

    def __init__(self, settings: Settings) -> None:
        host = _ANY.get(settings.host, settings.host)
        self.address = settings.unix_socket or f"{host}:{settings.port}"
        unix = settings.unix_socket
        self.connection = _UnixConnection(unix) if unix else http.client.HTTPConnection(host, settings.port)
        token = token_in(settings.token_file) if settings.token_file else settings.token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        self.connection.request("GET", path, headers={**self._headers, **headers})
        answer = self.connection.getresponse()
        if answer.status == 401:
            answer.read()
            raise EntrypointLogsError("the daemon requires its token: set TOOLBOX_TOKEN or --token-file")
        if answer.status != 200:
            text = answer.read(2000).decode("utf-8", "replace")
            raise EntrypointLogsError(f"the daemon returned status {answer.status}: {text}")
        return answer


def run(settings: Settings, *, follow: bool) -> int:
    """Print the output so far and, with ``follow``, until the command ends; return the exit status."""
    client = _Client(settings)
    try:
        with contextlib.closing(client.connection), contextlib.suppress(BrokenPipeError):
            _print(client, follow=follow)
    except EntrypointLogsError as failure:
        sys.stderr.write(f"toolbox: {failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        sys.stderr.write(f"toolbox: no daemon answers at {client.address}: {reason} (--host, --port, --unix-socket)\n")
        return 1
    return 0


def _print(client: _Client, *, follow: bool) -> None:
    found = json.load(client.get("/processes?name=entrypoint"))
    mine = [process for process in found if process.get("system")]
    if not mine:
        raise EntrypointLogsError("no entrypoint: the daemon was started without a command")
    logs = f"/processes/{mine[0]['id']}/logs?encoding=base64"
    for frame in _followed(client, logs) if follow else _pages(client, logs, mine[0]["lastCursor"]):
        data = base64.b64decode(frame["data"]) if frame.get("encoding") == "base64" else frame["data"].encode()
        _write(_STREAMS.get(frame["channel"], 2), data)


def _followed(client: _Client, logs: str) -> Iterator[dict[str, Any]]:
    """Yield frames until the ``eof`` event; the end of the stream without one is a lost connection."""
    answer = client.get(f"{logs}&follow=true", Accept="text/event-stream")
    event = ""
    while line := answer.readline():
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event == "log":
            yield json.loads(value)
        elif name == "data" and event == "warning":
            sys.stderr.write(f"toolbox: {json.loads(value)['message']}\n")
        elif event == "eof":
            return
    raise EntrypointLogsError("connection lost before the end of the output")


def _pages(client: _Client, logs: str, stop: str) -> Iterator[dict[str, Any]]:
    """Yield the stored frames up to the cursor ``stop``."""
    cursor = "0"
    while int(cursor) < int(stop):
        page = json.load(client.get(f"{logs}&cursor={'start' if cursor == '0' else cursor}"))
        yield from page["frames"]
        cursor = page["nextCursor"]


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
