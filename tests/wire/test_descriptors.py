"""The rule that says which message a descriptor belongs to, held against the kernel that it rests on."""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Iterator

import pytest

from secretd.wire.native import Message, NativeFraming

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The two ends of a connection: the sender's, the receiver's."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with sender, receiver:
        yield sender, receiver


@pytest.fixture
def marker() -> Iterator[int]:
    """A descriptor to be sent."""
    descriptor = os.memfd_create("marker")
    yield descriptor
    os.close(descriptor)


def send(sender: socket.socket, data: bytes, descriptors: list[int]) -> int:
    """Send by one sendmsg."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    return sender.sendmsg([data], ancillary)


def receive_all(receiver: socket.socket, buffer_bytes: int) -> list[tuple[bytes, bool]]:
    """Receive to the end of the stream; give each message, and whether a descriptor belongs to it."""
    framing = NativeFraming()
    while True:
        data, descriptors, _, _ = socket.recv_fds(receiver, buffer_bytes, 2, socket.MSG_CMSG_CLOEXEC)
        if not data:
            break
        assert framing.receive(data, descriptors) == ()
    messages: list[tuple[bytes, bool]] = []
    while isinstance(message := framing.next_event(), Message):
        messages.append((message.body, bool(message.descriptors)))
        for descriptor in message.descriptors:
            os.close(descriptor)
    return messages


@pytest.mark.parametrize("buffer_bytes", [1, 2, 3, 5, 7, 65_536])
@pytest.mark.parametrize("owner", [0, 1, 2, 3])
def test_pipelined_messages_keep_their_descriptors(ends: Ends, marker: int, owner: int, buffer_bytes: int) -> None:
    sender, receiver = ends
    bodies = [b"<a/>", b"<bb/>", b"<c/>", b"<dddd/>"]
    for place, body in enumerate(bodies):
        send(sender, body + b"\0", [marker] if place == owner else [])
    sender.shutdown(socket.SHUT_WR)
    assert receive_all(receiver, buffer_bytes) == [(body, place == owner) for place, body in enumerate(bodies)]


@pytest.mark.parametrize("buffer_bytes", [1, 4, 65_536])
def test_each_message_its_own(ends: Ends, marker: int, buffer_bytes: int) -> None:
    sender, receiver = ends
    for _ in range(5):
        send(sender, b"<a/>\0", [marker])
    sender.shutdown(socket.SHUT_WR)
    assert receive_all(receiver, buffer_bytes) == [(b"<a/>", True)] * 5


@pytest.mark.parametrize("with_byte", range(5))
def test_a_descriptor_may_go_with_any_bytes_of_its_message(ends: Ends, marker: int, with_byte: int) -> None:
    sender, receiver = ends
    send(sender, b"<a/>\0", [])
    for place, byte in enumerate(b"<b/>\0"):
        send(sender, bytes([byte]), [marker] if place == with_byte else [])
    send(sender, b"<c/>\0", [])
    sender.shutdown(socket.SHUT_WR)
    assert receive_all(receiver, 65_536) == [(b"<a/>", False), (b"<b/>", True), (b"<c/>", False)]


def test_a_long_message_that_the_kernel_takes_in_parts(ends: Ends, marker: int) -> None:
    sender, receiver = ends
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    sender.setblocking(False)
    send(sender, b"<a/>\0", [])
    rest = b"<" + b"x" * 200_000 + b"/>\0"
    descriptors, parts, framing = [marker], 0, NativeFraming()
    while rest:
        try:
            rest = rest[send(sender, rest, descriptors) :]
        except BlockingIOError:
            framing.receive(*socket.recv_fds(receiver, 4_096, 2)[:2])
        else:
            descriptors, parts = [], parts + 1
    sender.close()
    while (received := socket.recv_fds(receiver, 4_096, 2)[:2])[0]:
        framing.receive(*received)
    first, second = framing.next_event(), framing.next_event()
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert parts > 1
    assert (first.descriptors, len(second.descriptors)) == ((), 1)
    os.close(second.descriptors[0])


def test_linux_glues_bytes_before_a_descriptor_but_none_behind(ends: Ends, marker: int) -> None:
    """What docs/protocol.md rests on; should this ever fail, the rule there has to change."""
    sender, receiver = ends
    send(sender, b"before", [])
    send(sender, b"with", [marker])
    send(sender, b"behind", [])
    data, descriptors, _, _ = socket.recv_fds(receiver, 65_536, 2)
    os.close(descriptors[0])
    assert data == b"beforewith"
    assert receiver.recv(65_536) == b"behind"
