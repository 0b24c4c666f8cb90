from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolbox.runs.messages import (
    ContentLength,
    Framing,
    JsonLines,
    LengthPrefix,
    MessageError,
    MessageStream,
    PacketSocket,
)

FRAMINGS: list[Callable[[int], Framing]] = [LengthPrefix, JsonLines, ContentLength]
LIMIT = 64


def decode(framing: Framing, pieces: list[bytes]) -> list[bytes | str]:
    """Return the messages in a stream of pieces, and the error that ended it."""
    found: list[bytes | str] = []
    try:
        for piece in pieces:
            framing.feed(piece)
            while (message := framing.next()) is not None:
                found.append(message)
    except MessageError as error:
        found.append(str(error))
    else:
        found.append(f"incomplete: {framing.incomplete}")
    return found


def split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("make", FRAMINGS)
@given(
    messages=st.lists(
        st.binary(min_size=1, max_size=LIMIT + 8).filter(lambda data: b"\n" not in data and b"\r" not in data)
    ),
    tail=st.binary(max_size=20),
    places=st.lists(st.integers(0, 10_000)),
)
@settings(deadline=None)
def test_any_split_of_a_stream_gives_the_same_messages_and_errors(
    make: Callable[[int], Framing], messages: list[bytes], tail: bytes, places: list[int]
) -> None:
    encoder = make(LIMIT)
    data = b"".join(map(encoder.encode, messages)) + tail
    whole = decode(make(LIMIT), [data])
    assert decode(make(LIMIT), split(data, places)) == whole
    assert decode(make(LIMIT), [data[place : place + 1] for place in range(len(data))]) == whole
    fitting = next((place for place, each in enumerate(messages) if len(each) > LIMIT), len(messages))
    assert whole[:fitting] == messages[:fitting]


@pytest.mark.parametrize(
    ("make", "data", "error"),
    [
        (LengthPrefix, b"\0\0\0\x41", "more than 64 bytes"),
        (JsonLines, b"x" * 65, "more than 64 bytes"),
        (ContentLength, b"Content-Length: 65\r\n\r\n", "more than 64 bytes"),
        (ContentLength, b"Content-Type: x\r\n\r\n{}", "no valid Content-Length: b'Content-Type: x'"),
        (ContentLength, b"Content-Length: -1\r\n\r\n{}", "no valid Content-Length"),
        (ContentLength, b"x" * 9000, "header is too large"),
    ],
)
def test_bad_frame_is_named_in_the_error(make: Callable[[int], Framing], data: bytes, error: str) -> None:
    framing = make(LIMIT)
    framing.feed(data)
    for _ in range(2):  # the stream stays bad
        with pytest.raises(MessageError, match=error):
            framing.next()


def test_content_length_takes_other_headers_in_any_case() -> None:
    framing = ContentLength()
    framing.feed(b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:2\r\n\r\n{}")
    assert framing.next() == b"{}"


def test_json_lines_refuse_a_line_feed_and_skip_empty_lines() -> None:
    framing = JsonLines()
    with pytest.raises(ValueError, match="line feed"):
        framing.encode(b"1\n2")
    framing.feed(b"\n\r\n1\r\n\n")
    assert (framing.next(), framing.next()) == (b"1", None)


async def pair(transport: str, make: Callable[[], Framing] = LengthPrefix) -> tuple[MessageStream, MessageStream]:
    if transport == "socket":
        one, other = socket.socketpair()
        return await MessageStream.over_socket(one, make()), await MessageStream.over_socket(other, make())
    (here, there), (back, forth) = os.pipe(), os.pipe()
    return await MessageStream.over_pipes(here, forth, make()), await MessageStream.over_pipes(back, there, make())


@pytest.mark.parametrize("transport", ["socket", "pipes"])
async def test_streams_carry_messages_both_ways_and_end(transport: str) -> None:
    one, other = await pair(transport)
    large = bytes(300_000)
    sending = asyncio.create_task(one.send(large))
    assert await other.receive() == large
    await sending
    await other.send(b"answer")
    assert await one.receive() == b"answer"
    await one.send(b"1")
    await one.send(b"")
    await one.close()
    assert [message async for message in other] == [b"1", b""]
    with pytest.raises(EOFError, match="stream has ended"):
        await other.receive()
    with pytest.raises(ConnectionError):
        await asyncio.gather(*(other.send(large) for _ in range(3)))  # the kernel may still take the first
    await other.close()


async def test_end_in_the_middle_of_a_message_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    stream = await MessageStream.over_socket(ours, LengthPrefix())
    theirs.send(b"\0\0\0\x05abc")
    theirs.close()
    with pytest.raises(MessageError, match="in the middle of a message"):
        await stream.receive()
    await stream.close()


async def test_cancelled_receive_loses_nothing() -> None:
    ours, theirs = socket.socketpair()
    stream = await MessageStream.over_socket(ours, JsonLines())
    theirs.setblocking(False)
    received = []
    for byte in b"one\ntwo\n":
        receiving = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        theirs.send(bytes([byte]))
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait([receiving])
        if not receiving.cancelled():
            received.append(receiving.result())
    theirs.close()
    received += [message async for message in stream]
    assert received == [b"one", b"two"]
    await stream.close()


async def test_sender_waits_while_the_peer_does_not_read_and_a_waiting_send_can_be_cancelled_whole() -> None:
    one, other = await pair("socket")
    sending = [asyncio.create_task(one.send(bytes([number]) * 1_000_000)) for number in range(3)]
    done, _ = await asyncio.wait(sending, timeout=0.05)
    assert not done
    sending[1].cancel()  # waits for its turn: nothing of it is sent
    sending[0].cancel()  # is being sent: all of it arrives
    await asyncio.wait(sending[:2])
    assert [(await other.receive())[:1] for _ in range(2)] == [b"\0", b"\2"]
    await sending[2]
    await one.close()
    await other.close()


async def test_close_does_not_wait_for_a_peer_that_never_reads() -> None:
    one, other = await pair("socket")
    sending = asyncio.create_task(one.send(bytes(10_000_000)))
    await asyncio.sleep(0)
    await one.close()
    with pytest.raises(ConnectionError):
        await sending
    await other.close()


async def test_packets_carry_descriptors_and_a_cancelled_receive_loses_nothing() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    packets = PacketSocket(ours)
    receiving = asyncio.create_task(packets.receive())
    await asyncio.sleep(0)
    theirs.send(b"ready")
    receiving.cancel()
    await asyncio.wait([receiving])
    assert await packets.receive() == b"ready"
    read, write = os.pipe()
    packets.send(b"go", [write])
    os.close(write)
    _, (passed,), _, _ = socket.recv_fds(theirs, 16, 1)
    os.write(passed, b"x")
    assert os.read(read, 1) == b"x"
    os.close(passed)
    os.close(read)
    theirs.close()
    assert await packets.receive() == b""
    packets.close()
