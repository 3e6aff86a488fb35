"""The framing core: streams in, messages out."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.framing import Event, Fault, bytewise, check_stream, drain, feed, feed_eagerly
from secretd import limits
from secretd.errors import LocalProtocolError, RemoteProtocolError
from secretd.wire.native import Message, NativeFraming
from secretd.wire.stream import Pause, State

MOST = int(limits.MESSAGE_BYTES)
CUT_OFF = Fault("the stream ended inside a message")
TOO_LONG = Fault("a message may have at most 262144 bytes")

STREAMS = [
    pytest.param(b"", [Pause.END], id="nothing"),
    pytest.param(b"\0", [Message(1, b""), Pause.END], id="an-empty-message"),
    pytest.param(b"\0\0", [Message(1, b""), Message(2, b""), Pause.END], id="two-empty-messages"),
    pytest.param(b"<a/>\0", [Message(1, b"<a/>"), Pause.END], id="one-message"),
    pytest.param(b"<a/>\0<b/>\0", [Message(1, b"<a/>"), Message(2, b"<b/>"), Pause.END], id="two-messages"),
    pytest.param(b"<a/>\0\0b\0", [Message(1, b"<a/>"), Message(2, b""), Message(3, b"b"), Pause.END], id="a-hole"),
    pytest.param(b"\xff\xfe\x01\0", [Message(1, b"\xff\xfe\x01"), Pause.END], id="what-is-no-xml-is-no-matter"),
    pytest.param(b"<a/>", [CUT_OFF], id="end-inside-the-first"),
    pytest.param(b"<a/>\0<", [Message(1, b"<a/>"), CUT_OFF], id="end-inside-the-second"),
]


@pytest.mark.parametrize(("stream", "expected"), STREAMS)
def test_a_stream_gives_its_messages(stream: bytes, expected: list[Event]) -> None:
    check_stream(stream, expected)


LENGTHS = [
    pytest.param(MOST - 1, True, id="one-below"),
    pytest.param(MOST, True, id="exactly"),
    pytest.param(MOST + 1, False, id="one-over"),
]


@pytest.mark.parametrize(("length", "fits"), LENGTHS)
@pytest.mark.parametrize("piece", [1, 4_095, 65_536, 1 << 20], ids=lambda piece: f"pieces-of-{piece}")
def test_the_longest_message(length: int, fits: bool, piece: int) -> None:
    stream = b"first\0" + b"x" * length + b"\0last\0"
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    framed: list[Event] = [Message(1, b"first"), Message(2, b"x" * length), Message(3, b"last"), Pause.END]
    assert feed(pieces) == (framed if fits else [Message(1, b"first"), TOO_LONG])


def test_a_message_is_given_up_at_the_byte_that_is_too_many() -> None:
    framing = NativeFraming()
    framing.receive(b"x" * MOST)
    assert (framing.next_event(), framing.state) == (Pause.NEED_DATA, State.INSIDE)
    framing.receive(b"x")
    assert framing.state is State.BROKEN
    assert framing.ordinal == 1


@pytest.mark.parametrize("later", [b"", b"\0", b"<a/>\0", b"x" * (MOST + 1)], ids=["nothing", "nul", "message", "more"])
def test_a_fault_sticks(later: bytes) -> None:
    framing = NativeFraming()
    framing.receive(b"<a/>\0" + b"x" * (MOST + 1))
    assert framing.next_event() == Message(1, b"<a/>")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="at most 262144 bytes"):
            framing.next_event()
        framing.receive(later)
        framing.receive_eof()
    assert framing.ordinal == 2


def test_states() -> None:
    framing = NativeFraming()
    seen = [framing.state]
    for piece in (b"<", b"a/>\0", b"<a/>\0<"):
        framing.receive(piece)
        seen.append(framing.state)
    framing.receive_eof()
    assert [*seen, framing.state] == [State.BETWEEN, State.INSIDE, State.BETWEEN, State.INSIDE, State.BROKEN]


def test_nothing_comes_after_the_end() -> None:
    framing = NativeFraming()
    framing.receive_eof()
    assert framing.state is State.ENDED
    with pytest.raises(LocalProtocolError, match="after the end"):
        framing.receive(b"<a/>\0")
    with pytest.raises(LocalProtocolError, match="after the end"):
        framing.receive(b"<a/>\0", [3])
    with pytest.raises(LocalProtocolError, match="after the end"):
        framing.receive_eof()
    assert framing.take_descriptors() == ()


def test_waiting_is_not_ending() -> None:
    framing = NativeFraming()
    assert framing.next_event() is Pause.NEED_DATA
    framing.receive(b"<a")
    assert framing.next_event() is Pause.NEED_DATA


def test_a_message_does_not_show_its_body() -> None:
    assert repr(Message(7, b"b3BlbiBzZXNhbWU=", (3,))) == "Message(ordinal=7, 16 bytes, 1 descriptors)"


# Sending.


def test_send_ends_a_message_and_counts_it() -> None:
    framing = NativeFraming()
    assert framing.sent == 0
    assert framing.send(b"<a/>") == b"<a/>\0"
    assert framing.send(b"x" * MOST) == b"x" * MOST + b"\0"
    assert framing.sent == 2


UNSENDABLE = [
    pytest.param(b"\0", "NUL", id="a-nul-alone"),
    pytest.param(b"<a/>\0", "NUL", id="a-nul-at-the-end"),
    pytest.param(b"<a>\0</a>", "NUL", id="a-nul-inside"),
    pytest.param(b"x" * (MOST + 1), "at most 262144 bytes", id="one-byte-too-long"),
]


@pytest.mark.parametrize(("body", "message"), UNSENDABLE)
def test_send_refuses_what_would_break_the_framing(body: bytes, message: str) -> None:
    framing = NativeFraming()
    with pytest.raises(LocalProtocolError, match=message):
        framing.send(body)
    assert framing.sent == 0


# Descriptors: to the core, numbers.


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([(b"a\0", [3])], [(b"a", (3,))], id="with-the-whole"),
        pytest.param([(b"a", [3]), (b"\0", [])], [(b"a", (3,))], id="with-the-first-byte"),
        pytest.param([(b"a", []), (b"\0", [3])], [(b"a", (3,))], id="with-the-nul"),
        pytest.param([(b"a\0b\0", [3])], [(b"a", ()), (b"b", (3,))], id="with-the-last-of-two"),
        pytest.param([(b"a\0b", [3]), (b"\0", [])], [(b"a", ()), (b"b", (3,))], id="with-the-unfinished-second"),
        pytest.param([(b"a\0\0", [3])], [(b"a", ()), (b"", (3,))], id="with-an-empty-message"),
        pytest.param([(b"\0", [3]), (b"\0", [4])], [(b"", (3,)), (b"", (4,))], id="one-each"),
        pytest.param([(b"a", [3]), (b"\0b\0", [4])], [(b"a", (3,)), (b"b", (4,))], id="the-second-passes-the-first"),
        pytest.param([(b"a", [3]), (b"b", [4]), (b"\0", [])], [(b"ab", (3, 4))], id="two-in-one"),
    ],
)
def test_a_descriptor_belongs_to_the_message_of_the_last_byte(
    pieces: list[tuple[bytes, list[int]]], expected: list[tuple[bytes, tuple[int, ...]]]
) -> None:
    framing = NativeFraming()
    for data, descriptors in pieces:
        assert framing.receive(data, descriptors) == ()
    messages = [event for event in drain(framing) if isinstance(event, Message)]
    assert [(message.body, message.descriptors) for message in messages] == expected
    assert framing.take_descriptors() == ()


def test_a_message_holds_one_descriptor_too_many_and_no_more() -> None:
    framing = NativeFraming()
    assert framing.receive(b"a", [3, 4, 5]) == (5,)
    assert framing.receive(b"b", [6]) == (6,)
    assert framing.receive(b"\0", [7]) == (7,)
    assert framing.receive(b"c\0", [8]) == ()
    assert framing.next_event() == Message(1, b"ab", (3, 4))
    assert framing.next_event() == Message(2, b"c", (8,))


def test_descriptors_without_bytes_are_a_mistake() -> None:
    framing = NativeFraming()
    with pytest.raises(LocalProtocolError, match="with bytes"):
        framing.receive(b"", [3])
    assert framing.take_descriptors() == ()


def test_what_was_not_handed_over_can_be_taken_back() -> None:
    framing = NativeFraming()
    framing.receive(b"a\0", [3])
    framing.receive(b"b\0", [4])
    framing.receive(b"c", [5])
    assert framing.next_event() == Message(1, b"a", (3,))
    assert framing.take_descriptors() == (4, 5)
    assert framing.take_descriptors() == ()
    assert framing.next_event() is Pause.NEED_DATA


def test_what_comes_with_and_after_a_fault_can_be_closed() -> None:
    framing = NativeFraming()
    framing.receive(b"x", [3])
    assert framing.receive(b"x" * MOST, [4]) == ()
    assert framing.receive(b"x", [5]) == (5,)
    assert framing.receive(b"\0y", [6, 7]) == (6, 7)
    assert framing.take_descriptors() == (3, 4)


# Properties.

bodies = st.binary(max_size=40).map(lambda body: body.replace(b"\0", b"x"))


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream in which NULs are common, and the same in pieces."""
    stream = draw(st.lists(st.sampled_from([b"\0", b"<a/>", b"x", b"\xff"]) | st.binary(max_size=3)).map(b"".join))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    places = [0, *cuts, len(stream)]
    return stream, [stream[start:end] for start, end in itertools.pairwise(places)]


@given(cut_streams())
def test_cutting_never_changes_the_events(case: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = case
    whole = feed([stream])
    assert feed(pieces) == whole
    assert feed_eagerly(pieces) == whole
    assert feed(bytewise(stream)) == whole


@given(st.lists(bodies))
def test_what_was_sent_is_received(sent: list[bytes]) -> None:
    sender = NativeFraming()
    stream = b"".join(sender.send(body) for body in sent)
    expected: list[Event] = [Message(place, body) for place, body in enumerate(sent, 1)]
    check_stream(stream, [*expected, Pause.END])


@given(st.binary())
def test_any_bytes_give_messages_that_frame_to_the_same_bytes(stream: bytes) -> None:
    events = feed([stream])
    sender = NativeFraming()
    framed = b"".join(sender.send(event.body) for event in events if isinstance(event, Message))
    assert stream.startswith(framed)
    assert events[-1] is Pause.END if framed == stream else events[-1] == CUT_OFF


@given(st.lists(st.tuples(st.sampled_from([b"a", b"\0", b"a\0", b"\0a", b"a\0a"]), st.integers(0, 3)), max_size=12))
def test_no_descriptor_is_lost_or_doubled(pieces: list[tuple[bytes, int]]) -> None:
    framing = NativeFraming()
    numbers = itertools.count(100)
    given_in: list[int] = []
    back: list[int] = []
    for data, count in pieces:
        descriptors = list(itertools.islice(numbers, count))
        given_in += descriptors
        back += framing.receive(data, descriptors)
    for event in drain(framing):
        if isinstance(event, Message):
            assert len(event.descriptors) <= limits.DESCRIPTORS_PER_MESSAGE + 1
            back += event.descriptors
    back += framing.take_descriptors()
    assert sorted(back) == given_in


def seconds_for(length: int) -> float:
    """Measure how long a message takes that comes in single bytes; the best of three."""
    pieces = bytewise(b"x" * length)
    taken = []
    for _ in range(3):
        framing = NativeFraming()
        started = time.process_time()
        for piece in pieces:
            framing.receive(piece)
        taken.append(time.process_time() - started)
    return min(taken)


def test_work_is_linear_in_the_bytes() -> None:
    """Four times the bytes take four times as long; searching or copying what is there each time takes sixteen."""
    assert seconds_for(MOST) < 9 * seconds_for(MOST // 4)
