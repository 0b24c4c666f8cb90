"""Atomic writes: what is there before, meanwhile and after, on real files."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import subprocess
import threading
from collections.abc import Iterator

import pytest

from toolbox.errors import InvalidPath
from toolbox.host.files import Draft, Source
from toolbox.host.journal import Journal, temporary_name


@pytest.fixture
def journal(tmp_path: pathlib.Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "state"))
    yield journal
    journal.close()


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture(params=["unnamed", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with and without a file system that knows O_TMPFILE."""
    if request.param == "named":
        # The flag of a directory that must not exist gives the same answer as a file system without support.
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_RDWR)
    return request.param


def write(path: pathlib.Path, data: bytes, journal: Journal) -> None:
    draft = Draft(os.fsencode(path), journal)
    draft.write(data)
    draft.commit()


def names(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_new_file_appears_complete(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    draft = Draft(os.fsencode(folder / "a"), journal)
    draft.write(b"one ")
    assert "a" not in names(folder)
    draft.write(b"two")
    assert draft.commit() == 7
    assert (folder / "a").read_bytes() == b"one two"
    assert names(folder) == ["a"]


def test_new_file_follows_the_umask(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    before = os.umask(0o027)
    try:
        write(folder / "a", b"x", journal)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o640


def test_existing_file_keeps_mode_owner_and_attributes(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o4751)
    os.setxattr(path, "user.mine", b"kept")
    write(path, b"new", journal)
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4751, 1234, 2345)
    assert os.getxattr(path, "user.mine") == b"kept"
    assert path.read_bytes() == b"new"
    assert names(folder) == ["a"]


def test_old_content_stays_until_commit_and_after_abort(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    path = folder / "a"
    path.write_bytes(b"old")
    draft = Draft(os.fsencode(path), journal)
    draft.write(b"half of")
    assert path.read_bytes() == b"old"
    draft.abort()
    draft.abort()
    assert path.read_bytes() == b"old"
    assert names(folder) == ["a"]


def test_abort_takes_back_the_parents_it_made(folder: pathlib.Path, journal: Journal) -> None:
    draft = Draft(os.fsencode(folder / "x" / "y" / "z"), journal)
    draft.write(b"data")
    draft.abort()
    assert names(folder) == []


def test_link_stays_a_link(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    (folder / "real").write_bytes(b"old")
    (folder / "link").symlink_to("real")
    write(folder / "link", b"new", journal)
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_bytes() == b"new"


def test_dangling_link_makes_its_target(folder: pathlib.Path, journal: Journal) -> None:
    (folder / "link").symlink_to("later")
    write(folder / "link", b"new", journal)
    assert (folder / "link").is_symlink()
    assert (folder / "later").read_bytes() == b"new"


def test_hard_links_stay_together(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    (folder / "a").write_bytes(b"a long old content")
    os.link(folder / "a", folder / "b")
    write(folder / "a", b"new", journal)
    assert (folder / "b").read_bytes() == b"new"
    assert (folder / "a").stat().st_ino == (folder / "b").stat().st_ino
    assert names(folder) == ["a", "b"]


def test_last_of_two_writers_wins_whole(folder: pathlib.Path, journal: Journal, kind: str) -> None:
    first, second = (Draft(os.fsencode(folder / "a"), journal) for _ in range(2))
    first.write(b"first " * 1000)
    second.write(b"second")
    first.commit()
    second.commit()
    assert (folder / "a").read_bytes() == b"second"
    assert names(folder) == ["a"]


def test_threads_never_see_a_mixture(folder: pathlib.Path, journal: Journal) -> None:
    path = folder / "a"
    contents = [bytes([number]) * 100_000 for number in range(4)]
    write(path, contents[0], journal)
    seen: set[bytes] = set()

    def writer(content: bytes) -> None:
        for _ in range(20):
            write(path, content, journal)

    threads = [threading.Thread(target=writer, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.add(path.read_bytes())
    for thread in threads:
        thread.join()
    assert seen <= set(contents)
    assert names(folder) == ["a"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_only_files_are_written(folder: pathlib.Path, journal: Journal, make: object) -> None:
    make(folder / "a")  # type: ignore[operator]
    with pytest.raises(InvalidPath):
        Draft(os.fsencode(folder / "a"), journal)


def test_file_as_parent_is_reported(folder: pathlib.Path, journal: Journal) -> None:
    (folder / "file").touch()
    with pytest.raises(OSError, match="ot a directory"):
        Draft(os.fsencode(folder / "file" / "x"), journal)


def test_more_than_the_disk_holds_is_refused_at_once(folder: pathlib.Path, journal: Journal) -> None:
    with pytest.raises(OSError, match="no space left") as caught:
        Draft(os.fsencode(folder / "deep" / "a"), journal, expected=2**60)
    assert caught.value.errno == errno.ENOSPC
    assert names(folder) == []


def test_mount_point_is_overwritten_in_place(folder: pathlib.Path, journal: Journal) -> None:
    """Containers bind-mount single files such as /etc/hosts; a rename onto those fails with EBUSY."""
    (folder / "source").write_bytes(b"a long old content")
    (folder / "target").touch()
    mounted = subprocess.run(["mount", "--bind", folder / "source", folder / "target"], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        write(folder / "target", b"new", journal)
        assert (folder / "source").read_bytes() == b"new"
        assert names(folder) == ["source", "target"]
    finally:
        subprocess.run(["umount", folder / "target"], check=True)


def test_sweep_removes_what_a_dead_daemon_recorded(tmp_path: pathlib.Path) -> None:
    state = str(tmp_path / "state")
    left, foreign = tmp_path / os.fsdecode(temporary_name()), tmp_path / "precious"
    left.write_bytes(b"half")
    foreign.touch()
    tree = tmp_path / os.fsdecode(temporary_name())
    (tree / "deep").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    recorded = b"".join(os.fsencode(path) + b"\0" for path in (left, foreign, tree, tmp_path / "gone"))
    (tmp_path / "state" / "temporary-0.journal").write_bytes(recorded)
    journal = Journal(state)
    assert journal.start() == 2
    journal.close()
    assert not left.exists()
    assert not tree.exists()
    assert foreign.exists()


def test_close_removes_what_is_still_under_way(tmp_path: pathlib.Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    path = tmp_path / os.fsdecode(temporary_name())
    journal.add(os.fsencode(path))
    path.touch()
    journal.close()
    assert not path.exists()


def test_sweep_leaves_a_living_daemon_alone(tmp_path: pathlib.Path) -> None:
    living, second = Journal(str(tmp_path / "state")), Journal(str(tmp_path / "state"))
    path = tmp_path / os.fsdecode(temporary_name())
    living.add(os.fsencode(path))
    path.touch()
    assert second.start() == 0
    assert path.exists()
    second.close()
    living.close()


def test_journal_is_empty_when_nothing_is_under_way(tmp_path: pathlib.Path) -> None:
    journal = Journal(str(tmp_path))
    path = os.fsencode(tmp_path / "x")
    journal.add(path)
    assert (tmp_path / "temporary-0.journal").stat().st_size > 0
    journal.drop(path)
    assert (tmp_path / "temporary-0.journal").stat().st_size == 0
    journal.close()


def test_unwritable_state_directory_is_survived(folder: pathlib.Path) -> None:
    journal = Journal("/proc/nowhere")
    write(folder / "a", b"x", journal)
    write(folder / "a", b"y", journal)
    assert (folder / "a").read_bytes() == b"y"
    journal.close()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_only_regular_files_are_read(folder: pathlib.Path, make: object) -> None:
    make(folder / "a")  # type: ignore[operator]
    with pytest.raises(InvalidPath):
        Source(os.fsencode(folder / "a"))


def test_source_of_proc_reads_to_its_end() -> None:
    source = Source(b"/proc/filesystems")
    assert source.head == pathlib.Path("/proc/filesystems").read_bytes()
    source.close()


def test_source_knows_the_length_of_large_files(folder: pathlib.Path) -> None:
    (folder / "a").write_bytes(b"x" * 100_000)
    source = Source(os.fsencode(folder / "a"))
    assert (source.size, source.head) == (100_000, b"")
    assert source.read(10, 99_995) == b"x" * 5
    source.close()
