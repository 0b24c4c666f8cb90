"""The curl examples of the README, run unchanged against a real server."""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import shutil

import pytest

from tests.conftest import Running

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCK = re.search(r"tests/http/test_readme.py -->\n```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = BLOCK[1].splitlines() if BLOCK else []

# The check of the output of each example, in order.
SHOWN = [
    lambda text: json.loads(text)["version"],
    lambda text: json.loads(text)["dir"],
    lambda text: json.loads(text) == {"exitCode": 0, "result": "hello\nLinux\n"},
    lambda text: json.loads(text)["code"] == "PROCESS_EXECUTION_TIMEOUT",
    lambda text: [line for line in text.splitlines() if line.startswith("event: ")][-1] == "event: exit",
    lambda text: json.loads(text)["message"],
    lambda text: json.loads(text)["result"] == "hi\n",
    lambda text: json.loads(text)["limits"]["cpus"] == 1,
    lambda text: json.loads(text)[0]["state"] == "running",
    lambda text: not text,
    lambda text: "cmdId" in json.loads(text),
    lambda text: json.loads(text)["stdout"] == "1\n/tmp\n" and json.loads(text)["exitCode"] == 1,
    lambda text: json.loads(text) == {"sessionId": "term"},
    lambda text: json.loads(text)["reason"] == "quiet",
    lambda text: json.loads(text) == {"exitCode": 0, "result": "['a b']\n"},
    lambda text: json.loads(text)["memTotal"] > 0,
    lambda text: json.loads(text)["openapi"] == "3.1.0",
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_examples_show_what_they_promise(server: Running) -> None:
    assert len(COMMANDS) == len(SHOWN)
    for command, holds in zip(COMMANDS, SHOWN, strict=True):
        line = command.replace("http://127.0.0.1:2280", server.url).replace("curl", "curl -sS", 1)
        process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0, command
        assert holds(output.decode()), f"{command}\n{output.decode()}"
