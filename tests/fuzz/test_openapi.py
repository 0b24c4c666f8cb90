"""Schemathesis against our own description of ourselves: no input gives a 5xx, a wrong shape or a hang."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import pytest

from tests.daemon_process import Process

# What must hold for any request at all. The checks that guess which data a server ought to refuse are left out: a path
# that looks wrong to a schema is still a file name.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "missing_required_header",
)
SECONDS_PER_REQUEST = 10
ROOT = pathlib.Path(__file__).parents[2]


def fuzz(server: Process, folder: pathlib.Path, seconds: int, seed: int) -> None:
    """Run schemathesis until the time is up; fail with its whole report."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--max-time", str(seconds), "--seed", str(seed), "--checks", ",".join(CHECKS)),
            *("--request-timeout", str(SECONDS_PER_REQUEST), "--continue-on-failure", "--no-color"),
            *("--generation-database", "none", "--warnings", "off"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
        timeout=seconds + 120,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def answer_seconds(server: Process) -> float:
    """Return the median time of a small answer."""

    def one() -> float:
        started = time.perf_counter()
        assert json.loads(server.get("/version"))["version"]
        return time.perf_counter() - started

    return statistics.median(one() for _ in range(21))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_request_breaks_the_daemon(jailed: Process, tmp_path: pathlib.Path) -> None:
    before = answer_seconds(jailed)
    fuzz(jailed, tmp_path, seconds=45, seed=1)
    assert answer_seconds(jailed) < 5 * before


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_no_request_breaks_the_daemon_in_two_minutes(jailed: Process, tmp_path: pathlib.Path) -> None:
    before = answer_seconds(jailed)
    fuzz(jailed, tmp_path, seconds=120, seed=int(time.time()))
    assert answer_seconds(jailed) < 5 * before
