"""Multipart forms and byte ranges: the parts do not depend on how the body is split into chunks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolbox.errors import BadRequest
from toolbox.http.multipart import FormPart, FormReader, boundary_of, disposition
from toolbox.http.ranges import parse


class Recorder:
    """A receiver that records the calls of the reader."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str | None, bytes]] = []
        self._part: FormPart | None = None
        self._data = b""

    def begin(self, part: FormPart) -> None:
        self._part, self._data = part, b""

    def feed(self, data: Any) -> None:
        self._data += bytes(data)

    def end(self) -> None:
        assert self._part is not None
        self.parts.append((self._part.name, self._part.filename, self._data))

    def finish(self) -> list[tuple[str, str | None, bytes]]:
        return self.parts

    def abort(self, error: BaseException) -> BaseException:
        return error


def form(parts: list[bytes], boundary: bytes = b"BOUND") -> bytes:
    """Build a form of files."""
    head = b'--%s\r\nContent-Disposition: form-data; name="f%d"; filename="n"\r\nContent-Type: x/y\r\n\r\n'
    body = b"".join(head % (boundary, index) + data + b"\r\n" for index, data in enumerate(parts))
    return body + b"--" + boundary + b"--\r\n"


CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"--", b"BOUND", b"\r\n--BOUN", b"\r\n--BOUNDx", b"x", b"\0"]), max_size=12
).map(b"".join)


@settings(deadline=None)
@given(parts=st.lists(CONTENT, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_any_split_gives_the_same_parts(parts: list[bytes], cuts: list[int]) -> None:
    parts = [part.replace(b"\r\n--BOUND", b"\r\n--bound") for part in parts]
    body = form(parts)
    reader = FormReader("BOUND", Recorder())
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, stop in itertools.pairwise(places):
        piece = body[start:stop]
        reader.feed(memoryview(piece) if start % 2 else bytearray(piece))
    assert reader.finish() == [(f"f{index}", "n", part) for index, part in enumerate(parts)]


def test_body_without_its_end_is_cut_short() -> None:
    reader = FormReader("BOUND", Recorder())
    reader.feed(form([b"data"])[:-6])
    with pytest.raises(BadRequest, match="closing boundary"):
        reader.finish()


@pytest.mark.parametrize(
    "body", [b"garbage", b"--OTHER\r\n", b"--BOUND\r\nno colon\r\n\r\n", b"--BOUND\r\n: x\r\n\r\n"]
)
def test_malformed_forms_are_refused(body: bytes) -> None:
    reader = FormReader("BOUND", Recorder())
    with pytest.raises(BadRequest, match="invalid multipart form"):
        reader.feed(body)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b'form-data; name="a"', "a"),
        (b'form-data; filename="x; name=\\"q\\""; name="a"', "a"),
        (b'form-data; name="files[0].path"; filename="%22"', "files[0].path"),
        ('form-data; name="ä😀"'.encode(), "ä😀"),
        (b"attachment", ""),
    ],
)
def test_part_names(header: bytes, name: str) -> None:
    recorder = Recorder()
    reader = FormReader("B", recorder)
    reader.feed(b"--B\r\nContent-Disposition: " + header + b"\r\n\r\nx\r\n--B--\r\n")
    assert [part[0] for part in reader.finish()] == [name]


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a b;c"', "a b;c"),
        ("multipart/form-data; charset=x; Boundary=abc; z=1", "abc"),
    ],
)
def test_boundaries(header: str, boundary: str) -> None:
    assert boundary_of(header) == boundary


def test_missing_boundary_is_refused() -> None:
    with pytest.raises(BadRequest, match="boundary"):
        boundary_of("multipart/form-data")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "x; filename=\"a.txt\"; filename*=utf-8''a.txt"),
        ("/a b/c", "x; filename=\"/a b/c\"; filename*=utf-8''%2Fa%20b%2Fc"),
        ('q"\\', 'x; filename="q\\"\\\\"; filename*=utf-8\'\'q%22%5C'),
        ("ä", "x; filename=\"_\"; filename*=utf-8''%C3%A4"),
        ("\udcff", "x; filename=\"_\"; filename*=utf-8''%FF"),
        ("a\r\nb\0", "x; filename=\"ab\"; filename*=utf-8''a%0D%0Ab%00"),
        ("", "x; filename=\"_\"; filename*=utf-8''"),
        ("!#$&+-.^_`|~'", "x; filename=\"!#$&+-.^_`|~'\"; filename*=utf-8''!#$&+-.^_`|~%27"),
    ],
)
def test_dispositions(name: str, expected: str) -> None:
    assert disposition("x", name) == expected


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=-1", [(9, 1)]),
        ("bytes=5-", [(5, 5)]),
        ("bytes=0-99", [(0, 10)]),
        ("bytes=-99", [(0, 10)]),
        ("bytes=0-1, 3-4", [(0, 2), (3, 2)]),
        ("bytes=10-", []),
        ("bytes=-0", []),
        ("bytes=10-,0-0", [(0, 1)]),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=" + ",".join("0-0" for _ in range(40)), None),
    ],
)
def test_ranges(header: str, spans: list[tuple[int, int]] | None) -> None:
    assert parse(header, 10) == spans
