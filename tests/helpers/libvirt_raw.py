"""A client of libvirt's RPC that says anything: frames and pieces of frames on a socket."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from helpers.daemon import DEADLINE_S
from helpers.libvirt_frames import MESSAGE, OK, Header, describe, frame
from helpers.libvirt_target import Target
from helpers.users import effective_user

Said = dict[str, Any]
"""What a frame holds, as ``describe`` gives it, or ``END``."""

END: Said = {"end": True}
"""The end of a connection, in order or by a reset: which of them it is depends on what the daemon had not read yet."""

_PATIENCE_S = 5.0
"""How long a frame is waited for that one daemon sends and the other perhaps does not."""

_FENCE = 0x7FFF_FF00
"""The serial of a call whose reply shows that there was nothing else to come."""


class RawConnection:
    """A connection to a daemon; a context manager that closes it."""

    def __init__(self, target: Target, which: str = "rw", uid: int | None = None) -> None:
        self.socket = _connect(target, which, target.uid if uid is None else uid)
        self._received = bytearray()
        self._fences = _FENCE
        self.events: list[Said] = []

    def send(self, data: bytes) -> bool:
        """Send bytes; tells whether somebody was there to take them."""
        self.socket.settimeout(DEADLINE_S)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self, deadline_s: float = DEADLINE_S) -> Said:
        """Wait for a frame or the end."""
        whole = self._frame(time.monotonic() + deadline_s)
        return describe(whole) if whole else END

    def call(self, procedure: str | int, *arguments: Any, **header: Any) -> Said:
        """Make a call and wait for its reply; see ``frame`` for what may be said."""
        return self.exchange(frame(procedure, *arguments, **header))

    def exchange(self, call: bytes) -> Said:
        """Send a frame and wait for one that is no event; those before it are kept in ``events``."""
        if not self.send(call):
            return END
        asked = Header.of(call)
        while (said := self.receive()).get("kind") == MESSAGE:
            self.events.append(said)
        return _without(said, procedure=asked.procedure, serial=asked.serial)

    def answer(self, call: bytes) -> bytes:
        """Send a frame, and give the one that comes next as it is."""
        self.send(call)
        return self._frame(time.monotonic() + DEADLINE_S)

    def open(self, uri: str, flags: int = OK) -> Said:
        """Do what a client does first; gives what OPEN is answered."""
        self.call("AUTH_LIST")
        return self.call("OPEN", uri, flags)

    def settle(self, expected: int) -> list[Said]:
        """Wait for so many frames (the end is one), then for whatever came beside them.

        Gives fewer if the daemon does not send as many in time.
        """
        got, self.events = self.events, []
        with suppress(TimeoutError):
            while len(got) < expected and END not in got:
                got.append(self.receive(_PATIENCE_S))
        if END not in got:
            got += self._until_fence()
        return sorted(got, key=_rank)

    def _until_fence(self) -> list[Said]:
        self._fences += 1
        self.send(frame("AUTH_LIST", serial=self._fences))
        got: list[Said] = []
        while not got or got[-1].get("serial") != self._fences:
            got.append(self.receive())
            if got[-1] == END:
                return got
        return got[:-1]

    def _frame(self, until: float) -> bytes:
        while len(self._received) < 4 or len(self._received) < int.from_bytes(self._received[:4], "big"):
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                return b""
            self._received += data
        size = int.from_bytes(self._received[:4], "big")
        whole = bytes(self._received[:size])
        del self._received[:size]
        return whole

    def shut_writing(self) -> None:
        """Say that nothing more is to come."""
        self.socket.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def wipe(target: Target) -> None:
    """Undefine all secrets."""
    with RawConnection(target) as connection:
        connection.open(target.uri)
        for uuid in connection.call("LIST_SECRETS", 16_384)["result"][0]:
            connection.call("UNDEFINE", (UUID(uuid), 0, ""))


def _rank(said: Said) -> tuple[bool, bool, int]:
    """Order what came: replies, which may overtake each other, then events as they came, then the end."""
    is_event = said.get("kind") == MESSAGE
    return said == END, is_event, 0 if is_event or said == END else said["serial"]


def _without(said: Said, **usual: Any) -> Said:
    return {name: value for name, value in said.items() if usual.get(name) != value}


def _connect(target: Target, which: str, uid: int) -> socket.socket:
    """Connect to one of the sockets as this user."""
    path = target.socket_ro if which == "ro" else target.socket
    if path is None:
        raise RuntimeError(f"{target.name} has no read-only socket")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with effective_user(uid):
            connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection
