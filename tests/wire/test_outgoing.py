"""What is on its way out: sent in parts, and let go once it is sent."""

from __future__ import annotations

import socket

from secretd.wire.outgoing import Outgoing


def test_a_message_that_was_sent_is_kept_by_nobody() -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with sender, receiver:
        sender.setblocking(False)
        message = bytes(1_000_000)
        outgoing = Outgoing(memoryview(message))
        outgoing.send_some(sender)
        assert outgoing.rest.obj is message
        received = 0
        while outgoing.rest:
            received += len(receiver.recv(1_000_000))
            outgoing.send_some(sender)
        assert len(outgoing.rest) == 0
        assert outgoing.rest.obj is not message
        sender.close()
        while data := receiver.recv(1_000_000):
            received += len(data)
        assert received == len(message)
