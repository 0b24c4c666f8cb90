"""The members of an archive of a tree that changes meanwhile."""

from __future__ import annotations

import os
import pathlib

from toolbox.fs import archive


def test_entries_deleted_meanwhile_are_skipped(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / name).touch()
    members = archive._members(os.fsencode(root), [])
    assert next(members)[0] == b"a"
    (root / "b").unlink()
    assert [name for name, _, _ in members] == [b"c"]


def test_link_as_root_is_packed_as_its_target(tmp_path: pathlib.Path) -> None:
    """Contents are opened without following links, so the member has to be the file itself."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    [(name, path, _)] = archive._members(os.fsencode(tmp_path / "link"), [])
    assert (name, path) == (b"link", os.fsencode(tmp_path / "file"))
