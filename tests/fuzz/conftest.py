"""A daemon that may be told to do anything: everything outside its own folder is read-only to it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.daemon_process import Process, serving
from tests.fuzz import jail

JAIL = str(pathlib.Path(jail.__file__))


@pytest.fixture
def jailed(tmp_path: pathlib.Path) -> Iterator[Process]:
    """Serve where random commands, deletions and signals do no harm, or skip where that cannot be had."""
    cell = tmp_path / "cell"
    temporary = cell / "tmp"
    temporary.mkdir(parents=True)
    inside = [sys.executable, "-I", JAIL, str(cell)]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True)
    if tried.returncode == jail.REFUSED:
        pytest.skip(f"the kernel gives us no jail, and an open daemon must not be fuzzed: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    with serving(cell, inside=inside, TMPDIR=str(temporary)) as process:
        furnish(process.workdir)
        yield process


def furnish(folder: pathlib.Path) -> None:
    """Put one of each kind of thing there; the names are those in hooks.py."""
    (folder / "a.txt").write_text("hello\n", encoding="utf-8")
    (folder / "folder").mkdir()
    (folder / "folder" / "b.bin").write_bytes(bytes(range(256)) * 10_000)
    (folder / "link").symlink_to("a.txt")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"bad\xffname")).touch()
