"""Events at both clients, of a real daemon and of a scripted one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from helpers.asynchronous import run
from helpers.daemon import RunningDaemon
from helpers.fake_daemon import Conversation, FakeDaemon
from secretd import limits
from secretd import operations as ops
from secretd.client import AsyncClient, Client
from secretd.errors import RemoteProtocolError, SecretdError, UnreachableError
from secretd.model import SecretValue

SECRET = UUID("11111111-2222-4333-8444-555555555555")
VALUE = SecretValue(b"value")
DELETED = f"<event><deleted secret='{SECRET}'/></event>\0".encode()
GONE = ops.SecretDeleted(SECRET)

Take = Callable[[Path, int], list[ops.Event]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path) as daemon:
        yield daemon


def take_blocking(path: Path, count: int) -> list[ops.Event]:
    """Subscribe, make a call, and take so many events."""
    with Client(path, timeout_s=10.0) as client:
        client.call(ops.Subscribe())
        client.call(ops.Whoami())
        events = client.events()
        return [next(events) for _ in range(count)]


def take_asyncio(path: Path, count: int) -> list[ops.Event]:
    """Subscribe, make a call, and take so many events."""

    async def take() -> list[ops.Event]:
        async with await AsyncClient.connect(path) as client:
            await client.call(ops.Subscribe())
            await client.call(ops.Whoami())
            events = client.events()
            return [await anext(events) for _ in range(count)]

    return run(take())


both = pytest.mark.parametrize("take", [take_blocking, take_asyncio], ids=["blocking", "asyncio"])


def script_of(*around: bytes, then: bytes = b"") -> Callable[[Conversation], None]:
    """Answer a subscription and a call, with these bytes around the second answer."""

    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<subscribe/>"))
        asked = client.expect()
        before, after = around
        you = "<whoami uid='0' gid='0' pid='1' read-only='no' elevated='no'/>"
        client.send(before + asked.reply(you) + after)
        if then:
            client.send(then)

    return script


@both
def test_events_before_between_and_after_answers(take: Take, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path, script_of(DELETED, b"<event><lost/></event>\0" + DELETED, then=DELETED)) as daemon:
        assert take(daemon.path, 4) == [GONE, ops.EventsLost(), GONE, GONE]


@both
@pytest.mark.parametrize("count", [1, 2])
def test_the_end_comes_after_the_last_event(take: Take, tmp_path: Path, count: int) -> None:
    with FakeDaemon(tmp_path, script_of(DELETED, b"")) as daemon:
        if count == 1:
            assert take(daemon.path, count) == [GONE]
        else:
            with pytest.raises(UnreachableError, match="went away"):
                take(daemon.path, count)


@both
@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"<event><deleted/></event>\0", id="without-an-id"),
        pytest.param(b"<event><frob/></event>\0", id="unknown"),
        pytest.param(b"<reply serial='77'><delete/></reply>\0", id="an-answer-to-nothing"),
    ],
)
def test_garbage_ends_the_connection(take: Take, tmp_path: Path, garbage: bytes) -> None:
    with FakeDaemon(tmp_path, script_of(DELETED, garbage)) as daemon, pytest.raises(RemoteProtocolError):
        take(daemon.path, 2)


@both
def test_what_nobody_takes_is_bounded(take: Take, tmp_path: Path) -> None:
    flood = DELETED * (limits.CLIENT_EVENTS + 2)
    with FakeDaemon(tmp_path, script_of(flood, b"")) as daemon:
        assert take(daemon.path, 2) == [ops.EventsLost(), GONE]


def test_a_wait_that_ends_leaves_the_connection_as_it_was(daemon: RunningDaemon) -> None:
    with Client(daemon.socket) as client:
        client.call(ops.Subscribe())
        assert list(client.events(timeout_s=0.05)) == []
        made = client.call(ops.SetValue(SECRET, VALUE))
        for event in client.events(timeout_s=30):
            assert isinstance(event, ops.SecretDefined)
            assert event.digest == made.digest
            # Calls may be made within the loop, and what comes meanwhile is not lost.
            client.call(ops.Delete(SECRET))
            break
        assert next(client.events(timeout_s=30)) == GONE
        client.call(ops.Unsubscribe())
        client.call(ops.SetValue(SECRET, VALUE))
        client.call(ops.Whoami())
        assert list(client.events(timeout_s=0.05)) == []
    with pytest.raises(UnreachableError, match="closed"):
        next(client.events())


def test_many_calls_and_events_at_once_on_one_connection(daemon: RunningDaemon) -> None:
    async def test() -> None:
        secrets = [UUID(int=number) for number in range(1, 41)]
        async with await AsyncClient.connect(daemon.socket) as client:
            await client.call(ops.Subscribe())
            made = await asyncio.gather(*(client.call(ops.SetValue(secret, VALUE)) for secret in secrets))
            events = client.events()
            told = [await anext(events) for _ in secrets]
            assert {event.digest for event in told if isinstance(event, ops.SecretDefined)} == {
                changed.digest for changed in made
            }
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            await client.call(ops.Delete(secrets[0]))
            assert await waiting == ops.SecretDeleted(secrets[0])

    run(test())


def test_a_taker_that_waits_learns_of_the_end(daemon: RunningDaemon) -> None:
    async def test() -> list[SecretdError]:
        failures: list[SecretdError] = []
        client = await AsyncClient.connect(daemon.socket)
        await client.call(ops.Subscribe())

        async def take() -> None:
            try:
                async for _ in client.events():
                    raise AssertionError("nothing happened")
            except SecretdError as error:
                failures.append(error)

        takers = [asyncio.create_task(take()) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.to_thread(daemon.stop)
        await asyncio.gather(*takers)
        return failures

    assert [type(failure) for failure in run(test())] == [UnreachableError] * 2
