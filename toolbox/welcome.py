"""What a person at a terminal needs first: address, /docs, a request to try, and where the log is."""

from __future__ import annotations

import shlex

from toolbox.settings import Settings

# Wildcard addresses, which only a listener can use, and the address to connect to instead.
_ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
_TRY = """/process/execute -d '{"command": "echo hello"}'"""


def lines(settings: Settings, port: int, *, fresh_token: bool, log_file: str) -> str:
    """Return the lines; ``log_file`` is empty if there is none. A fresh token has its own ``curl`` line already."""
    host = _ANY.get(settings.host, settings.host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    rows = [("listening on", settings.unix_socket or url)]
    if not settings.unix_socket and settings.environment != "production":
        rows.append(("API, in a browser", f"{url}/docs"))
    if not fresh_token:
        rows.append(("to try it", _curl(settings, url)))
    rows += [("log", f"{log_file}, and here" if log_file else "here only"), ("to end it", "Ctrl-C")]
    return "".join(f"  {name:18} {value}\n" for name, value in rows)


def _curl(settings: Settings, url: str) -> str:
    words = ["curl"]
    if settings.token_file:
        words += ["-H", f'"Authorization: Bearer $(cat {shlex.quote(settings.token_file)})"']
    elif settings.token:
        words += ["-H", '"Authorization: Bearer $TOOLBOX_TOKEN"']
    if settings.unix_socket:
        words += ["--unix-socket", shlex.quote(settings.unix_socket)]
        url = "http://localhost"
    return f"{' '.join(words)} {url}{_TRY}"
