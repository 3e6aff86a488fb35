"""A peer of the libvirt door without a socket: calls in, replies and events out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from helpers.core import OWNER, Core
from secretd.doors.libvirt import LibvirtSession
from secretd.doors.libvirt_connection import Host
from secretd.doors.session import Answer, Nothing, Outlet, Taken
from secretd.doors.stepping import Done
from secretd.model import Caller, Mode
from secretd.wire import xdr
from secretd.wire.libvirt import LibvirtFraming, Packet, frame
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Procedure, Status
from secretd.wire.xdr import Decoder

TOKEN = b"0123456789abcdef0123456789abcdef"
URI = b"secret:///session"


def host_of(core: Core, mode: Mode = Mode.SESSION) -> Host:
    """Make what all sessions of a core's libvirt door share; only its owner may hold the token."""
    return Host(core.service, mode, lambda token, peer: token == TOKEN and peer.uid == OWNER.uid)


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818  # what a call was answered, which a test expects
    """A call was answered by an error."""

    code: int
    domain: int
    level: int
    message: str

    def __str__(self) -> str:
        return f"({self.code}, {self.domain}) {self.message}"


class Peer(Outlet):
    """One connection, and what was sent to it unasked.

    Attributes:
        sent: all of it.
        ended: whether the connection was ended.
        reads: whether the peer reads what is sent, at once.
    """

    room = 1_000_000
    full = False

    def __init__(self, host: Host, caller: Caller = OWNER) -> None:
        self.session = LibvirtSession(host, caller)
        self.session.attach(self)
        self.sent: list[Packet] = []
        self.ended = False
        self.reads = False
        self._serial = 0

    def send(self, answer: Answer) -> None:
        """Keep what is sent; what the peer reads at once is off the daemon's hands before this returns."""
        self.sent.extend(packets(bytes(answer.rest)))
        if self.reads:
            answer.rest = answer.rest[len(answer.rest) :]

    def end(self) -> None:
        """Note the end."""
        self.ended = True

    async def call(self, procedure: int, body: bytes = b"") -> bytes:
        """Give the body of a call's reply.

        Raises:
            Refused: it was answered by an error.
        """
        self._serial += 1
        reply = await self.ask(frame(PROGRAM, VERSION, procedure, Kind.CALL, self._serial, Status.OK, body))
        assert (reply.procedure, reply.kind, reply.serial) == (procedure, Kind.REPLY, self._serial)
        if reply.status == Status.OK:
            return reply.body
        raise refusal(reply)

    async def ask(self, request: bytes) -> Packet:
        """Give the reply to a frame."""
        self.session.receive(request, ())
        taken = self.session.take_message()
        assert isinstance(taken, Taken)
        answer = taken.outcome.result if isinstance(taken.outcome, Done) else await taken.outcome
        (reply,) = packets(bytes(answer.rest))
        return reply

    def says_nothing_to(self, request: bytes) -> Nothing:
        """Send what is not answered; gives why."""
        self.session.receive(request, ())
        nothing = self.session.take_message()
        assert isinstance(nothing, Nothing)
        return nothing

    async def open(self, uri: bytes | None = URI, flags: int = 0) -> None:
        """Open a URI."""
        await self.call(Procedure.CONNECT_OPEN, open_body(uri, flags))

    async def show(self, token: bytes) -> None:
        """Say who one is, with a token."""
        parameter = xdr.string(b"system.token") + xdr.int32(7) + xdr.string(token)
        await self.call(Procedure.CONNECT_SET_IDENTITY, xdr.uint32(1) + parameter + xdr.uint32(0))


def packets(data: bytes) -> list[Packet]:
    """Cut bytes into packets."""
    framing = LibvirtFraming()
    framing.receive(data)
    found = []
    while isinstance(event := framing.next_event(), Packet):
        found.append(event)
    return found


def refusal(reply: Packet) -> Refused:
    """Read an error."""
    assert reply.status == Status.ERROR
    decoder = Decoder(reply.body)
    code, domain = decoder.int32(), decoder.int32()
    assert decoder.optional()
    message = decoder.string(4_096).decode()
    return Refused(code, domain, decoder.int32(), message)


def open_body(uri: bytes | None, flags: int = 0) -> bytes:
    """Write the arguments of CONNECT_OPEN."""
    return xdr.optional_string(uri) + xdr.uint32(flags)


def ref(secret: UUID) -> bytes:
    """Name a secret in a call; the usage that stands there is never looked at."""
    return secret.bytes + xdr.int32(99) + xdr.string(b"whatever")


def flagged(flags: int = 0) -> Callable[[UUID], bytes]:
    """Give what writes the arguments of a call about a secret, with flags."""
    return lambda secret: ref(secret) + xdr.uint32(flags)
