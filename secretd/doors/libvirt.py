"""The libvirt door: an unmodified virsh, virtqemud or binding works, and cannot tell.

A call is judged in libvirt's order: its arguments decode; the connection is open, if the call needs that; then what the
call itself checks.  A call that fails is answered by an error, and the connection lives, unless the framing is broken.
What is no call is passed over, but for a ping, which is answered.

Source: docs/libvirt.md; libvirt's daemon, 12.8, as it answers; docs/adr/0020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from secretd.doors.border import error_for_peer
from secretd.doors.framed import FramedSession
from secretd.doors.libvirt_calls import CALLS
from secretd.doors.libvirt_connection import Host, LibvirtConnection
from secretd.doors.libvirt_errors import error_body, rpc_error, undecodable
from secretd.doors.session import Answer, Nothing, Outlet, Taken
from secretd.doors.stepping import Done, step
from secretd.doors.unread import UnreadEvents
from secretd.errors import (
    LibvirtCode,
    LibvirtError,
    LocalProtocolError,
    RemoteProtocolError,
    SecretdError,
)
from secretd.model import Caller
from secretd.operations import Event, EventsLost
from secretd.wire import libvirt as wire
from secretd.wire import libvirt_bodies as bodies
from secretd.wire.libvirt import LibvirtFraming, Packet
from secretd.wire.libvirt_foreign import FOREIGN
from secretd.wire.libvirt_procedures import (
    KEEPALIVE_PROGRAM,
    PROGRAM,
    VERSION,
    CloseReason,
    KeepaliveProcedure,
    Kind,
    Procedure,
    Status,
)
from secretd.wire.stream import Pause
from secretd.wire.xdr import XdrError

_PING = (KEEPALIVE_PROGRAM, VERSION, KeepaliveProcedure.PING, Kind.MESSAGE)
_PONG = wire.frame(KEEPALIVE_PROGRAM, VERSION, KeepaliveProcedure.PONG, Kind.MESSAGE, 0, Status.OK, b"")
_LOST = wire.message(Procedure.CONNECT_EVENT_CONNECTION_CLOSED, bodies.connection_closed(CloseReason.ERROR))


class LibvirtSession(FramedSession[LibvirtFraming]):
    """One connection of the libvirt door."""

    def __init__(self, host: Host, caller: Caller) -> None:
        super().__init__(host.service, caller, LibvirtFraming())
        self._connection = LibvirtConnection(host, caller, self)
        self._outlet: Outlet | None = None
        self._unread: UnreadEvents | None = None
        self._broken = False

    def refuse(self, error: SecretdError) -> Answer:
        """Answer the first call of every client of libvirt's, which has the serial 0."""
        first = Packet(PROGRAM, VERSION, Procedure.AUTH_LIST, Kind.CALL, 0, 0, b"")
        return self._error(first, error)

    def take_message(self) -> Taken | Nothing:
        """Take the next call; what breaks the framing ends the connection without a word, as libvirt does it."""
        if self._broken or self._connection.closing:
            return Nothing.MORE
        try:
            event = self._framing.next_event()
        except RemoteProtocolError:
            self._broken = True
            return Nothing.MORE
        if isinstance(event, Pause):
            return Nothing.MORE if event is Pause.END else Nothing.YET
        if event.kind == Kind.CALL:
            return Taken(step(self._answer(event)))
        return Taken(Done(Answer(memoryview(_PONG)))) if event[:4] == _PING else Nothing.PASSED

    def attach(self, outlet: Outlet) -> None:
        """Take in where to send events."""
        self._outlet = self._connection.outlet = outlet
        self._unread = UnreadEvents(bytes, outlet)

    def tell(self, events: Sequence[Event]) -> None:
        """Send events, as far as the peer reads them; libvirt has no word for a loss, so one ends the connection."""
        if self._unread is None or self._outlet is None:
            return
        if any(isinstance(event, EventsLost) for event in events):
            told = self._unread.lose(_LOST)
        else:
            messages = [message for event in events for message in self._connection.callbacks.messages(event)]
            told = self._unread.add(messages, _LOST)
        if told:
            self._outlet.end()

    def give_up(self) -> tuple[int, ...]:
        """Drop what was received and not taken, and listen no more."""
        # They lead back to the connection: what was received would wait for the garbage collector, in the clear.
        self._unread = self._outlet = self._connection.outlet = None
        return super().give_up()

    async def _answer(self, packet: Packet) -> Answer:
        try:
            return self._reply(packet, await self._run(packet))
        except Exception as error:  # noqa: BLE001  # the request border
            return self._error(packet, error)

    def _reply(self, packet: Packet, body: bytes) -> Answer:
        try:
            return Answer(memoryview(wire.reply(packet, body)))
        except LocalProtocolError:
            raise rpc_error("the reply is longer than a message may be") from None

    async def _run(self, packet: Packet) -> bytes:
        """Give the body of a call's reply.

        Raises:
            SecretdError: the call fails.
        """
        if packet.program != PROGRAM or packet.version != VERSION:
            raise rpc_error("there is no such program here, or not this version of it")
        if packet.status != Status.OK:
            raise rpc_error("a call has no status but 0")
        call = CALLS.get(packet.procedure)
        if call is None:
            return self._refuse_unknown(packet.procedure)
        if packet.oversize:
            raise undecodable()
        try:
            arguments = call.decode(packet.body)
        except XdrError:
            raise undecodable() from None
        if not call.when_closed:
            self._connection.require_open()
        return await call.run(self._connection, arguments)

    def _refuse_unknown(self, procedure: int) -> NoReturn:
        domain = FOREIGN.get(procedure)
        if domain is None:
            raise rpc_error("there is no such procedure")
        self._connection.require_open()
        raise LibvirtError(LibvirtCode.NO_SUPPORT, domain, "a secret daemon has no such procedure")

    def _error(self, packet: Packet, error: Exception) -> Answer:
        told = error if isinstance(error, LibvirtError) else error_for_peer(error)
        return Answer(memoryview(wire.error_reply(packet, error_body(told))))
