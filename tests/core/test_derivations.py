"""Derivations go on one at a time, in a thread, and outlive whoever asked for them."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from functools import partial

import pytest

from helpers.asynchronous import DEADLINE_S, run
from secretd import limits
from secretd import operations as ops
from secretd.core.derivations import Derivations
from secretd.core.events import Listener
from secretd.errors import BusyError, WrongPasswordError


class Waits(Listener):
    """Somebody who waits, until he is gone."""

    def tell(self, events: Sequence[ops.Event]) -> None:
        raise AssertionError(events)


class Held:
    """A derivation that goes on until it is let go, and notes when it goes on beside another."""

    running = 0
    most = 0

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.thread: int | None = None

    def __call__(self) -> str:
        Held.running += 1
        Held.most = max(Held.most, Held.running)
        self.thread = threading.get_ident()
        self.begun.set()
        done = self.let_go.wait(DEADLINE_S)
        Held.running -= 1
        return "derived" if done else "hung"


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    Held.running = Held.most = 0


async def begun(held: Held) -> None:
    assert await asyncio.to_thread(held.begun.wait, DEADLINE_S)


def test_the_event_loop_goes_on_meanwhile() -> None:
    async def work() -> None:
        held = Held()
        made = asyncio.ensure_future(Derivations().make(held))
        await begun(held)
        assert held.thread != threading.get_ident()
        assert not made.done()
        held.let_go.set()
        assert await made == "derived"

    run(work())


def test_one_goes_on_at_a_time_in_their_order() -> None:
    async def work() -> None:
        derivations, order = Derivations(), []

        def derive(number: int) -> int:
            assert Held.running == 0
            Held.running += 1
            order.append(number)
            Held.running -= 1
            return number

        wanted = range(limits.DERIVATIONS_WAITING)
        made = await asyncio.gather(*(derivations.make(partial(derive, number)) for number in wanted))
        assert made == order == list(wanted)

    run(work())


def test_too_many_that_wait_are_busy_and_those_that_wait_have_their_turn() -> None:
    async def work() -> None:
        derivations, held = Derivations(), Held()
        first = asyncio.ensure_future(derivations.make(held))
        await begun(held)
        waiting = [asyncio.ensure_future(derivations.make(lambda: "next")) for _ in range(limits.DERIVATIONS_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="too many"):
            await derivations.make(lambda: "one too many")
        held.let_go.set()
        assert await first == "derived"
        assert set(await asyncio.gather(*waiting)) == {"next"}
        assert await derivations.make(lambda: "again") == "again"

    run(work())


def test_who_went_while_he_waited_has_none_made() -> None:
    async def work() -> None:
        derivations, held, waits, made = Derivations(), Held(), Waits(), []
        first = asyncio.ensure_future(derivations.make(held))
        await begun(held)
        second = asyncio.ensure_future(derivations.make(lambda: made.append(1), waits))
        await asyncio.sleep(0)
        waits.gone = True
        held.let_go.set()
        await first
        with pytest.raises(BusyError, match="nobody waits"):
            await second
        assert not made
        assert await derivations.make(lambda: "next", Waits()) == "next"

    run(work())


def test_who_is_cancelled_while_he_waits_has_none_made() -> None:
    async def work() -> None:
        derivations, held, made = Derivations(), Held(), []
        first = asyncio.ensure_future(derivations.make(held))
        await begun(held)
        second = asyncio.ensure_future(derivations.make(lambda: made.append(1)))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.let_go.set()
        await first
        assert await derivations.make(lambda: "next") == "next"
        assert not made

    run(work())


@pytest.mark.parametrize("fails", [False, True])
def test_one_whose_asker_was_cancelled_ends_before_the_next_begins(fails: bool) -> None:
    told: list[object] = []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        derivations, held, second = Derivations(), Held(), Held()

        def derive() -> str:
            derived = held()
            if fails:
                raise WrongPasswordError("wrong")
            return derived

        first = asyncio.ensure_future(derivations.make(derive))
        await begun(held)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second.let_go.set()
        following = asyncio.ensure_future(derivations.make(second))
        await asyncio.sleep(0)
        assert not second.begun.is_set()
        held.let_go.set()
        assert await following == "derived"
        assert Held.most == 1

    run(work())
    assert told == []


def test_one_that_fails_fails_for_who_asked_and_for_nobody_else() -> None:
    async def work() -> None:
        derivations = Derivations()

        def fail() -> None:
            raise WrongPasswordError("wrong")

        with pytest.raises(WrongPasswordError):
            await derivations.make(fail)
        assert await derivations.make(lambda: "next") == "next"

    run(work())


def test_an_error_goes_when_it_was_told_and_keeps_nothing_of_the_derivation() -> None:
    """The frames of a derivation hold a password, and perhaps a key: they are not left to the garbage collector."""

    async def work() -> None:
        class Password:
            """What a frame of the derivation holds."""

        given: list[weakref.ref[Password]] = []

        def fail() -> None:
            password = Password()
            given.append(weakref.ref(password))
            raise WrongPasswordError("wrong")

        derivations = Derivations()
        try:
            await derivations.make(fail)
        except WrongPasswordError:
            pass
        else:
            raise AssertionError("it did not fail")
        # The thread may hold it until it takes the next one.
        await derivations.make(lambda: None)
        assert [one() for one in given] == [None]

    gc.disable()
    try:
        run(work())
    finally:
        gc.enable()
