"""The built image, started for real: ``make e2e`` builds it and names it and the engine in the environment."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

IMAGE = os.environ.get("TOOLBOX_IMAGE", "")
ENGINE = os.environ.get("TOOLBOX_ENGINE", "podman")


@dataclasses.dataclass
class Box:
    """A running container."""

    name: str
    port: int

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, body=data, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def run(self, command: str, **fields: object) -> dict[str, Any]:
        status, answer = self.request("POST", "/process/execute", {"command": command, **fields})
        assert status == 200, answer
        return dict(answer)

    def logs(self) -> str:
        done = engine("logs", self.name)
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        return dict(json.loads(engine("inspect", self.name).stdout)[0]["State"])


def engine(*argv: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the container engine."""
    # Podman's monitor leaves a note where it was started when a container runs out of memory.
    folder = tempfile.gettempdir()
    done = subprocess.run([ENGINE, *argv], capture_output=True, text=True, timeout=timeout, cwd=folder)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session", autouse=True)
def image() -> dict[str, Any]:
    """Return what the engine knows of the image under test."""
    if not IMAGE:
        pytest.skip("no image to try: run make e2e")
    return dict(json.loads(engine("image", "inspect", IMAGE).stdout)[0])


@pytest.fixture
def start(image: dict[str, Any]) -> Iterator[Callable[..., Box]]:
    """Return a function that starts a container and waits until it answers."""
    names: list[str] = []

    def run(*options: str, command: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Box:
        values = {"TOOLBOX_INSECURE_NO_AUTH": "1", **(env or {})}
        settings = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        name = engine("run", "-d", "-p", "127.0.0.1::2280", *settings, *options, IMAGE, *command).stdout.strip()
        names.append(name)
        port = int(engine("port", name, "2280").stdout.split(":")[-1])
        box = Box(name, port)
        wait_until(lambda: answers(box))
        return box

    yield run
    for name in names:
        engine("rm", "-f", name, check=False)


def answers(box: Box) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return box.request("GET", "/version")[0] == 200
    return False


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Poll something outside of our processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true in time"
        time.sleep(0.02)
