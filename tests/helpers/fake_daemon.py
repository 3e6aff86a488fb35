"""A scripted daemon: a fake, for what a real one can't be made to do.

It overtakes, talks garbage, hangs up, keeps silent and sends broken descriptors on demand.  What a client does
with a daemon that behaves is tested with a real one.

It serves one connection, in a thread, by a script that receives and sends.  Its replies are written out by hand, so
that the client is held against the protocol and not against our own writer.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from secretd.wire.native import Message, NativeFraming
from secretd.wire.stream import Pause

DEADLINE_S = 10.0
_SERIAL = re.compile(rb"serial=['\"](\d+)['\"]")


@dataclass
class Received:
    """A request as it arrived: what it says, and the contents of the descriptors beside it."""

    body: bytes
    contents: list[bytes] = field(default_factory=list)

    @property
    def serial(self) -> int:
        """The serial it carries."""
        found = _SERIAL.search(self.body)
        if found is None:
            raise AssertionError("a request without a serial")
        return int(found[1])

    def reply(self, content: str) -> bytes:
        """Write a reply to it."""
        return f"<reply serial='{self.serial}'>{content}</reply>\0".encode()


class Conversation:
    """The daemon's end of the one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._framing = NativeFraming()

    def receive(self) -> Received | None:
        """Wait for the next request; None once the client has gone."""
        while (event := self._framing.next_event()) is Pause.NEED_DATA:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 65_536, 2, socket.MSG_CMSG_CLOEXEC)
            if data:
                self._framing.receive(data, descriptors)
            else:
                self._framing.receive_eof()
        return _opened(event) if isinstance(event, Message) else None

    def expect(self) -> Received:
        """Wait for the next request, which must come."""
        received = self.receive()
        if received is None:
            raise AssertionError("the client went away")
        return received

    def expect_end(self) -> None:
        """Wait until the client has gone, without another request."""
        if self.receive() is not None:
            raise AssertionError("the client sent one request more")

    def send(self, data: bytes, descriptors: list[int] | None = None) -> None:
        """Send bytes by one sendmsg, and close the descriptors that went with them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        sent = self.socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
        for descriptor in descriptors or ():
            os.close(descriptor)
        if sent < len(data):
            self.socket.sendall(data[sent:])


Script = Callable[[Conversation], None]


class FakeDaemon:
    """Serves one connection by a script; leaving it waits for the script's end and raises what it raised.

    Attributes:
        path: its socket.
        done: is set when the script has ended and the connection is closed.
    """

    def __init__(self, directory: Path, script: Script) -> None:
        self.path = directory / "fake-sock"
        self.done = threading.Event()
        self._script = script
        self._failure: BaseException | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.settimeout(DEADLINE_S)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(DEADLINE_S)
        self._listener.close()
        if self._thread.is_alive():
            raise AssertionError("the script of the fake daemon did not end")
        if self._failure is not None and error is None:
            raise self._failure

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                self._script(Conversation(connection))
        except BaseException as failure:  # noqa: BLE001 - raised again in the test's own thread
            self._failure = failure
        finally:
            self.done.set()


def _opened(message: Message) -> Received:
    received = Received(message.body)
    for descriptor in message.descriptors:
        received.contents.append(os.pread(descriptor, 1 << 20, 0))
        os.close(descriptor)
    return received
