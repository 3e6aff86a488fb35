"""What a value goes through at a door, without a connection: for the daemon's own look at what that leaves behind.

It is the real code, so that what a newer parser or interpreter keeps of a value shows here.
"""

from __future__ import annotations

from uuid import UUID

from secretd.documents.messages import open_request, write_reply, write_request
from secretd.model import SecretValue
from secretd.operations import BY_REQUEST, GetValue, GotValue, SetValue
from secretd.wire.native import Message, NativeFraming

_NOBODY = UUID(int=0)


def rehearse(value: SecretValue) -> SecretValue:
    """Take a value in as a request brings it, and write it as a reply does; gives the value that was taken in.

    Raises:
        RuntimeError: the message did not arrive whole.
    """
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
