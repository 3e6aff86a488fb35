"""A session of the native door that was told to end is told no more."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from helpers.asynchronous import run
from helpers.core import OWNER, Told, open_core
from helpers.native_peer import NativePeer
from secretd import operations as ops
from secretd.model import SecretValue


def test_a_session_that_has_ended_is_told_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peers = [NativePeer(core, OWNER) for _ in range(2)]
            for peer in peers:
                assert b"<subscribe/>" in await peer.ask(b"<request serial='1'><subscribe/></request>\0")
            peers[0].session.give_up()
            told = Told()
            await core.call(ops.Subscribe(), OWNER, told)
            await core.call(ops.SetValue(UUID(int=1), SecretValue(b"value")))
            await told.until(ops.SecretDefined, UUID(int=1))
            assert [len(peer.sent) for peer in peers] == [0, 1]

    run(test())
