"""The framing of the native protocol: bytes in, messages out, and the other way round.

One NativeFraming serves one connection, of either side.  It has no socket and no clock, never looks into a
message, and holds descriptors as plain numbers: it neither reads nor closes them.

The rules it keeps:

- A NUL byte ends a message, and stands nowhere else.  How the bytes were cut never changes the messages.
- A message that outgrows limits.MESSAGE_BYTES is given up at the byte that is too many; it is not kept.  That and
  an end of the stream inside a message are the peer's fault, come after the messages before them, and stick.
- A descriptor belongs to the message that holds the last byte received together with it.
- No message holds more than one descriptor too many, so a peer can't fill the process's table drop by drop.
- Its work is linear in the bytes received, also when they come one by one; and bytes become messages only as these
  are taken, so that a peer who sends nothing but NULs costs no more than what he sends.

Source: docs/protocol.md, "Messages" and "Which message a descriptor belongs to".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from secretd import limits
from secretd.errors import LocalProtocolError, RemoteProtocolError
from secretd.wire.stream import Pause, State

_NUL = b"\0"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was received.

    Attributes:
        ordinal: its number on this connection and in this direction; the first is 1.
        body: the bytes before the NUL, at most limits.MESSAGE_BYTES; perhaps none, perhaps no XML. May hold a value.
        descriptors: what came with it and is now the taker's to close. One more than
            limits.DESCRIPTORS_PER_MESSAGE stands for any number of too many.
    """

    ordinal: int
    body: bytes
    descriptors: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Message(ordinal={self.ordinal}, {len(self.body)} bytes, {len(self.descriptors)} descriptors)"


@dataclass(frozen=True, slots=True)
class _Held:
    """A descriptor, and the place in the stream of the last byte that came with it."""

    last_byte: int
    descriptor: int


class _Step(Enum):
    __hash__ = object.__hash__

    PART = auto()
    NUL = auto()
    TOO_LONG = auto()
    END = auto()


_NEXT: dict[tuple[State, _Step], State] = {
    (State.BETWEEN, _Step.PART): State.INSIDE,
    (State.BETWEEN, _Step.NUL): State.BETWEEN,
    (State.BETWEEN, _Step.TOO_LONG): State.BROKEN,
    (State.BETWEEN, _Step.END): State.ENDED,
    (State.INSIDE, _Step.PART): State.INSIDE,
    (State.INSIDE, _Step.NUL): State.BETWEEN,
    (State.INSIDE, _Step.TOO_LONG): State.BROKEN,
    (State.INSIDE, _Step.END): State.BROKEN,
    (State.ENDED, _Step.TOO_LONG): State.BROKEN,
    (State.BROKEN, _Step.END): State.BROKEN,
}

_FAULTS = {
    _Step.TOO_LONG: f"a message may have at most {limits.MESSAGE_BYTES} bytes",
    _Step.END: "the stream ended inside a message",
}
_AFTER_END = "nothing is received after the end of the stream"


class NativeFraming:
    """The framing of one connection, seen from one of its ends."""

    def __init__(self) -> None:
        self._state = State.BETWEEN
        self._fault: str | None = None
        self._buffer = bytearray()
        self._part_bytes = 0
        self._part_descriptors = 0
        self._held: deque[_Held] = deque()
        self._cut_bytes = 0
        self._received = 0
        self._taken = 0
        self._sent = 0

    @property
    def state(self) -> State:
        """What was received last."""
        return self._state

    @property
    def ordinal(self) -> int:
        """The ordinal of the message that is being received: also of the one that broke the framing."""
        return self._received + 1

    @property
    def sent(self) -> int:
        """The ordinal of the message sent last; 0 before the first."""
        return self._sent

    def receive(self, data: bytes, descriptors: Sequence[int] = ()) -> tuple[int, ...]:
        """Take in what one recvmsg gave. It is cut into messages only as they are taken.

        Args:
            data: the bytes; none mean nothing, not the end (see receive_eof).
            descriptors: those that came with them, now kept until their message is taken.

        Returns:
            The descriptors that are not kept, because their message has too many or the framing is broken already:
            the caller's to close.

        Raises:
            LocalProtocolError: the stream has ended, or descriptors came without bytes; nothing was kept.
        """
        if self._state is State.ENDED:
            raise LocalProtocolError(_AFTER_END)
        if descriptors and not data:
            raise LocalProtocolError("descriptors come with bytes")
        if self._state is State.BROKEN or not data:
            return tuple(descriptors)
        surplus = self._keep(data, descriptors) if descriptors or self._part_descriptors else ()
        self._take_in(data)
        return surplus

    def receive_eof(self) -> None:
        """Take in the end of the stream.

        Raises:
            LocalProtocolError: there was one before.
        """
        self._step(_Step.END)

    def next_event(self) -> Message | Pause:
        """Give the next message, or why there is none.

        Raises:
            RemoteProtocolError: the peer broke the framing and all messages before that were taken; each time.
        """
        if len(self._buffer) > self._part_bytes:
            end = self._buffer.find(_NUL)
            if end <= limits.MESSAGE_BYTES:
                return self._cut(end)
            # Only where one receive brought more than a message may have: receive looks at its two ends.
            self._received = self._taken
            self._break(whole_bytes=0)
        if self._fault is not None:
            raise RemoteProtocolError(self._fault)
        return Pause.END if self._state is State.ENDED else Pause.NEED_DATA

    def send(self, body: bytes) -> bytes:
        """Frame a message; whoever sends a descriptor with it sends no other message's bytes along.

        Raises:
            LocalProtocolError: the body holds a NUL, or more than limits.MESSAGE_BYTES bytes.
        """
        if len(body) > limits.MESSAGE_BYTES:
            raise LocalProtocolError(_FAULTS[_Step.TOO_LONG])
        if _NUL in body:
            raise LocalProtocolError("a message may not hold a NUL")
        self._sent += 1
        return body + _NUL

    def take_descriptors(self) -> tuple[int, ...]:
        """Give up: drop the messages not taken yet, and hand over every descriptor still kept, to be closed."""
        taken = tuple(held.descriptor for held in self._held)
        self._held.clear()
        self._part_descriptors = 0
        whole_bytes = len(self._buffer) - self._part_bytes
        self._drop(0, whole_bytes)
        self._cut_bytes += whole_bytes
        self._taken = self._received
        return taken

    def _take_in(self, data: bytes) -> None:
        """Keep the bytes, but for those of a message that is too long already."""
        first, last = data.find(_NUL), data.rfind(_NUL)
        if first < 0:
            self._take_in_part(data)
        elif self._part_bytes + first > limits.MESSAGE_BYTES:
            self._break(len(self._buffer) - self._part_bytes)
        else:
            self._buffer += data[: last + 1]
            self._received += data.count(_NUL)
            self._part_bytes = 0
            self._step(_Step.NUL)
            if last + 1 < len(data):
                self._take_in_part(data[last + 1 :])

    def _take_in_part(self, data: bytes) -> None:
        if self._part_bytes + len(data) > limits.MESSAGE_BYTES:
            self._break(len(self._buffer) - self._part_bytes)
        else:
            self._buffer += data
            self._part_bytes += len(data)
            self._step(_Step.PART)

    def _keep(self, data: bytes, descriptors: Sequence[int]) -> tuple[int, ...]:
        """Hold descriptors for the message of the last byte, up to one too many; gives back the others."""
        if data.rfind(_NUL, 0, len(data) - 1) >= 0:
            self._part_descriptors = 0
        room = limits.DESCRIPTORS_PER_MESSAGE + 1 - self._part_descriptors
        last_byte = self._cut_bytes + len(self._buffer) + len(data) - 1
        self._held.extend(_Held(last_byte, descriptor) for descriptor in descriptors[:room])
        self._part_descriptors = 0 if data.endswith(_NUL) else self._part_descriptors + len(descriptors[:room])
        return tuple(descriptors[room:])

    def _cut(self, end: int) -> Message:
        body = bytes(self._buffer[:end])
        # Cheap: a bytearray moves its beginning and not its bytes.
        self._drop(0, end + 1)
        self._cut_bytes += end + 1
        self._taken += 1
        descriptors = []
        while self._held and self._held[0].last_byte < self._cut_bytes:
            descriptors.append(self._held.popleft().descriptor)
        return Message(self._taken, body, tuple(descriptors))

    def _break(self, whole_bytes: int) -> None:
        """Note that a message is too long, and drop its bytes and all behind them."""
        self._step(_Step.TOO_LONG)
        self._drop(whole_bytes, len(self._buffer))
        self._part_bytes = 0

    def _drop(self, start: int, end: int) -> None:
        # Overwritten first: a bytearray keeps the memory of what is deleted, as long as much of it is in use.
        self._buffer[start:end] = bytes(end - start)
        del self._buffer[start:end]

    def _step(self, step: _Step) -> None:
        after = _NEXT.get((self._state, step))
        if after is None:
            raise LocalProtocolError(_AFTER_END)
        if after is State.BROKEN and self._fault is None:
            self._fault = _FAULTS[step]
        self._state = after
