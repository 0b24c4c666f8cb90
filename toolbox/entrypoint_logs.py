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


def run(settings: Settings, *, follow: bool) -> int:
    """Print the output so far and, with ``follow``, until the command ends; return the exit status."""
    connection = _connection(settings)
    try:
        with contextlib.closing(connection), contextlib.suppress(BrokenPipeError):
            _print(connection, _headers(settings), follow=follow)
    except EntrypointLogsError as failure:
        sys.stderr.write(f"toolbox: {failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        sys.stderr.write(
            f"toolbox: no daemon answers at {_address(settings)}: {reason} (--host, --port, --unix-socket)\n"
        )
        return 1
    return 0


def _address(settings: Settings) -> str:
    return settings.unix_socket or f"{_ANY.get(settings.host, settings.host)}:{settings.port}"


def _connection(settings: Settings) -> http.client.HTTPConnection:
    if settings.unix_socket:
        return _UnixConnection(settings.unix_socket)
    return http.client.HTTPConnection(_ANY.get(settings.host, settings.host), settings.port)


def _headers(settings: Settings) -> dict[str, str]:
    token = token_in(settings.token_file) if settings.token_file else settings.token
    return {"Authorization": f"Bearer {token}"} if token else {}


def _print(connection: http.client.HTTPConnection, headers: dict[str, str], *, follow: bool) -> None:
    found = json.load(_get(connection, "/processes?name=entrypoint", headers))
    mine = [process for process in found if process.get("system")]
    if not mine:
        raise EntrypointLogsError("no entrypoint: the daemon was started without a command")
    logs = f"/processes/{mine[0]['id']}/logs?encoding=base64"
    source = (
        _followed(connection, logs, headers) if follow else _pages(connection, logs, headers, mine[0]["lastCursor"])
    )
    for frame in source:
        data = base64.b64decode(frame["data"]) if frame.get("encoding") == "base64" else frame["data"].encode()
        _write(_STREAMS.get(frame["channel"], 2), data)


def _followed(connection: http.client.HTTPConnection, logs: str, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield frames until the ``eof`` event; the end of the stream without one is a lost connection."""
    answer = _get(connection, f"{logs}&follow=true", {**headers, "Accept": "text/event-stream"})
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


def _pages(
    connection: http.client.HTTPConnection, logs: str, headers: dict[str, str], stop: str
) -> Iterator[dict[str, Any]]:
    """Yield the stored frames up to the cursor ``stop``."""
    cursor = "0"
    while int(cursor) < int(stop):
        page = json.load(_get(connection, f"{logs}&cursor={'start' if cursor == '0' else cursor}", headers))
        yield from page["frames"]
        cursor = page["nextCursor"]


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    if answer.status == 401:
        answer.read()
        raise EntrypointLogsError("the daemon requires its token: set TOOLBOX_TOKEN or --token-file")
    if answer.status != 200:
        text = answer.read(2000).decode("utf-8", "replace")
        raise EntrypointLogsError(f"the daemon returned status {answer.status}: {text}")
    return answer


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
