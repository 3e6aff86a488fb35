"""The framing of libvirt's RPC: bytes in, packets out, and the other way round.

One LibvirtFraming serves one connection, from the daemon's end.  It has no socket and no clock, and looks at the header
of a message, never into its body.

The rules it keeps:

- How the bytes were cut never changes the packets; its work is linear in them, also when they come one by one; and
  they become packets only as these are taken.
- A length that no message can have breaks the framing.  That and an end of the stream inside a message are the
  peer's fault, come after the messages before them, and stick.
- A message that is longer than limits.LIBVIRT_MESSAGE_BYTES is read to its end and not kept: of whoever takes every
  packet before more is received, no more is ever held than that and what was received last.
- No descriptor is kept.  A call may announce some, as libvirt's do: then each comes with a byte of its own behind
  the message, and such bytes are skipped; without the descriptors they break the framing, as libvirt's daemon has it.

Source: libvirt 12.8, src/rpc/virnetprotocol.x and docs/kbase/internals/rpc.rst; which lengths and counts end the
connection was seen at its daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, NoReturn

from secretd import limits
from secretd.errors import LocalProtocolError, RemoteProtocolError
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Status
from secretd.wire.stream import Pause, State

_HEADER = Struct(">IIIiiIi")
_WORD = Struct(">I")

# What every message is held against is plain: of an enum or a Limit each use costs more.
_HEADER_BYTES = _HEADER.size
_MOST_KEPT = int(limits.LIBVIRT_MESSAGE_BYTES)
_MOST_FRAMED = int(limits.LIBVIRT_FRAME_BYTES)
_REPLY, _MESSAGE = int(Kind.REPLY), int(Kind.MESSAGE)
_MESSAGE_SERIAL = 1
_OK, _ERROR = int(Status.OK), int(Status.ERROR)

_CALL, _CALL_WITH_FDS = int(Kind.CALL), int(Kind.CALL_WITH_FDS)

_BAD_LENGTH = f"a message has {_HEADER_BYTES} to {limits.LIBVIRT_FRAME_BYTES} bytes"
_BAD_COUNT = f"a call with descriptors says how many, at most {limits.LIBVIRT_DESCRIPTORS}"
_NO_DESCRIPTORS = "a call announced descriptors that did not come"
_CUT_OFF = "the stream ended inside a message"
_AFTER_END = "nothing is received after the end of the stream"


class Packet(NamedTuple):
    """One message as it was received.

    Attributes:
        program, version, procedure, kind, serial, status: its header; any numbers of 32 bits. The kind of a message
            that came with descriptors is that of one without.
        body: what is behind the header. May hold a value.
        oversize: the message was longer than limits.LIBVIRT_MESSAGE_BYTES, and its body is not here.
    """

    program: int
    version: int
    procedure: int
    kind: int
    serial: int
    status: int
    body: bytes
    oversize: bool = False

    def __repr__(self) -> str:
        return (
            f"Packet(program={self.program:#x}, version={self.version}, procedure={self.procedure}, kind={self.kind}, "
            f"serial={self.serial}, status={self.status}, {len(self.body)} bytes, oversize={self.oversize})"
        )


class LibvirtFraming:
    """The framing of one connection, seen from the daemon's end."""

    def __init__(self) -> None:
        # Bytes as long as one receive brought all that is here, which is nearly always.
        self._buffer: bytes | bytearray = b""
        self._start = 0
        self._descriptors = 0
        self._oversize: Packet | None = None
        self._announced = 0
        self._skip_bytes = 0
        self._ended = False
        self._fault: str | None = None

    @property
    def state(self) -> State:
        """What was received last; INSIDE also while whole messages wait to be taken, for nothing is parsed before."""
        if self._fault is not None:
            return State.BROKEN
        if self._buffer or self._oversize is not None:
            return State.INSIDE
        return State.ENDED if self._ended else State.BETWEEN

    def receive(self, data: bytes, descriptors: Sequence[int] = ()) -> tuple[int, ...]:
        """Take in what one recvmsg gave. It is cut into packets only as they are taken.

        Args:
            data: the bytes; none mean nothing, not the end (see receive_eof).
            descriptors: those that came with them.

        Returns:
            All the descriptors: the caller's to close.

        Raises:
            LocalProtocolError: the stream has ended, or descriptors came without bytes; nothing was kept.
        """
        if self._ended:
            raise LocalProtocolError(_AFTER_END)
        if descriptors:
            if not data:
                raise LocalProtocolError("descriptors come with bytes")
            self._descriptors += len(descriptors)
        if self._buffer or self._skip_bytes or self._fault is not None:
            self._take_in(data)
        else:
            self._buffer = data
        return tuple(descriptors)

    def receive_eof(self) -> None:
        """Take in the end of the stream.

        Raises:
            LocalProtocolError: there was one before.
        """
        if self._ended:
            raise LocalProtocolError(_AFTER_END)
        self._ended = True

    def next_event(self) -> Packet | Pause:
        """Give the next packet, or why there is none.

        Raises:
            RemoteProtocolError: the peer broke the framing and all packets before that were taken; each time.
        """
        start = self._start
        left = len(self._buffer) - start
        if left >= _HEADER_BYTES and self._oversize is None:
            length, program, version, procedure, kind, serial, status = _HEADER.unpack_from(self._buffer, start)
            if _HEADER_BYTES <= length <= left and length <= _MOST_KEPT and kind != _CALL_WITH_FDS:
                body = bytes(self._buffer[start + _HEADER_BYTES : start + length])
                self._drop(length)
                return Packet(program, version, procedure, kind, serial, status, body)
        return self._unusual_event(left)

    def take_descriptors(self) -> tuple[int, ...]:
        """Give up: drop what was received and not taken, and receive no more. There are no descriptors, ever."""
        self._buffer, self._start = b"", 0
        self._oversize = None
        self._ended = True
        return ()

    def _take_in(self, data: bytes) -> None:
        """Keep bytes behind others, but for those of a message that is too long, and those after a fault."""
        if self._fault is not None:
            return
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(data))
            self._skip_bytes -= skipped
            self._buffer = data[skipped:]
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def _unusual_event(self, left: int) -> Packet | Pause:
        """Give the next event, whatever it is.

        Args:
            left: how many bytes are here that are not cut.
        """
        if self._fault is not None:
            raise RemoteProtocolError(self._fault)
        if self._oversize is not None:
            return self._pause() if self._skip_bytes else self._end_oversize(self._oversize)
        if left >= _WORD.size:
            (length,) = _WORD.unpack_from(self._buffer, self._start)
            if not _HEADER.size <= length <= limits.LIBVIRT_FRAME_BYTES:
                self._break(_BAD_LENGTH)
        return self._cut(left) if left >= _HEADER.size else self._pause()

    def _cut(self, left: int) -> Packet | Pause:
        length, program, version, procedure, kind, serial, status = _HEADER.unpack_from(self._buffer, self._start)
        head, announced = _HEADER.size, 0
        if kind == _CALL_WITH_FDS:
            head += _WORD.size
            if length < head:
                self._break(_BAD_COUNT)
            if left < head:
                return self._pause()
            (announced,) = _WORD.unpack_from(self._buffer, self._start + _HEADER.size)
            if announced > limits.LIBVIRT_DESCRIPTORS:
                self._break(_BAD_COUNT)
            kind = _CALL
        if length > limits.LIBVIRT_MESSAGE_BYTES:
            self._oversize = Packet(program, version, procedure, kind, serial, status, b"", oversize=True)
            self._announced = announced
            self._skip_bytes = max(0, length + announced - left)
            self._drop(min(left, length + announced))
            return self.next_event()
        if left < length + announced:
            return self._pause()
        body = bytes(self._buffer[self._start + head : self._start + length])
        self._drop(length + announced)
        self._spend(announced)
        return Packet(program, version, procedure, kind, serial, status, body)

    def _end_oversize(self, packet: Packet) -> Packet:
        self._oversize = None
        self._spend(self._announced)
        return packet

    def _spend(self, announced: int) -> None:
        """Hold that so many descriptors came as a message announced."""
        if announced > self._descriptors:
            self._break(_NO_DESCRIPTORS)
        self._descriptors -= announced

    def _drop(self, length: int) -> None:
        self._start += length
        if self._start == len(self._buffer):
            self._buffer, self._start = b"", 0

    def _forget_taken(self) -> None:
        """Let go of what was taken before a message that is not yet whole: it may hold a value."""
        if isinstance(self._buffer, bytes):
            self._buffer = self._buffer[self._start :]
        else:
            # Overwritten first: a bytearray keeps the memory of what is deleted, as it moves its beginning and no byte.
            self._buffer[: self._start] = bytes(self._start)
            del self._buffer[: self._start]
        self._start = 0

    def _pause(self) -> Pause:
        if self._start:
            self._forget_taken()
        if not self._ended:
            return Pause.NEED_DATA
        if self.state is State.INSIDE:
            self._break(_CUT_OFF)
        return Pause.END

    def _break(self, fault: str) -> NoReturn:
        self._fault = fault
        self._buffer, self._start = b"", 0
        raise RemoteProtocolError(fault)


def frame(  # noqa: PLR0913, PLR0917  # what a header has
    program: int, version: int, procedure: int, kind: int, serial: int, status: int, body: bytes
) -> bytes:
    """Frame a message of any kind.

    Raises:
        LocalProtocolError: it is longer than limits.LIBVIRT_FRAME_BYTES.
    """
    length = _HEADER.size + len(body)
    if length > _MOST_FRAMED:
        raise LocalProtocolError(_BAD_LENGTH)
    return _HEADER.pack(length, program, version, procedure, kind, serial, status) + body


def reply(packet: Packet, body: bytes) -> bytes:
    """Frame what a call gives; raises as frame does."""
    return frame(packet.program, packet.version, packet.procedure, _REPLY, packet.serial, _OK, body)


def error_reply(packet: Packet, body: bytes) -> bytes:
    """Frame why a call gives nothing; raises as frame does."""
    return frame(packet.program, packet.version, packet.procedure, _REPLY, packet.serial, _ERROR, body)


def message(procedure: int, body: bytes) -> bytes:
    """Frame a message of the remote program that answers nothing; raises as frame does.

    Its serial is that of libvirt's own daemon, though no client looks at it.
    """
    return frame(PROGRAM, VERSION, procedure, _MESSAGE, _MESSAGE_SERIAL, _OK, body)
