"""What goes into an archive while the tree changes below it."""

from __future__ import annotations

import os
import pathlib

from toolbox.fs import archive


def test_entries_that_vanish_meanwhile_are_left_out(tmp_path: pathlib.Path) -> None:
    names = {b"a", b"b", b"c"}
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    members = archive._members(os.fsencode(tmp_path), [])
    left = names - {next(members)[0]}
    gone = left.pop()
    (tmp_path / os.fsdecode(gone)).unlink()
    assert [name for name, _, _ in members] == list(left)


def test_link_to_a_file_is_packed_as_what_it_names(tmp_path: pathlib.Path) -> None:
    """Contents are opened without following links, so the member has to be the file itself."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    [(name, path, _)] = archive._members(os.fsencode(tmp_path / "link"), [])
    assert (name, path) == (b"link", os.fsencode(tmp_path / "file"))
