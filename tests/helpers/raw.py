"""A client that says anything: raw bytes and descriptors on the native socket."""

from __future__ import annotations

import re
import socket
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from helpers.daemon import DEADLINE_S


class RawClient:
    """A connection to a daemon, without any idea of what may be said on it."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(str(path))
        self._received = b""

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes, and with them descriptors."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        sent = self.socket.sendmsg([data], rights)
        self.socket.sendall(data[sent:])

    def receive(self) -> bytes:
        """Wait for one message; gives its body, or b"" at the end of the stream."""
        while b"\0" not in self._received:
            try:
                data = self.socket.recv(65_536)
            except ConnectionResetError:
                data = b""
            if not data:
                rest, self._received = self._received, b""
                return rest
            self._received += data
        body, self._received = self._received.split(b"\0", 1)
        return body

    def ask(self, body: bytes, descriptors: Sequence[int] = ()) -> bytes:
        """Send one message and wait for one."""
        self.send(body + b"\0", descriptors)
        return self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def code_of(reply: bytes) -> str:
    """Give the code of an error reply, or "" if it is none."""
    found = re.search(rb"<error code='([a-z-]+)'>", reply)
    return found[1].decode() if found else ""
