"""Turns: one walk of a uid at a time, each for a short time, and none for nobody."""

from __future__ import annotations

import asyncio

import pytest

from helpers.asynchronous import run
from helpers.core import Told
from secretd import limits
from secretd.core.turns import Turns
from secretd.errors import BusyError

ONE, OTHER = 1000, 1001


def test_the_walks_of_a_uid_take_turns_and_another_uid_waits_for_none() -> None:
    took: list[str] = []

    async def walk(turns: Turns, uid: int, name: str, steps: int) -> None:
        async with turns.of(uid, None) as turn:
            for step in range(steps):
                if step:
                    await turn.pass_on()
                took.append(name)

    async def test() -> None:
        turns = Turns()
        await asyncio.gather(walk(turns, ONE, "long", 4), walk(turns, ONE, "short", 1), walk(turns, OTHER, "other", 2))

    run(test())
    assert [name for name in took if name != "other"] == ["long", "short", "long", "long", "long"]
    assert took[:2] == ["long", "other"]


def test_a_turn_is_over_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("secretd.core.turns.monotonic", lambda: clock[0])

    async def test() -> None:
        async with Turns().of(ONE, None) as turn:
            for _ in range(2):
                before = turn.is_over
                clock[0] += limits.TURN_MILLISECONDS / 1_000 + 0.001
                assert (before, turn.is_over) == (False, True)
                await turn.pass_on()

    run(test())


def test_who_is_gone_has_no_turn_and_holds_up_nobody() -> None:
    async def test() -> None:
        turns, gone, here = Turns(), Told(), Told()
        gone.gone = True
        with pytest.raises(BusyError):
            async with turns.of(ONE, gone):
                pass
        async with turns.of(ONE, here) as turn:
            here.gone = True
            with pytest.raises(BusyError):
                await turn.pass_on()
        async with turns.of(ONE, Told()):
            pass

    run(test())


@pytest.mark.parametrize("others", [False, True], ids=["in-between", "while-another-has-it"])
def test_a_walk_that_is_cancelled_holds_up_nobody(others: bool) -> None:
    async def walk(turns: Turns) -> None:
        async with turns.of(ONE, None) as turn:
            while True:
                await turn.pass_on()

    async def test() -> None:
        turns = Turns()
        walks = [asyncio.ensure_future(walk(turns)) for _ in range(2 if others else 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        for one in walks:
            one.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*walks, return_exceptions=True)
        )
        async with turns.of(ONE, None):
            pass

    run(test())
