"""A session of the native door that was told to end is told no more."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from helpers.asynchronous import run
from helpers.core import OWNER, Told, open_core
from secretd import operations as ops
from secretd.doors.native import NativeSession
from secretd.doors.session import Answer, Outlet, Taken
from secretd.doors.stepping import Done
from secretd.model import SecretValue


class Kept(Outlet):
    """Keeps what is sent."""

    room = 1_000_000
    full = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, answer: Answer) -> None:
        self.sent.append(bytes(answer.rest))

    def end(self) -> None:
        raise AssertionError("no event ends a connection of the native door")


def test_a_session_that_has_ended_is_told_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            sessions = [NativeSession(core.service, OWNER) for _ in range(2)]
            outlets = [Kept() for _ in sessions]
            for session, outlet in zip(sessions, outlets, strict=True):
                session.attach(outlet)
                session.receive(b"<request serial='1'><subscribe/></request>\0", ())
                taken = session.take_message()
                assert isinstance(taken, Taken)
                assert isinstance(taken.outcome, Done)
            sessions[0].give_up()
            told = Told()
            await core.call(ops.Subscribe(), OWNER, told)
            await core.call(ops.SetValue(UUID(int=1), SecretValue(b"value")))
            await told.until(ops.SecretDefined, UUID(int=1))
            assert [len(outlet.sent) for outlet in outlets] == [0, 1]

    run(test())
