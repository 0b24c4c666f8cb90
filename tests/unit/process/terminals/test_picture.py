"""Drawing the output of programs."""

from __future__ import annotations

import random

import pytest

from toolbox.errors import BadRequest
from toolbox.process.terminals.matching import Matcher, plain
from toolbox.process.terminals.picture import Picture
from toolbox.process.terminals.terminal import Resize
from toolbox.process.terminals.wire import Cursor, ScreenResponse


def draw(*steps: bytes | Resize, cols: int = 20, rows: int = 5) -> ScreenResponse:
    return ScreenResponse(**Picture(cols, rows).play(steps), offset=0, active=True)


def test_text_cursor_and_title() -> None:
    seen = draw(b"one\r\ntwo\x1b]0;a title\x07\x1b[?25l")
    cursor = Cursor(row=1, col=3, hidden=True)
    assert (seen.text, seen.cursor, seen.title) == ("one\ntwo", cursor, "a title")
    assert (seen.cols, seen.rows, seen.alternate) == (20, 5, False)


def test_lines_scroll_and_wide_characters_count_twice() -> None:
    seen = draw(b"\r\n".join(b"%d" % number for number in range(9)) + "\r\n文b".encode())
    assert seen.text == "5\n6\n7\n8\n文b"
    assert (seen.cursor.row, seen.cursor.col) == (4, 3)


def test_full_screen_program_leaves_the_text_before_it() -> None:
    inside = draw(b"$ vi\r\n\x1b[?1049h\x1b[2J\x1b[1;1Hin vi")
    assert (inside.text, inside.alternate) == ("in vi", True)
    after = draw(b"$ vi\r\n\x1b[?1049h\x1b[2J\x1b[1;1Hin vi", b"\x1b[?1049l$ ")
    assert (after.text, after.alternate, after.cursor.row, after.cursor.col) == ("$ vi\n$", False, 1, 2)


def test_size_changes_between_pieces() -> None:
    seen = draw(b"123456789\r\n", Resize(0, 30, 4), b"x" * 25)
    assert (seen.text, seen.cols, seen.rows) == ("123456789\n" + "x" * 25, 30, 4)


@pytest.mark.parametrize(
    "foreign",
    [
        b"\x1bP+q544e\x1b\\",
        b"\x1b_Gf=100;AAAA\x1b\\",
        b"\x1b]8;;http://x\x1b\\",
        b"\x1b]133;A\x07",
        b"\x1b[>1u",
        b"\x1b[=1;1u",
        b"\x1b[>4;2m",
        b"\x1b[4:3m",
        b"\x1b[38:2::1:2:3m",
        b"\x1b[?4m",
        b"\x1b[?2026$p",
        b"\x1b[!p",
        b"\x1b[6n",
        b"\x1b[18t",
        b"\x1b(0\x1b(B",
    ],
)
def test_sequences_that_are_not_text(foreign: bytes) -> None:
    whole = b"a" + foreign + b"b"
    assert draw(whole).text == "ab"
    assert draw(*(whole[at : at + 1] for at in range(len(whole)))).text == "ab"


def test_any_bytes_can_be_drawn() -> None:
    chance = random.Random(4)
    alphabet = b"\x1b\x1b\x1b[[]?;:0123456789hlmHJKrABCDPXsu\x07\x9b\xff\xe6\x96\x87 ab\r\n"
    for _ in range(300):
        data = bytes(chance.choices(alphabet, k=300))
        seen = draw(data, Resize(0, chance.randint(1, 50), chance.randint(1, 50)), data)
        assert len(seen.text.split("\n")) <= seen.rows
        assert 0 <= seen.cursor.row < seen.rows
        assert 0 <= seen.cursor.col < seen.cols


def test_picture_does_not_depend_on_how_output_is_cut() -> None:
    data = b"".join(
        b"\x1b[%d;%dH\x1b[3%dmx%d\x1b[K\xe6\x96\x87" % (n % 5 + 1, n % 17 + 1, n % 8, n) for n in range(200)
    )
    whole = draw(data)
    for size in (1, 2, 3, 7, 100):
        assert draw(*(data[at : at + size] for at in range(0, len(data), size))) == whole


def test_plain_text_of_output() -> None:
    assert plain(b"\x1b[1mbold\x1b[0m\r\n\x1b]0;title\x07\tx\xff") == "bold\n\tx\ufffd"


def test_pattern_matches_in_each_line() -> None:
    assert Matcher(None, r"^\w+ \d+$").search("nothing\nline 12\n") == "line 12"
    assert Matcher("12", None).search("line 12") == "12"
    assert Matcher("13", r"\d{3}").search("line 12") is None


def test_bad_pattern() -> None:
    with pytest.raises(BadRequest, match="regex"):
        Matcher(None, "(")


def test_slow_pattern_times_out() -> None:
    with pytest.raises(BadRequest, match="too long"):
        Matcher(None, r"(?:(?:a|aa)+)+$").search("a" * 5000 + "b")
