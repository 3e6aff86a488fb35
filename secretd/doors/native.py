"""The native door: one XML document a message, one typed operation a document.

A message is judged in the order of what it costs: the caller holds some permission; the document parses; the
caller holds the operation's permission; and only then is a value that came with it looked at.

Source: docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from secretd import limits
from secretd.core.service import Service
from secretd.documents.events import write_event
from secretd.documents.messages import (
    RequestDocument,
    RequestError,
    carried_in,
    open_request,
    write_error,
    write_reply,
)
from secretd.doors.border import error_for_peer
from secretd.doors.framed import FramedSession
from secretd.doors.session import LOST_DESCRIPTOR, Answer, Nothing, Outlet, Taken
from secretd.doors.stepping import Done, Waiting, step
from secretd.doors.unread import UnreadEvents
from secretd.errors import BusyError, InvalidValueError, RemoteProtocolError, SecretdError
from secretd.model import Caller, SecretValue
from secretd.operations import Event, EventsLost, Reply, Request
from secretd.wire import memfd
from secretd.wire.native import Message, NativeFraming
from secretd.wire.stream import Pause

_LOST = write_event(EventsLost())


class NativeSession(FramedSession[NativeFraming]):
    """One connection of the native door."""

    def __init__(self, service: Service, caller: Caller) -> None:
        super().__init__(service, caller, NativeFraming())
        self._unread: UnreadEvents | None = None
        self._broken = False

    def refuse(self, error: SecretdError) -> Answer:
        """Answer the message that is received next with an error, by its ordinal."""
        return self._error(error, self._framing.ordinal, None)

    def take_message(self) -> Taken | Nothing:
        """Take the next message; what breaks the framing is answered once, by its ordinal, and is the last."""
        if self._broken:
            return Nothing.MORE
        try:
            event = self._framing.next_event()
        except RemoteProtocolError as error:
            self._broken = True
            return Taken(Done(self._error(error, self._framing.ordinal, None)))
        if isinstance(event, Message):
            return Taken(self._begin(event), event.descriptors)
        return Nothing.MORE if event is Pause.END else Nothing.YET

    def attach(self, outlet: Outlet) -> None:
        """Take in where to send events."""
        self._unread = UnreadEvents(self._framing.send, outlet)

    def tell(self, events: Sequence[Event]) -> None:
        """Send events, as far as the peer reads them."""
        if self._unread is not None:
            self._unread.add(map(write_event, events), _LOST)

    def give_up(self) -> tuple[int, ...]:
        """Drop what was received and not taken, and listen no more."""
        # It leads back to the connection: what was received would wait for the garbage collector, in the clear.
        self._unread = None
        return super().give_up()

    def _begin(self, message: Message) -> Done[Answer] | Waiting[Answer]:
        try:
            document = self._open(message.body)
        except RequestError as error:
            return Done(self._error(error.error, message.ordinal, error.serial))
        return step(self._answer(message, document))

    def _open(self, body: bytes) -> RequestDocument:
        """Parse a message of a caller who holds any permission at all.

        Raises:
            RequestError: he holds none, or it is no request.
        """
        try:
            self._service.admit(self._caller)
            return open_request(body)
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001  # the request border
            raise RequestError(error_for_peer(error)) from None

    async def _answer(self, message: Message, document: RequestDocument) -> Answer:
        """Answer a document; all that came with the message is read before the first wait."""
        try:
            self._service.admit(self._caller, document.operation.permission)
            request = _read(document, message.descriptors)
            return self._reply(document, await self._service.call(self._caller, request, self))
        except Exception as error:  # noqa: BLE001  # the request border
            return self._error(error_for_peer(error), message.ordinal, document.serial)

    def _reply(self, document: RequestDocument, reply: Reply) -> Answer:
        carried = carried_in(reply) if document.descriptor else None
        body = write_reply(document.serial, document.operation, reply, value_by_descriptor=carried is not None)
        framed = self._framing.send(body)
        return Answer(memoryview(framed), memfd.seal_value(carried) if carried is not None else None)

    def _error(self, error: SecretdError, ordinal: int, serial: int | None) -> Answer:
        body = write_error(error, message=ordinal) if serial is None else write_error(error, serial=serial)
        return Answer(memoryview(self._framing.send(body)))


def _read(document: RequestDocument, descriptors: Sequence[int]) -> Request[Reply]:
    if len(descriptors) > limits.DESCRIPTORS_PER_MESSAGE:
        raise InvalidValueError("a message carries at most one descriptor")
    carried: SecretValue | None = None
    for descriptor in descriptors:
        if descriptor == LOST_DESCRIPTOR:
            raise BusyError("the daemon has no descriptor left to receive the value with; nothing was done: try again")
        carried = memfd.read_value(descriptor)
    return document.read(carried)
