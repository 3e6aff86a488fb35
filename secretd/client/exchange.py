"""What both clients share: requests out, answers and events in, and no socket.

One Exchange serves one connection.  It allots the serials, remembers what was asked, and finds for every
reply the request it belongs to, by serial or, for a request that the daemon could not read, by ordinal.

The rules it keeps:

- A serial is not used again before its reply is there, also if nobody waits for the reply any more.
- Every descriptor that arrives is closed here, whatever becomes of its message.
- A reply that cannot be understood is the daemon's fault (RemoteProtocolError), never the caller's. If it at least
  says which request it answers, only that one fails; otherwise the connection is of no more use.
- An event that nobody subscribed to is such a fault, too. After the end of a subscription some may still come.

Source: docs/protocol.md, "Requests and replies" and "Events".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from secretd import limits
from secretd.documents.events import is_event, read_event
from secretd.documents.messages import ReplyDocument, carried_in, read_reply, write_request
from secretd.errors import InvalidValueError, RemoteProtocolError, SecretdError
from secretd.model import SecretValue
from secretd.operations import Event, Reply, Request, Subscribe
from secretd.wire.memfd import read_value, seal_value
from secretd.wire.native import Message, NativeFraming
from secretd.wire.outgoing import Outgoing
from secretd.wire.stream import Pause


@dataclass(slots=True)
class OutgoingRequest(Outgoing):
    """A request on its way; ``serial`` is what its answer will name."""

    serial: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: its reply, or the error that it failed with."""

    serial: int
    outcome: Reply | SecretdError


@dataclass(frozen=True, slots=True)
class _Pending:
    ordinal: int
    request_type: type[Request[Reply]]


class Exchange:
    """The requests and replies of one connection.

    Args:
        descriptors: send values by sealed memfd, and ask for them so.
    """

    def __init__(self, *, descriptors: bool = False) -> None:
        self._descriptors = descriptors
        self._framing = NativeFraming()
        self._pending: dict[int, _Pending] = {}
        self._serials: dict[int, int] = {}
        self._next_serial = 0
        self._subscribed = False

    def request(self, request: Request[Reply]) -> OutgoingRequest:
        """Write a request under a serial of its own; it counts as sent from here on.

        Raises:
            LocalProtocolError: it is longer than a message may be.
            OSError: its value needs a descriptor, and none is to be had.
        """
        serial = self._allot()
        carried = carried_in(request) if self._descriptors else None
        body = write_request(serial, request, descriptor=self._descriptors, value_by_descriptor=carried is not None)
        # Sealed before it is framed, as what is framed counts as sent; and what has a descriptor is never too long.
        descriptor = None if carried is None else seal_value(carried)
        data = self._framing.send(body)
        self._pending[serial] = _Pending(self._framing.sent, type(request))
        self._serials[self._framing.sent] = serial
        self._subscribed = self._subscribed or isinstance(request, Subscribe)
        return OutgoingRequest(memoryview(data), descriptor, serial=serial)

    def receive(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Take in what one recvmsg gave."""
        _close_all(self._framing.receive(data, descriptors))

    def next_received(self) -> Answer | Event | None:
        """Give the next answer or event, if one is there.

        Raises:
            RemoteProtocolError: the daemon broke the protocol in a way that leaves the connection of no use.
        """
        message = self._framing.next_event()
        if isinstance(message, Pause):
            return None
        try:
            return self._event(message) if is_event(message.body) else self._answer(message)
        finally:
            _close_all(message.descriptors)

    def close(self) -> None:
        """Close what is left."""
        _close_all(self._framing.take_descriptors())

    def _allot(self) -> int:
        while self._next_serial in self._pending:
            self._next_serial = (self._next_serial + 1) % (limits.SERIAL + 1)
        serial = self._next_serial
        self._next_serial = (serial + 1) % (limits.SERIAL + 1)
        return serial

    def _event(self, message: Message) -> Event:
        if not self._subscribed or message.descriptors:
            raise RemoteProtocolError("the daemon sent an event that nobody asked for, or a descriptor beside one")
        try:
            return read_event(message.body)
        except SecretdError as error:
            raise RemoteProtocolError(f"the daemon sent an event that cannot be understood: {error.message}") from None

    def _answer(self, message: Message) -> Answer:
        document = _read(message)
        serial, pending = self._settle(document)
        return Answer(serial, document.error or _result(document, pending, message.descriptors))

    def _settle(self, document: ReplyDocument) -> tuple[int, _Pending]:
        serial = document.serial if document.message is None else self._serials.get(document.message)
        pending = self._pending.pop(serial, None) if serial is not None else None
        if serial is None or pending is None:
            raise RemoteProtocolError("the daemon answered a request that was not made")
        del self._serials[pending.ordinal]
        return serial, pending


def _read(message: Message) -> ReplyDocument:
    try:
        return read_reply(message.body)
    except SecretdError as error:
        raise RemoteProtocolError(f"the daemon sent a message that is no reply: {error.message}") from None


def _result(document: ReplyDocument, pending: _Pending, descriptors: tuple[int, ...]) -> Reply | RemoteProtocolError:
    try:
        return document.read(pending.request_type, _carried(descriptors))
    except SecretdError as error:
        return RemoteProtocolError(f"the daemon's reply cannot be understood: {error.message}")


def _carried(descriptors: tuple[int, ...]) -> SecretValue | None:
    if len(descriptors) > limits.DESCRIPTORS_PER_MESSAGE:
        raise InvalidValueError("it came with more than one descriptor")
    return read_value(descriptors[0]) if descriptors else None


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
