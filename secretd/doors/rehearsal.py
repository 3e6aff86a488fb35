"""What a value goes through at the doors, without a connection: for the daemon's own look at what that leaves behind.

It is the real code, so that what a newer parser or interpreter keeps of a value shows here.
"""

from __future__ import annotations

from uuid import UUID

from secretd.documents.messages import open_request, write_reply, write_request
from secretd.model import SecretValue
from secretd.operations import BY_REQUEST, GetValue, GotValue, SetValue
from secretd.wire import libvirt_bodies as bodies
from secretd.wire import xdr
from secretd.wire.libvirt import LibvirtFraming, Packet, frame, reply
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Procedure, Status
from secretd.wire.native import Message, NativeFraming

_NOBODY = UUID(int=0)


def rehearse(value: SecretValue) -> SecretValue:
    """Take a value in as calls bring it, and write it as replies do; gives the value that was taken in.

    Raises:
        RuntimeError: a message did not arrive whole.
    """
    return _at_the_libvirt_door(_at_the_native_door(value))


def _at_the_native_door(value: SecretValue) -> SecretValue:
    framing = NativeFraming()
    framing.receive(framing.send(write_request(0, SetValue(_NOBODY, value))))
    message = framing.next_event()
    if not isinstance(message, Message):
        raise RuntimeError("a message that was framed whole is not whole")
    request = open_request(message.body).read()
    if not isinstance(request, SetValue):
        raise RuntimeError("a request was read as another")
    framing.send(write_reply(0, BY_REQUEST[GetValue], GotValue(request.value)))
    return request.value


def _at_the_libvirt_door(value: SecretValue) -> SecretValue:
    arguments = bodies.secret(_NOBODY.bytes, 0, b"") + xdr.opaque(value.reveal()) + xdr.uint32(0)
    framing = LibvirtFraming()
    framing.receive(frame(PROGRAM, VERSION, Procedure.SECRET_SET_VALUE, Kind.CALL, 0, Status.OK, arguments))
    packet = framing.next_event()
    if not isinstance(packet, Packet):
        raise RuntimeError("a call that was framed whole is not whole")
    _, taken, _ = bodies.set_value_args(packet.body)
    reply(packet, bodies.opaque_reply(taken))
    return SecretValue(taken)
