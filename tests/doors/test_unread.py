"""Events that a peer does not read: bounded, and their loss told once for each time that it stops reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.doors.session import Answer, Outlet
from secretd.doors.unread import UnreadEvents

LOST = b"<lost/>"
LARGEST = limits.EVENT_BYTES_WAITING - limits.ANSWER_BYTES


class Peer(Outlet):
    """Stands in for a connection: it keeps what is sent until it is read."""

    room = int(limits.REPLY_BYTES_WAITING_PER_UID)
    full = False

    def __init__(self) -> None:
        self.waiting: list[Answer] = []
        self.unread = UnreadEvents(lambda document: document + b"\0", self)

    def send(self, answer: Answer) -> None:
        self.waiting.append(answer)

    def end(self) -> None:
        raise AssertionError("no event ends a connection of the native door")

    def add(self, *documents: bytes) -> None:
        self.unread.add(documents, LOST)

    def read(self) -> list[bytes]:
        """Read all that waits."""
        taken = b"".join(bytes(answer.rest) for answer in self.waiting)
        for answer in self.waiting:
            answer.rest = answer.rest[len(answer.rest) :]
        self.waiting.clear()
        return taken.split(b"\0")[:-1]

    @property
    def cost(self) -> int:
        return sum(answer.cost for answer in self.waiting)


def test_events_of_one_round_are_one_answer() -> None:
    peer = Peer()
    peer.add(b"a", b"b")
    assert [bytes(answer.rest) for answer in peer.waiting] == [b"a\0b\0"]


def test_nothing_is_no_answer() -> None:
    peer = Peer()
    peer.add()
    assert peer.waiting == []


def test_the_loss_stands_behind_what_there_was_room_for_and_once() -> None:
    peer = Peer()
    big = b"x" * (LARGEST // 2)
    peer.add(b"a", big, big, b"b")
    peer.add(b"c")
    assert peer.read() == [b"a", big, LOST]


def test_after_a_loss_was_read_events_flow_again() -> None:
    peer = Peer()
    big = b"x" * LARGEST
    peer.add(big, b"a")
    assert peer.read() == [big, LOST]
    peer.add(b"b")
    peer.add(big)
    peer.add(b"c")
    assert peer.read() == [b"b", LOST]


def test_a_loss_that_is_half_sent_holds_on() -> None:
    peer = Peer()
    peer.add(b"x" * LARGEST, b"a")
    for answer in peer.waiting:
        answer.rest = answer.rest[-1:]
    peer.add(b"b")
    assert len(peer.waiting) == 2


def test_one_event_that_is_too_long_is_sent_where_nothing_waits() -> None:
    peer = Peer()
    peer.add(b"x" * (2 * LARGEST))
    peer.add(b"a")
    assert [len(message) for message in peer.read()] == [2 * LARGEST, len(LOST)]


def test_a_uid_that_has_no_room_is_told_one_event_at_a_time() -> None:
    peer = Peer()
    peer.room = 0
    peer.add(b"a", b"b")
    assert peer.read() == [b"a", LOST]
    peer.add(b"c")
    assert peer.read() == [b"c"]


@given(st.lists(st.one_of(st.none(), st.lists(st.integers(1, LARGEST), min_size=1, max_size=4)), max_size=30))
def test_it_stays_bounded_and_every_gap_has_its_loss(steps: list[list[int] | None]) -> None:
    peer, sent, received = Peer(), 0, []
    for step in [*steps, None]:
        if step is None:
            received += peer.read()
            continue
        documents = [str(sent + place).encode().ljust(size, b" ") for place, size in enumerate(step)]
        sent += len(documents)
        peer.add(*documents)
        # The loss itself, and what a single answer costs.
        assert peer.cost <= limits.EVENT_BYTES_WAITING + 2 * limits.ANSWER_BYTES
    expected: int | None = 0
    for message in received:
        if message == LOST:
            assert expected is not None, "two losses, and no event between them"
            expected = None
        else:
            number = int(message)
            assert expected is None or number == expected, "a gap that nobody was told of"
            expected = number + 1
    assert expected is None or expected == sent
