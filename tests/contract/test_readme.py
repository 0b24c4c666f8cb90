"""The README's Python example, run as it stands against a server of its own."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from tests.contract.conftest import Target
from tests.daemon_process import environment

ROOT = pathlib.Path(__file__).parents[2]
MARK = "<!-- tested: tests/contract/test_readme.py -->"


def example() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(re.escape(MARK) + r"\n```python\n(.*?)```", text, re.DOTALL)
    assert found, f"no python block after {MARK}"
    return found[1]


def test_sdk_example_runs(target: Target, tmp_path: pathlib.Path) -> None:
    """Its asserts are the test; only the port differs."""
    code = example()
    assert "http://127.0.0.1:2280" in code
    script = tmp_path / "example.py"
    script.write_text(code.replace("http://127.0.0.1:2280", target.url), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, text=True, env=environment(tmp_path), timeout=15
    )
    assert done.returncode == 0, done.stderr
