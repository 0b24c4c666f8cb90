"""Smart HTTP for the benchmark of git: ``git http-backend``, streamed both ways as a web server would."""

from __future__ import annotations

import shutil
import subprocess
from http.server import BaseHTTPRequestHandler
from typing import Any


class Backend(BaseHTTPRequestHandler):
    """Pass a request on to ``git http-backend``."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, root: str, env: dict[str, str]) -> None:
        self._root = root
        self._env = env
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        variables = {
            **self._env,
            "GIT_PROJECT_ROOT": self._root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        if "Content-Encoding" in self.headers:
            variables["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        with subprocess.Popen(["git", "http-backend"], stdin=-1, stdout=-1, env=variables) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(body)
            process.stdin.close()
            self._answer(process.stdout)

    def _answer(self, source: Any) -> None:
        headers = {}
        while line := source.readline().strip().decode():
            name, _, value = line.partition(": ")
            headers[name] = value
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        shutil.copyfileobj(source, self.wfile, 1 << 18)
        self.close_connection = True
