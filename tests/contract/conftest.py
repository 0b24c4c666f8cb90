"""Real SDK objects against a real server process; nothing is mocked.

``sdk``, ``async_sdk``: a sandbox of the newest Python SDK. ``ts(body)``: run the body of an async function with
``sandbox``, ``daytona`` and ``sdk``, and return what it returns. ``old_sdk(version, code)``: run Python with an older
release; the code has ``sandbox`` and leaves what the test wants in ``result``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.daemon_process import environment, serving

ROOT = pathlib.Path(__file__).parents[2]
SDKS = ROOT / ".cache" / "sdk"
OLD_VERSIONS = ("0.25.6", "0.115.2", "0.150.0", "0.166.0")
TS = SDKS / "ts" / "node_modules"


@dataclasses.dataclass(frozen=True)
class Target:
    """The server under test and the control plane that leads to it."""

    url: str
    api_url: str
    home: pathlib.Path
    workdir: pathlib.Path
    pid: int


@pytest.fixture(autouse=True)
def leak_guard() -> None:
    """Leave the SDKs' pooled sockets and threads alone; the server is another process."""


@contextlib.contextmanager
def control_plane(url: str, home: pathlib.Path) -> Iterator[str]:
    """Run the control plane that leads to the server at ``url``; yield its own URL."""
    program = str(pathlib.Path(__file__).with_name("control_plane.py"))
    plane = subprocess.Popen([sys.executable, program, url], stdout=subprocess.PIPE, text=True, env=environment(home))
    assert plane.stdout is not None
    try:
        yield plane.stdout.readline().strip()
    finally:
        plane.terminate()
        plane.wait(15)
        plane.stdout.close()


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Start the daemon and the control plane once for all contract tests."""
    with (
        serving(tmp_path_factory.mktemp("daemon") / "box") as served,
        control_plane(served.url, served.home) as api_url,
    ):
        yield Target(served.url, api_url, served.home, served.workdir, served.pid)


@pytest.fixture
def sdk_environment(monkeypatch: pytest.MonkeyPatch, target: Target, tmp_path: pathlib.Path) -> dict[str, str]:
    """Set what every SDK reads from its environment."""
    values = {
        "DAYTONA_API_KEY": "test-key",
        "DAYTONA_API_URL": target.api_url,
        "DAYTONA_SERVER_URL": target.api_url,
        "DAYTONA_TARGET": "local",
        "DAYTONA_USE_DEPRECATED_POLLING": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return {**os.environ, **values}


@pytest.fixture
def sdk(sdk_environment: dict[str, str], target: Target) -> Any:
    """Return a sandbox of the newest sync Python SDK."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from daytona import Daytona, DaytonaConfig

        config = DaytonaConfig(api_key="test-key", api_url=target.api_url)
        return Daytona(config).get("box")


@pytest.fixture
async def async_sdk(sdk_environment: dict[str, str], target: Target) -> AsyncIterator[Any]:
    """Return a sandbox of the newest async Python SDK."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from daytona import AsyncDaytona, DaytonaConfig

        config = DaytonaConfig(api_key="test-key", api_url=target.api_url)
        daytona = AsyncDaytona(config)
    yield await daytona.get("box")
    await daytona.close()


_TS_DRIVER = """
const sdk = require('@daytonaio/sdk');
(async () => {{
  const daytona = new sdk.Daytona({{apiKey: 'test-key', apiUrl: process.env.DAYTONA_API_URL}});
  const sandbox = await daytona.get('box');
  const result = await (async () => {{ {body} }})();
  process.stdout.write('\\n@@' + JSON.stringify(result === undefined ? null : result) + '\\n', () => process.exit(0));
}})().catch((error) => {{ console.error(error); process.exit(1); }});
"""


def _node() -> str | None:
    beside = pathlib.Path(sys.executable).with_name("node")
    return shutil.which("node") or (str(beside) if beside.exists() else None)


def _answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.rpartition("@@")[2])


@pytest.fixture
def ts(sdk_environment: dict[str, str], tmp_path: pathlib.Path) -> Callable[[str], Any]:
    """Return a function that runs JavaScript with the TypeScript SDK."""
    node = _node()
    if node is None or not TS.exists():
        pytest.skip("node or the typescript sdk is not installed: run scripts/sdks.sh")

    def run(body: str, timeout: float = 60) -> Any:
        script = tmp_path / "driver.cjs"
        script.write_text(_TS_DRIVER.format(body=body), encoding="utf-8")
        environ = {**sdk_environment, "NODE_PATH": str(TS)}
        return _answer(
            subprocess.run([node, str(script)], capture_output=True, text=True, env=environ, timeout=timeout)
        )

    return run


# One process per release for all tests: importing an old SDK takes up to seven seconds. What is printed on the way goes
# to standard error, so that every line of standard output is an answer.
_OLD_DRIVER = """
import json, os, sys, traceback, warnings
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
warnings.simplefilter("ignore")
from daytona import Daytona
for line in sys.stdin:
    try:
        daytona = Daytona()
        sandbox = daytona.get("box") if hasattr(daytona, "get") else daytona.get_current_sandbox("box")
        names = {"daytona": daytona, "sandbox": sandbox, "result": None}
        exec(json.loads(line), names)
        answer = json.dumps({"result": names["result"]})
    except BaseException:
        answer = json.dumps({"error": traceback.format_exc()})
    print(answer, file=answers, flush=True)
"""


class OldSdk:
    """A process that has imported an older release of the SDK and runs code with it."""

    def __init__(self, python: pathlib.Path, environ: dict[str, str], folder: pathlib.Path) -> None:
        command = [python, "-I", "-c", _OLD_DRIVER]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ, cwd=folder)

    def run(self, code: str) -> Any:
        """Return what the code leaves in ``result``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the process has ended"}')
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            process.kill()


@pytest.fixture(scope="session")
def old_sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OldSdk]]:
    """Hold the processes that were started so far, by version."""
    found: dict[str, OldSdk] = {}
    yield found
    for each in found.values():
        each.close()


@pytest.fixture
def old_sdk(
    old_sdks: dict[str, OldSdk], sdk_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Any]:
    """Return a function that runs Python code with an older release of the SDK."""

    def run(version: str, code: str) -> Any:
        python = SDKS / f"py-{version}" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"sdk {version} is not installed: run scripts/sdks.sh")
        if version not in old_sdks:
            folder = tmp_path_factory.mktemp(f"sdk-{version}")
            old_sdks[version] = OldSdk(python, {**sdk_environment, "HOME": str(folder)}, folder)
        try:
            return old_sdks[version].run(code)
        except AssertionError:
            raise
        except BaseException:  # a test that took too long: the next one must not get its answer
            old_sdks.pop(version).close()
            raise

    return run
