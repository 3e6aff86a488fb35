"""The framing of libvirt's RPC: streams in, packets out, and frames out."""

from __future__ import annotations

import itertools
import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.framing import Fault, bytewise, drain
from secretd import limits
from secretd.errors import LocalProtocolError, RemoteProtocolError
from secretd.wire.libvirt import LibvirtFraming, Packet, error_reply, frame, message, reply
from secretd.wire.libvirt_procedures import KEEPALIVE_PROGRAM, PROGRAM, Kind, Procedure, Status
from secretd.wire.stream import Pause, State

Event = Packet | Pause | Fault

MOST = int(limits.LIBVIRT_MESSAGE_BYTES)
BAD_LENGTH = Fault("a message has 28 to 33554436 bytes")
BAD_COUNT = Fault("a call with descriptors says how many, at most 32")
NO_DESCRIPTORS = Fault("a call announced descriptors that did not come")
CUT_OFF = Fault("the stream ended inside a message")


def packet(body: bytes = b"", serial: int = 1, kind: int = Kind.CALL) -> Packet:
    return Packet(PROGRAM, 1, Procedure.SECRET_GET_VALUE, kind, serial, Status.OK, body)


def framed(event: Packet) -> bytes:
    return frame(*event[:7])


def announced(count: int, body: bytes = b"", kind: int = Kind.CALL_WITH_FDS) -> bytes:
    return framed(packet(struct.pack(">I", count) + body, kind=kind))


def feed(pieces: list[bytes], *, eagerly: bool = False) -> list[Event]:
    """Give the events of a stream cut into these pieces, taking each as soon as it is there or all at the end."""
    framing = LibvirtFraming()
    events: list[Event] = []
    for piece in pieces:
        framing.receive(piece)
        if eagerly:
            events += [event for event in drain(framing) if isinstance(event, Packet)]
    framing.receive_eof()
    return events + drain(framing)


def check_stream(stream: bytes, expected: list[Event]) -> None:
    """Hold that a stream gives these events, however it is cut, and that what follows it is untouched."""
    assert feed([stream]) == expected
    assert feed(bytewise(stream)) == expected
    assert feed(bytewise(stream), eagerly=True) == expected
    if expected[-1] is Pause.END:
        longer = [*expected[:-1], packet(b"more", 9), Pause.END]
        assert feed([stream + framed(packet(b"more", 9))]) == longer
        assert feed([stream, framed(packet(b"more", 9))]) == longer


ODD = Packet(MOST, 2**32 - 1, -1, -(2**31), 2**32 - 1, -1, b"\0")
ONE, TWO = packet(b"one", 1), packet(b"", 2)

STREAMS = [
    pytest.param(b"", [Pause.END], id="nothing"),
    pytest.param(framed(ONE), [ONE, Pause.END], id="one"),
    pytest.param(framed(TWO), [TWO, Pause.END], id="one-without-a-body"),
    pytest.param(framed(ONE) + framed(TWO), [ONE, TWO, Pause.END], id="two"),
    pytest.param(framed(ODD), [ODD, Pause.END], id="any-numbers"),
    pytest.param(announced(0, b"body"), [packet(b"body"), Pause.END], id="no-descriptors"),
    pytest.param(
        framed(packet(kind=Kind.REPLY_WITH_FDS)),
        [packet(kind=Kind.REPLY_WITH_FDS), Pause.END],
        id="a-reply-with-descriptors-is-nothing-special",
    ),
    pytest.param(b"\0", [CUT_OFF], id="end-inside-the-length"),
    pytest.param(framed(ONE)[:4], [CUT_OFF], id="end-behind-the-length"),
    pytest.param(framed(ONE)[:27], [CUT_OFF], id="end-inside-the-header"),
    pytest.param(framed(ONE)[:28], [CUT_OFF], id="end-behind-the-header"),
    pytest.param(framed(ONE) + framed(ONE)[:-1], [ONE, CUT_OFF], id="end-inside-the-second"),
    pytest.param(announced(0)[:31], [CUT_OFF], id="end-inside-the-count"),
    pytest.param(framed(ONE) + bytes(4) + framed(TWO), [ONE, BAD_LENGTH], id="length-0"),
    pytest.param(b"\0\0\0\x1b" + framed(TWO)[4:], [BAD_LENGTH], id="length-27"),
    pytest.param(b"\x02\0\0\x05" + framed(TWO)[4:], [BAD_LENGTH], id="length-over-the-largest"),
    pytest.param(b"\xff\xff\xff\xff", [BAD_LENGTH], id="length-of-4-gib"),
    pytest.param(b"<request serial='1'/>\0", [BAD_LENGTH], id="another-protocol"),
    pytest.param(framed(packet(kind=Kind.CALL_WITH_FDS)), [BAD_COUNT], id="no-count"),
    pytest.param(framed(packet(b"abc", kind=Kind.CALL_WITH_FDS)), [BAD_COUNT], id="count-cut-off"),
    pytest.param(announced(33), [BAD_COUNT], id="count-over-its-bound"),
    pytest.param(announced(2**32 - 1), [BAD_COUNT], id="count-of-4-gib"),
    pytest.param(framed(ONE) + announced(1) + b"\0", [ONE, NO_DESCRIPTORS], id="descriptors-that-did-not-come"),
    pytest.param(announced(2) + b"\0", [CUT_OFF], id="end-before-the-descriptors"),
]


@pytest.mark.parametrize(("stream", "expected"), STREAMS)
def test_a_stream_gives_its_packets(stream: bytes, expected: list[Event]) -> None:
    check_stream(stream, expected)


@pytest.mark.parametrize("piece", [1_000, 65_536, 1 << 20], ids=lambda piece: f"pieces-of-{piece}")
@pytest.mark.parametrize(("over", "kept"), [(-1, True), (0, True), (1, False), (300_000, False)])
def test_the_longest_message(over: int, kept: bool, piece: int) -> None:
    long = packet(b"x" * (MOST - 28 + over), 2)
    stream = framed(ONE) + framed(long) + framed(TWO)
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    middle = long if kept else long._replace(body=b"", oversize=True)
    assert feed(pieces) == [ONE, middle, TWO, Pause.END]
    assert feed(pieces, eagerly=True) == [ONE, middle, TWO, Pause.END]


def test_the_largest_frame_is_read_and_thrown_away() -> None:
    framing = LibvirtFraming()
    length = int(limits.LIBVIRT_FRAME_BYTES)
    framing.receive(struct.pack(">I", length) + framed(ONE)[4:28])
    piece = bytes(65_536)
    left = length - 28
    tracemalloc.start()
    try:
        while left:
            assert (framing.next_event(), framing.state) == (Pause.NEED_DATA, State.INSIDE)
            framing.receive(piece[:left])
            left -= min(left, len(piece))
        assert tracemalloc.get_traced_memory()[1] < 262_144
    finally:
        tracemalloc.stop()
    assert framing.next_event() == ONE._replace(body=b"", oversize=True)
    assert (framing.next_event(), framing.state) == (Pause.NEED_DATA, State.BETWEEN)


def test_a_message_that_is_thrown_away_may_be_cut_off_too() -> None:
    stream = framed(packet(bytes(MOST)))
    assert feed([stream[:-1]]) == feed([stream[:40], stream[40:-1]], eagerly=True) == [CUT_OFF]


@pytest.mark.parametrize("eof", [False, True], ids=["more-follows", "the-end-follows"])
def test_a_fault_sticks(eof: bool) -> None:
    framing = LibvirtFraming()
    framing.receive(framed(ONE) + bytes(4))
    assert framing.next_event() == ONE
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="28 to 33554436"):
            framing.next_event()
        assert framing.state is State.BROKEN
        assert framing.receive(framed(TWO), [7]) == (7,)
    if eof:
        framing.receive_eof()
        with pytest.raises(RemoteProtocolError, match="28 to 33554436"):
            framing.next_event()
    assert framing.state is State.BROKEN


def test_states() -> None:
    framing = LibvirtFraming()
    seen = [framing.state]
    for piece in (b"\0\0", framed(ONE)[2:], b""):
        framing.receive(piece)
        drain(framing)
        seen.append(framing.state)
    framing.receive(framed(TWO))
    seen.append(framing.state)
    drain(framing)
    framing.receive_eof()
    assert seen == [State.BETWEEN, State.INSIDE, State.BETWEEN, State.BETWEEN, State.INSIDE]
    assert framing.state is State.ENDED


def test_nothing_comes_after_the_end() -> None:
    framing = LibvirtFraming()
    framing.receive_eof()
    with pytest.raises(LocalProtocolError, match="after the end"):
        framing.receive(framed(ONE))
    with pytest.raises(LocalProtocolError, match="after the end"):
        framing.receive_eof()
    assert framing.next_event() is Pause.END


def test_a_packet_does_not_show_its_body() -> None:
    assert repr(packet(b"open sesame", 7)) == (
        "Packet(program=0x20008086, version=1, procedure=145, kind=0, serial=7, status=0, 11 bytes, oversize=False)"
    )


# Descriptors: none is kept.


def test_descriptors_are_given_back_and_their_bytes_are_skipped() -> None:
    framing = LibvirtFraming()
    assert framing.receive(announced(2, b"body")) == ()
    assert framing.next_event() is Pause.NEED_DATA
    assert framing.receive(b"\0", [3]) == (3,)
    assert framing.next_event() is Pause.NEED_DATA
    assert framing.receive(b"\0" + framed(TWO), [4]) == (4,)
    assert drain(framing) == [packet(b"body"), TWO, Pause.NEED_DATA]


def test_a_descriptor_is_good_for_one_message() -> None:
    framing = LibvirtFraming()
    framing.receive(announced(1) + b"\0" + announced(1) + b"\0", [3])
    assert drain(framing) == [packet(), NO_DESCRIPTORS]


def test_descriptors_that_nobody_announced_are_no_matter() -> None:
    framing = LibvirtFraming()
    assert framing.receive(framed(ONE), [3, 4]) == (3, 4)
    assert drain(framing) == [ONE, Pause.NEED_DATA]


def test_descriptors_without_bytes_are_a_mistake() -> None:
    framing = LibvirtFraming()
    with pytest.raises(LocalProtocolError, match="with bytes"):
        framing.receive(b"", [3])


@pytest.mark.parametrize(("given_descriptors", "fault"), [([3], None), ([], NO_DESCRIPTORS)], ids=["came", "missing"])
def test_a_message_that_is_thrown_away_may_have_descriptors(given_descriptors: list[int], fault: Fault | None) -> None:
    framing = LibvirtFraming()
    framing.receive(announced(1, bytes(MOST)))
    assert framing.next_event() is Pause.NEED_DATA
    framing.receive(b"\0", given_descriptors)
    assert drain(framing) == ([fault] if fault else [packet()._replace(oversize=True), Pause.NEED_DATA])


@pytest.mark.parametrize("body", [b"body", bytes(MOST)], ids=["kept", "thrown-away"])
def test_giving_up_drops_what_was_not_taken(body: bytes) -> None:
    framing = LibvirtFraming()
    framing.receive(framed(packet(body))[:-1])
    assert framing.next_event() is Pause.NEED_DATA
    assert framing.take_descriptors() == framing.take_descriptors() == ()
    assert (framing.next_event(), framing.state) == (Pause.END, State.ENDED)


# Sending.


def test_frames() -> None:
    call = Packet(KEEPALIVE_PROGRAM, 2, -3, Kind.CALL, 2**32 - 1, Status.ERROR, b"body")
    head = "6b65657000000002fffffffd00000001ffffffff"
    assert reply(call, b"ab").hex() == "0000001e" + head + "00000000" + "6162"
    assert error_reply(call, b"").hex() == "0000001c" + head + "00000001"
    told = message(Procedure.SECRET_EVENT_LIFECYCLE, b"abcd").hex()
    assert told == "0000002020008086000000010000017e00000002000000010000000061626364"


def test_no_frame_is_longer_than_the_largest() -> None:
    most = int(limits.LIBVIRT_FRAME_BYTES)
    assert len(message(1, bytes(most - 28))) == most
    with pytest.raises(LocalProtocolError, match="28 to 33554436"):
        message(1, bytes(most - 27))


# Properties.

words = st.integers(0, 2**32 - 1)
numbers = st.integers(-(2**31), 2**31 - 1)
kinds = numbers.filter(lambda kind: kind != Kind.CALL_WITH_FDS)
packets = st.builds(Packet, words, words, numbers, kinds, words, numbers, st.binary(), st.just(value=False))


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream of packets, good ones and others, and the same in pieces."""
    part = packets.map(framed) | st.sampled_from([announced(0), announced(1) + b"\0", framed(ONE)[:-1], b"\0\0\0"])
    stream = draw(st.lists(part, max_size=5).map(b"".join) | st.binary(max_size=40))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    places = [0, *cuts, len(stream)]
    return stream, [stream[start:end] for start, end in itertools.pairwise(places)]


@given(cut_streams())
def test_cutting_never_changes_the_events(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    whole = feed([stream])
    assert feed(pieces) == whole
    assert feed(pieces, eagerly=True) == whole
    assert feed(bytewise(stream)) == whole


@given(st.lists(packets, max_size=5))
def test_what_was_sent_is_received(sent: list[Packet]) -> None:
    check_stream(b"".join(map(framed, sent)), [*sent, Pause.END])


@given(st.binary() | cut_streams().map(lambda case: case[0]))
def test_any_bytes_give_packets_and_then_an_end_or_a_fault(stream: bytes) -> None:
    *taken, last = feed([stream])
    assert all(isinstance(event, Packet) for event in taken)
    assert last is Pause.END or isinstance(last, Fault)


def seconds_for(length: int) -> float:
    """Measure how long a message takes that comes in single bytes; the best of three."""
    pieces = bytewise(framed(packet(bytes(length - 28))))
    taken = []
    for _ in range(3):
        framing = LibvirtFraming()
        started = time.process_time()
        for piece in pieces:
            framing.receive(piece)
            framing.next_event()
        taken.append(time.process_time() - started)
    return min(taken)


def test_work_is_linear_in_the_bytes() -> None:
    """Four times the bytes take four times as long; searching or copying what is there each time takes sixteen."""
    assert seconds_for(MOST) < 9 * seconds_for(MOST // 4)


def test_work_is_linear_where_a_part_is_always_left() -> None:
    """What is taken from the front is let go: no message is ever alone here, and nothing grows."""
    framing = LibvirtFraming()
    stream = framed(ONE) * 3_000
    taken = 0
    tracemalloc.start()
    try:
        for start in range(0, len(stream), 29):
            framing.receive(stream[start : start + 29])
            taken += sum(isinstance(event, Packet) for event in drain(framing))
        assert tracemalloc.get_traced_memory()[1] < 32_768
    finally:
        tracemalloc.stop()
    assert taken == 3_000
