"""Stepping a coroutine by hand: what ends at once, what waits, and what fails."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from secretd.doors.stepping import Done, Waiting, step


async def at_once() -> str:
    return "done"


def test_one_that_ends_at_once_needs_no_loop() -> None:
    assert step(at_once()) == Done("done")


def test_one_that_fails_at_once_raises() -> None:
    async def fails() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        step(fails())


def test_one_that_waits_goes_on_where_it_stopped() -> None:
    async def run() -> None:
        steps: list[str] = []
        first, second = asyncio.Event(), asyncio.Event()

        async def waits() -> str:
            steps.append("begun")
            await first.wait()
            steps.append("first")
            await second.wait()
            return "done"

        stepped = step(waits())
        assert isinstance(stepped, Waiting)
        assert steps == ["begun"]
        task = asyncio.ensure_future(stepped)
        first.set()
        second.set()
        assert await task == "done"
        assert steps == ["begun", "first"]

    asyncio.run(run())


def test_the_failure_of_what_it_waits_for_reaches_it() -> None:
    async def run() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def waits() -> str:
            try:
                await future
            except ConnectionError:
                return "caught"
            return "missed"

        stepped = step(waits())
        future.set_exception(ConnectionError())
        assert isinstance(stepped, Waiting)
        assert await stepped == "caught"

    asyncio.run(run())


def test_a_failure_goes_when_it_was_dealt_with() -> None:
    """Its traceback leads to values and passwords, so it is not left to the garbage collector."""

    class WatchedError(Exception):
        """One that can be watched, as Python's own cannot."""

    failures: list[weakref.ref[WatchedError]] = []

    async def fail() -> None:
        futures: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future()]

        async def waits() -> None:
            try:
                await futures[0]
            except WatchedError as error:
                failures.append(weakref.ref(error))

        stepped = step(waits())
        futures.pop().set_exception(WatchedError())
        assert isinstance(stepped, Waiting)
        await stepped

    gc.disable()
    try:
        asyncio.run(fail())
        assert [failure() for failure in failures] == [None]
    finally:
        gc.enable()


def test_a_cancellation_reaches_it() -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def waits() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        stepped = step(waits())
        assert isinstance(stepped, Waiting)
        task = asyncio.ensure_future(stepped)
        await asyncio.wait([task], timeout=0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(run())
