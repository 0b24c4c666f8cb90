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


_OLD_DRIVER = """
import json, warnings
warnings.simplefilter("ignore")
from daytona import Daytona
daytona = Daytona()
sandbox = daytona.get("box") if hasattr(daytona, "get") else daytona.get_current_sandbox("box")
result = None
{code}
print("\\n@@" + json.dumps(result))
"""


@pytest.fixture
def old_sdk(sdk_environment: dict[str, str], tmp_path: pathlib.Path) -> Callable[[str, str], Any]:
    """Return a function that runs Python code with an older release of the SDK."""

    def run(version: str, code: str) -> Any:
        python = SDKS / f"py-{version}" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"sdk {version} is not installed: run scripts/sdks.sh")
        script = tmp_path / "old.py"
        script.write_text(_OLD_DRIVER.format(code=code), encoding="utf-8")
        return _answer(
            subprocess.run([python, "-I", str(script)], capture_output=True, text=True, env=sdk_environment, timeout=60)
        )

    return run
