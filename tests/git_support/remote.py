"""A remote over HTTP(S): ``git http-backend`` behind a small server that can also misbehave. Loopback only.

The first part of a path says how the server behaves; the rest is a bare repository below ``root``:
``/open/x.git``, ``/auth/x.git`` (Basic), ``/readonly/x.git`` (pushing is forbidden), ``/status/503/x.git`` (with
``words``), ``/moved/x.git`` (redirect to ``/auth`` of this host), ``/away/x.git`` (redirect to another host),
``/hang/x.git``, ``/reset/x.git``, ``/empty/x.git`` (closes at once), ``/cut/x.git`` (breaks off in the middle
of the pack), ``/slow/x.git`` (Basic; holds the pack until ``released``). Below ``/auth/x.git/info/lfs`` are the large
files of git-lfs, below ``/object/`` their content.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, TOKEN = "octocat", "tok+en/With%Odd:chars=="
RST = struct.pack("ii", 1, 0)


class Handler(BaseHTTPRequestHandler):
    """Serve one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        kind, _, rest = self.path.lstrip("/").partition("/")
        getattr(self, f"_{kind}", self._missing)(rest)

    def _missing(self, _: str) -> None:
        self._plain(404)

    def _open(self, rest: str) -> None:
        self._backend(rest)

    def _auth(self, rest: str) -> None:
        if self.headers.get("Authorization") == self.server.basic:
            self._large(rest) if "/info/lfs/" in rest else self._backend(rest)
        else:
            self._body()
            self._plain(401, {"WWW-Authenticate": 'Basic realm="tests"'})

    def _readonly(self, rest: str) -> None:
        if "receive-pack" in self.path:
            self._plain(403)
        else:
            self._backend(rest)

    def _status(self, rest: str) -> None:
        self._body()
        self.send_response(int(rest.partition("/")[0]))
        words = self.server.words.encode()
        headers = {"Content-Type": "text/plain", "WWW-Authenticate": 'Basic realm="tests"'}
        for name, value in {**headers, "Content-Length": str(len(words))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(words)

    def _empty(self, _: str) -> None:
        self.close_connection = True

    def _moved(self, rest: str) -> None:
        self._plain(302, {"Location": f"{self.server.url}/auth/{rest}"})

    def _away(self, rest: str) -> None:
        self._plain(302, {"Location": f"{self.server.elsewhere}/auth/{rest}"})

    def _hang(self, _: str) -> None:
        self.server.hanging.set()
        self.server.released.wait(60)
        self.close_connection = True

    def _reset(self, _: str) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        self.connection.close()
        self.close_connection = True

    def _cut(self, rest: str) -> None:
        self._backend(rest, cut="upload-pack" in self.path and self.command == "POST" and self._is_fetch())

    def _is_fetch(self) -> bool:
        self._sent = self._body()
        return b"want " in self._sent

    def _slow(self, rest: str) -> None:
        """Require credentials, and hold packs back until released."""
        body = self._sent = self._body()
        if self.headers.get("Authorization") != self.server.basic:
            self._plain(401, {"WWW-Authenticate": 'Basic realm="tests"'})
            self._sent = None
            return
        if self.command == "POST" and (b"command=fetch" in body or "receive-pack" in self.path):
            self.server.hanging.set()
            self.server.released.wait(60)
        self._backend(rest)

    def _large(self, rest: str) -> None:
        """Answer git-lfs: where to fetch or store objects; nothing about locks."""
        if not rest.endswith("/objects/batch"):
            self._body()
            self._plain(404)
            return
        asked = json.loads(self._body())
        found = []
        for one in asked["objects"]:
            there, verb = one["oid"] in self.server.objects, asked["operation"]
            if verb == "download" and not there:
                found.append({**one, "error": {"code": 404, "message": "object is gone"}})
            elif verb == "download" or not there:
                found.append({**one, "actions": {verb: {"href": f"{self.server.url}/object/{one['oid']}"}}})
            else:
                found.append(one)
        self._json({"transfer": "basic", "objects": found})

    def _object(self, oid: str) -> None:
        if self.command == "PUT":
            self.server.objects[oid] = self._body()
            self._plain(200)
            return
        data = self.server.objects[oid]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _plain(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    _sent: bytes | None = None

    def _backend(self, rest: str, *, cut: bool = False) -> None:
        body, self._sent = (self._body() if self._sent is None else self._sent), None
        path, _, query = rest.partition("?")
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=self._variables(path, query, len(body)), capture_output=True
        )
        head, _, data = answer.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.connection.settimeout(None)  # it would be for all of the data together
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.connection.settimeout(self.timeout)
        self.close_connection = self.close_connection or cut

    def _variables(self, path: str, query: str, length: int) -> dict[str, str]:
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": f"/{path}",
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.server.root),
        }
        for name, header in (("HTTP_CONTENT_ENCODING", "Content-Encoding"), ("GIT_PROTOCOL", "Git-Protocol")):
            if header in self.headers:
                variables[name] = self.headers[header]
        return variables


class Server(ThreadingHTTPServer):
    """Serve bare repositories."""

    # Closing waits for every handler, so that no process of a handler outlives its test.
    daemon_threads = False
    block_on_close = True

    def __init__(self, root: pathlib.Path, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.root = root
        self.url = f"{'https' if tls else 'http'}://{host}:{self.server_address[1]}"
        self.elsewhere = ""
        self.words = ""
        self.basic = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        self.seen: list[tuple[str, str | None]] = []
        self.objects: dict[str, bytes] = {}
        self.hanging = threading.Event()
        self.released = threading.Event()

    def handle_error(self, *_: Any) -> None:
        pass

    @property
    def authorizations(self) -> list[str]:
        """Return every Authorization header received."""
        return [value for _, value in self.seen if value]


@contextlib.contextmanager
def serving(root: pathlib.Path, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve until the block ends."""
    server = Server(root, host, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(folder: pathlib.Path) -> tuple[ssl.SSLContext, pathlib.Path]:
    """Make a self-signed certificate for loopback; return a server's context and the certificate."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", "req", "-x509", *kind, *files, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


@contextlib.contextmanager
def serving_ssh(folder: pathlib.Path) -> Iterator[int]:
    """Serve the repositories of this machine over SSH, with the keys in ``folder``; yields the port."""
    folder.mkdir()
    command = [sys.executable, str(pathlib.Path(__file__).with_name("ssh_remote.py")), str(folder)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        yield int(program.stdout.readline())
    finally:
        program.terminate()
        program.wait(15)
        program.stdout.close()
