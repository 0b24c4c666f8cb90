"""The walk skips pseudo file systems directly below the root directory, and only there."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

WALK = """
import os, sys
from toolbox.fs.walk import Walk
found = []
os.chroot(sys.argv[1])
os.chdir("/")
Walk(sys.argv[2].encode(), lambda entry: found.append(os.fsdecode(entry.path))).work()
print(*sorted(found), sep="\\n")
"""
TREE = ("a/proc/x", "proc/1/environ", "sys/y", "dev/zero", "deep/sys/z")


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("/", ["/a", "/a/proc", "/a/proc/x", "/deep", "/deep/sys", "/deep/sys/z"]),
        ("/..", ["/../a", "/../a/proc", "/../a/proc/x", "/../deep", "/../deep/sys", "/../deep/sys/z"]),
        ("/proc", ["/proc/1", "/proc/1/environ"]),
        ("/a", ["/a/proc", "/a/proc/x"]),
    ],
)
def test_pseudo_file_systems_are_skipped_below_the_root(tmp_path: pathlib.Path, root: str, expected: list[str]) -> None:
    top = tmp_path / "top"
    for name in TREE:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"")
    done = subprocess.run([sys.executable, "-c", WALK, top, root], check=True, capture_output=True, text=True)
    assert done.stdout.split() == expected
