"""Globs, the scanner, the replacement and the diff, as pure functions."""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolbox.errors import BadRequest
from toolbox.fs.diff import Differ
from toolbox.fs.globs import Glob
from toolbox.fs.replacing import replaced
from toolbox.fs.scan import WINDOW, Hit, matcher, scan
from toolbox.host.files import Source

SMALL = st.binary(max_size=60).map(lambda data: bytes(b"ab\n"[byte % 3] for byte in data))


@pytest.mark.parametrize(
    ("pattern", "name", "relative", "expected"),
    [
        ("*.py", "a.py", "deep/a.py", True),
        ("*.py", ".py", ".py", True),
        ("*.py", "a.PY", "a.PY", False),
        ("a?c", "abc", "abc", True),
        ("a?c", "a😀c", "a😀c", True),
        ("?", "\udcff", "\udcff", True),
        ("[abc]", "b", "b", True),
        ("[a-c]x", "bx", "bx", True),
        ("[^a]", "b", "b", True),
        ("[!a]", "a", "a", False),
        ("[]]", "]", "]", True),
        ("[a\\]b]", "]", "]", True),
        (r"\*", "*", "*", True),
        (r"\*", "a", "a", False),
        ("a.c", "abc", "abc", False),
        ("**/*.py", "a.py", "a.py", True),
        ("**/*.py", "a.py", "x/y/a.py", True),
        ("src/*.py", "a.py", "src/a.py", True),
        ("src/*.py", "a.py", "src/x/a.py", False),
        ("src/**", "a.py", "src/x/a.py", True),
        ("*.{c,h}", "a.h", "a.h", True),
        ("*.{c,h}", "a.o", "a.o", False),
        ("{a,b{c,d}}", "bd", "bd", True),
        ("a\nb", "a\nb", "a\nb", True),
        ("*", "a\nb", "a\nb", True),
    ],
)
def test_globs(pattern: str, name: str, relative: str, expected: bool) -> None:
    assert Glob(pattern).matches(name, relative) is expected


@pytest.mark.parametrize("pattern", ["[", "[a", "a\\", "{a", "[z-a]"])
def test_bad_globs_are_named(pattern: str) -> None:
    with pytest.raises(BadRequest, match="invalid pattern"):
        Glob(pattern)


@given(st.text(alphabet="ab*?[]^!{},/\\-.", max_size=12), st.text(alphabet="ab/.", max_size=8))
def test_no_glob_is_a_bug(pattern: str, name: str) -> None:
    with contextlib.suppress(BadRequest):
        Glob(pattern).matches(name, name)


@given(st.lists(SMALL, max_size=6), SMALL.filter(bool), SMALL)
def test_replacement_does_not_depend_on_chunks(pieces: list[bytes], old: bytes, new: bytes) -> None:
    whole = b"".join(pieces)
    assert b"".join(replaced(iter(pieces), old[:3], new)) == whole.replace(old[:3], new)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), old=SMALL.filter(bool), new=SMALL)
def test_diff_applied_gives_the_replacement(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, old: bytes, new: bytes
) -> None:
    data = bytes(b"abc\n\r"[byte % 5] for byte in data)
    old = old[:2]
    path = tmp_path_factory.getbasetemp() / "diffed"
    path.write_bytes(data)
    source = Source(str(path).encode())
    text = Differ(source, old, new).text()
    source.close()
    assert _applied(data, text) == data.replace(old, new)


def _applied(data: bytes, diff: str) -> bytes:
    """Apply a unified diff strictly: every context line and removed line must match at its line number."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    lines = lines if lines[-1] else lines[:-1]
    out, at, body = [], 0, diff.encode().split(b"\n")[2:-1]
    for index, line in enumerate(body):
        bare = index + 1 < len(body) and body[index + 1].startswith(b"\\")
        text = line[1:] + (b"" if bare else b"\n")
        if head := re.match(rb"@@ -(\d+)(,0)?", line):
            start = int(head[1]) - (0 if head[2] else 1)
            out += lines[at:start]
            at = start
        elif line.startswith((b" ", b"-")):
            assert lines[at] == text
            out += [text] if line.startswith(b" ") else []
            at += 1
        elif line.startswith(b"+"):
            out.append(text)
    return b"".join(out + lines[at:])


def hits(path: pathlib.Path, pattern: bytes, **options: bool) -> list[Hit]:
    match = matcher(pattern, regex=options.get("regex", False), ignore_case=options.get("ignore_case", False))
    return list(scan(str(path).encode(), match, threading.Event()))


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.sampled_from([b"needle", b"x", b"\n", b"\r\n", b"need"]), max_size=40).map(b"".join))
def test_scan_finds_the_lines_that_hold_the_text(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "scanned"
    path.write_bytes(data)
    expected = [
        (number, line.removesuffix(b"\r")) for number, line in enumerate(data.split(b"\n"), 1) if b"needle" in line
    ]
    assert [(hit.line, hit.content) for hit in hits(path, b"needle")] == expected


def test_scan_shows_a_window_of_an_endless_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 9_000_000 + b"needle" + b"y" * 9_000_000 + b"\nneedle\n")
    first, second = hits(path, b"needle")
    assert (first.line, first.truncated, len(first.content)) == (1, True, WINDOW)
    assert b"needle" in first.content
    assert (second.line, second.content, second.truncated) == (2, b"needle", False)


def test_scan_skips_binary_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"needle\n\0needle\n")
    assert hits(path, b"needle") == []
    path.write_bytes(b"needle\n" + b"x" * 10_000 + b"\0\nneedle\n")
    assert [hit.line for hit in hits(path, b"needle")] == [1, 3]


@pytest.mark.parametrize(
    ("pattern", "options", "lines"),
    [
        (b"a.c", {}, [2]),
        (b"a.c", {"regex": True}, [1, 2]),
        (b"ABC", {"ignore_case": True}, [1]),
        (b"^a", {"regex": True}, [1, 2]),
        (b"c$", {"regex": True}, [1, 2]),
    ],
)
def test_scan_patterns(tmp_path: pathlib.Path, pattern: bytes, options: dict[str, bool], lines: list[int]) -> None:
    (tmp_path / "a").write_bytes(b"abc\na.c\nxyz\n")
    assert [hit.line for hit in hits(tmp_path / "a", pattern, **options)] == lines


def test_scan_uses_little_memory_on_a_sparse_file(tmp_path: pathlib.Path) -> None:
    """300 MB without a line end; the first block is text, so the file is not skipped as binary."""
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.write(b"text" * 4096)
        file.truncate(300_000_000)
    code = (
        "import sys,threading;from toolbox.fs.scan import *;"
        "m=matcher(b'needle',regex=False,ignore_case=False);list(scan(sys.argv[1].encode(),m,threading.Event()));"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024
