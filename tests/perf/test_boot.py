"""What a start costs: imports, CPU time, and how long until somebody is answered."""

from __future__ import annotations

import pathlib
import pkgutil
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

import toolbox
from tests.daemon_process import Process, serving
from tests.perf.budgets import BANNED_AT_BOOT, BUDGETS
from tests.perf.conftest import BUILD, cpu_of, fresh, least, wall_of

pytestmark = pytest.mark.alone

# What runs in the user's interpreter is a program of its own, not a part of the daemon.
ELSEWHERE = ("__main__", "payload")
MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(toolbox.__path__, "toolbox.")
    if not any(part in ELSEWHERE for part in name.split("."))
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return the modules that are loaded once the daemon is built."""
    return set(fresh(BUILD + "import sys; result = sorted(sys.modules)"))


def test_no_slow_library_is_loaded_at_boot(loaded: set[str]) -> None:
    assert not BANNED_AT_BOOT & loaded


def test_boot_loads_few_modules_of_ours(loaded: set[str]) -> None:
    assert len([name for name in loaded if name.startswith("toolbox")]) <= BUDGETS.own_modules_at_boot


@pytest.mark.soak
def test_building_the_daemon_costs_little_more_than_aiohttp() -> None:
    """Take turns, so that a drift of the machine meets both."""
    pairs = [(cpu_of("from aiohttp import web"), cpu_of(BUILD)) for _ in range(6)]
    aiohttp, ours = (min(column) for column in zip(*pairs, strict=True))
    assert ours / aiohttp <= BUDGETS.boot_over_aiohttp, f"{ours * 1000:.0f} ms over {aiohttp * 1000:.0f} ms"


def cpu_to_first_answer(folder: pathlib.Path) -> float:
    with serving(folder) as process:
        process.get("/version")
        threads = pathlib.Path(f"/proc/{process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


@pytest.mark.slow
@pytest.mark.soak
def test_cpu_to_the_first_answer(tmp_path: pathlib.Path) -> None:
    aiohttp = least(lambda: cpu_of("from aiohttp import web"))
    ours = min(cpu_to_first_answer(tmp_path / str(turn)) for turn in range(5))
    assert ours / aiohttp <= BUDGETS.first_answer_over_aiohttp, f"{ours * 1000:.0f} ms over {aiohttp * 1000:.0f} ms"


def port_accepts_after(process: Process) -> float:
    address = urlsplit(process.url)
    with socket.create_connection((address.hostname, address.port)):
        return time.perf_counter() - process.started


@pytest.mark.slow
@pytest.mark.soak
def test_first_answer_and_open_port_come_early(tmp_path: pathlib.Path) -> None:
    interpreter = least(lambda: wall_of("pass"), 8)
    ports, answers, imports = [], [], []
    for turn in range(6):
        imports.append(wall_of("from aiohttp import web"))
        with serving(tmp_path / str(turn)) as process:
            ports.append(port_accepts_after(process))
            process.get("/version")
            answers.append(time.perf_counter() - process.started)
    assert min(ports) / interpreter <= BUDGETS.port_over_interpreter
    assert min(answers) / min(imports) <= BUDGETS.first_answer_wall_over_aiohttp


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_module_imports_alone_without_a_warning() -> None:
    """Each in a fresh process, so that none leans on what another has imported; a cycle shows here."""
    code = """
import importlib, os, sys
import aiohttp.web, msgspec
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code, *MODULES], capture_output=True, text=True, check=True
    )
    assert len(MODULES) > 50
    assert not done.stdout + done.stderr
