from __future__ import annotations

import os
import pathlib

import pytest

from toolbox.host.syscalls import mount_known, stat_known

pytestmark = pytest.mark.skipif(stat_known("/") is None, reason="kernel is older than 5.12")


def test_what_the_kernel_knows_is_told_without_asking_the_disk(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "f\udcff\u00fc"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link", tmp_path / "link" / ".."):
        # Following a link for the first time is noted on the disk.
        expected = os.stat(path)
        assert stat_known(str(path)) == expected


def test_what_is_not_there_is_not_known(tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert [stat_known(str(tmp_path / name)) for name in ("none", "none/below", "x" * 300)] == [None] * 3
    (tmp_path / "loop").symlink_to("loop")
    assert stat_known(str(tmp_path / "loop")) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_mounts_are_told_apart(tmp_path: pathlib.Path) -> None:
    (tmp_path / "below").mkdir()
    assert mount_known(str(tmp_path)) == mount_known(str(tmp_path / "below")) is not None
    assert mount_known(str(tmp_path)) != mount_known("/proc") is not None
    assert mount_known(str(tmp_path / "none")) is None
