"""The multiplexed log format, read back the way the SDKs do."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from toolbox.host.output_log import Channel, Chunk
from toolbox.process.sessions.stream_prefixes import FRAME, StreamPrefixer, frames

OUT, ERR = b"\x01\x01\x01", b"\x02\x02\x02"


def demux(data: bytes) -> dict[bytes, bytes]:
    """Read like the SDKs: output after a prefix belongs to its stream, output before the first is dropped."""
    found = {OUT: b"", ERR: b""}
    parts = re.split(rb"(\x01{3}|\x02{3})", data)
    for prefix, payload in zip(parts[1::2], parts[2::2], strict=True):
        found[prefix] += payload
    return found


def chunks(*parts: tuple[Channel, bytes]) -> list[Chunk]:
    offset, found = 0, []
    for channel, data in parts:
        found.append(Chunk(offset, data, channel, 0.0))
        offset += len(data)
    return found


def prefixed(*parts: tuple[Channel, bytes]) -> bytes:
    prefixer = StreamPrefixer()
    return b"".join(prefixer.feed(chunk) for chunk in chunks(*parts))


def test_every_line_and_every_change_of_stream_has_a_prefix() -> None:
    start = (Channel.STDOUT, b"out1\nou"), (Channel.STDOUT, b"t2")
    whole = prefixed(*start, (Channel.STDERR, b"err\n"), (Channel.STDOUT, b"\n\nx"))
    assert whole == OUT + b"out1\n" + OUT + b"out2" + ERR + b"err\n" + OUT + b"\n" + OUT + b"\n" + OUT + b"x"


def test_payload_that_contains_a_prefix_loses_only_that() -> None:
    whole = prefixed((Channel.STDERR, b"a" + OUT + b"b\nc"))
    assert demux(whole) == {OUT: b"", ERR: b"ab\nc"}


# Prefix bytes in the output cannot be told from prefixes; everything else must arrive.
PAYLOAD = st.binary(min_size=1, max_size=200).map(lambda data: data.replace(b"\x01", b"1").replace(b"\x02", b"2"))


@given(st.lists(st.tuples(st.sampled_from([Channel.STDOUT, Channel.STDERR]), PAYLOAD), max_size=20))
def test_every_byte_arrives_on_its_stream(parts: list[tuple[Channel, bytes]]) -> None:
    expected = {
        prefix: b"".join(data for c, data in parts if c is channel)
        for prefix, channel in ((OUT, Channel.STDOUT), (ERR, Channel.STDERR))
    }
    assert demux(prefixed(*parts)) == expected
    assert demux(b"".join(frame for chunk in chunks(*parts) for frame in frames(chunk))) == expected


PIECES = [b"\n", b"x" * 100, "é€😀".encode(), b"y" * 40_000 + b"\n", b"\n" * 20_000]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=100))
def test_frames_are_small_and_have_a_prefix(pieces: list[bytes]) -> None:
    for frame in frames(Chunk(0, b"".join(pieces), Channel.STDOUT, 0.0)):
        assert frame.startswith(OUT)
        assert 3 < len(frame) <= FRAME
        assert not frame.endswith(OUT)


def test_frame_never_ends_with_a_prefix_of_ours() -> None:
    assert list(frames(Chunk(0, b"a" + ERR, Channel.STDOUT, 0.0))) == [OUT + b"a" + ERR]
    assert prefixed((Channel.STDOUT, b"a" + ERR), (Channel.STDOUT, b"b")) == OUT + b"a" + ERR + OUT + b"b"


def test_frames_do_not_cut_characters() -> None:
    text = "é€😀" * 20_000
    for frame in frames(Chunk(0, text.encode(), Channel.STDERR, 0.0)):
        frame[3:].decode()
