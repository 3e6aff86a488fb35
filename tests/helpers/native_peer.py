"""A peer of the native door without a socket: messages in, replies and events out."""

from __future__ import annotations

from helpers.core import Core
from secretd.doors.native import NativeSession
from secretd.doors.session import Answer, Outlet, Taken
from secretd.doors.stepping import Done
from secretd.model import Caller


class NativePeer(Outlet):
    """One connection, and what was sent to it unasked."""

    room = 1_000_000
    full = False

    def __init__(self, core: Core, caller: Caller) -> None:
        self.session = NativeSession(core.service, caller)
        self.session.attach(self)
        self.sent: list[bytes] = []

    def send(self, answer: Answer) -> None:
        """Keep what is sent."""
        self.sent.append(bytes(answer.rest))

    def end(self) -> None:
        """Fail."""
        raise AssertionError("no event ends a connection of the native door")

    async def ask(self, message: bytes) -> bytes:
        """Give the reply to a message, both with their ends."""
        self.session.receive(message, ())
        taken = self.session.take_message()
        assert isinstance(taken, Taken)
        answer = taken.outcome.result if isinstance(taken.outcome, Done) else await taken.outcome
        return bytes(answer.rest)
