"""Remove trees that are deep, linked, and partly protected."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from toolbox.host.removal import remove
from toolbox.host.syscalls import rename_checked, rename_new


def test_depth_has_no_limit(tmp_path: pathlib.Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("deeper", dir_fd=fd)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    remove(os.fsencode(top), recursive=True)
    assert not top.exists()


def test_links_are_removed_and_not_followed(tmp_path: pathlib.Path) -> None:
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    (outside / "precious").touch()
    top.mkdir()
    (top / "link").symlink_to(outside)
    (top / "broken").symlink_to("nowhere")
    (top / "loop").symlink_to("loop")
    os.mkfifo(top / "fifo")
    remove(os.fsencode(top), recursive=True)
    assert (outside / "precious").exists()
    assert not top.exists()


def test_one_protected_entry_does_not_save_its_siblings(tmp_path: pathlib.Path) -> None:
    """A mount point cannot be removed; everything beside it can."""
    top = tmp_path / "top"
    for name in ("a", "m", "z"):
        (top / name).mkdir(parents=True)
        (top / name / "file").touch()
    if os.system(f"mount -t tmpfs none {top}/m 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(OSError, match="busy") as caught:
            remove(os.fsencode(top), recursive=True)
        assert caught.value.filename == os.fsencode(top / "m")
        assert os.listdir(top) == ["m"]
    finally:
        os.system(f"umount {top}/m")


def test_directory_needs_the_flag(tmp_path: pathlib.Path) -> None:
    with pytest.raises(IsADirectoryError):
        remove(os.fsencode(tmp_path), recursive=False)


@pytest.mark.parametrize("rename", [rename_new, rename_checked], ids=["kernel", "checked"])
@pytest.mark.parametrize("taken", ["file", "directory", "broken link"])
def test_rename_never_replaces(tmp_path: pathlib.Path, taken: str, rename: Callable[[bytes, bytes], None]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    {"file": target.touch, "directory": target.mkdir, "broken link": lambda: target.symlink_to("x")}[taken]()
    for make in (source.mkdir, source.touch):
        make()
        with pytest.raises(FileExistsError):
            rename(os.fsencode(source), os.fsencode(target))
        remove(os.fsencode(source), recursive=True)
    source.touch()
    rename(os.fsencode(source), os.fsencode(tmp_path / "free"))
    assert (tmp_path / "free").exists()
    assert not source.exists()
