"""What only the asyncio client has: many calls at once, answers out of order, cancellation."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest

from helpers.clients import descriptors_in_use
from helpers.fake_daemon import DEADLINE_S, Conversation, FakeDaemon, Received
from secretd import limits
from secretd.client import AsyncClient, aio
from secretd.client.exchange import OutgoingRequest
from secretd.errors import NotFoundError, SecretdError, UnreachableError
from secretd.model import Digest, SecretValue
from secretd.operations import Changed, Delete, Deleted, GetValue, GotValue, Reply, Request, SetValue, Whoami
from secretd.wire.memfd import seal_value

ID = UUID("7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9")
DIGEST = Digest("00d1f0bd1c0f4d2b1a8f0a4a1f2c3e41")
T = TypeVar("T")


def run(coroutine: Coroutine[None, None, T]) -> T:
    """Run a test's coroutine, against a deadline."""

    async def limited() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await coroutine

    return asyncio.run(limited())


def start(client: AsyncClient, *requests: Request[Reply]) -> list[asyncio.Task[Reply]]:
    """Start calls, to go out in this order."""
    return [asyncio.create_task(client.call(request)) for request in requests]


def text_reply(received: Received, value: str) -> bytes:
    return received.reply(f"<get-value><value>{value}</value></get-value>")


def test_a_call_has_the_type_of_its_reply(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(text_reply(client.expect(), "AAAA"))

    async def ask(path: Path) -> SecretValue:
        async with await AsyncClient.connect(path) as client:
            return (await client.call(GetValue(ID))).value

    with FakeDaemon(tmp_path, script) as daemon:
        assert run(ask(daemon.path)).reveal() == bytes(3)


def test_answers_in_reverse_order(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        requests = [client.expect() for _ in range(3)]
        client.send(requests[2].reply("<error code='no-secret'>the third</error>"))
        client.send(text_reply(requests[1], "AAAA") + text_reply(requests[0], "BBBB"))

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            first, second, third = await asyncio.gather(
                *start(client, GetValue(ID), GetValue(ID), GetValue(ID)), return_exceptions=True
            )
        assert (first, second) == (GotValue(SecretValue(b"\x04\x10\x41")), GotValue(SecretValue(bytes(3))))
        assert type(third) is NotFoundError

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_errors_by_ordinal_find_their_requests(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        requests = [client.expect() for _ in range(3)]
        client.send(b"<reply message='3'><error code='no-secret'>the third</error></reply>\0")
        client.send(requests[1].reply("<delete/>"))
        client.send(b"<reply message='1'><error code='no-secret'>the first</error></reply>\0")

    async def ask(path: Path) -> list[Reply | BaseException]:
        async with await AsyncClient.connect(path) as client:
            tasks = start(client, Delete(ID), Delete(ID), Delete(ID))
            return await asyncio.gather(*tasks, return_exceptions=True)

    with FakeDaemon(tmp_path, script) as daemon:
        outcomes = run(ask(daemon.path))
    assert [str(outcome) for outcome in outcomes] == ["the first", "Deleted()", "the third"]


def test_many_calls_whose_answers_come_in_any_order(tmp_path: Path) -> None:
    """Some with a descriptor, so that each is held against its own request."""
    count = 300

    def script(client: Conversation) -> None:
        requests = [client.expect() for _ in range(count)]
        for request in sorted(requests, key=lambda request: (request.serial * 7) % 101):
            value = SecretValue(str(request.serial).encode())
            client.send(request.reply("<get-value><value descriptor='yes'/></get-value>"), [seal_value(value)])

    async def ask(path: Path) -> list[Reply]:
        async with await AsyncClient.connect(path, descriptors=True) as client:
            return await asyncio.gather(*start(client, *[GetValue(ID)] * count))

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        replies = run(ask(daemon.path))
    assert replies == [GotValue(SecretValue(str(serial).encode())) for serial in range(count)]
    assert descriptors_in_use() == before


@pytest.mark.parametrize("descriptors", [False, True], ids=["text", "descriptors"])
def test_a_daemon_that_reads_late(tmp_path: Path, descriptors: bool) -> None:
    """More than the socket takes: the rest goes out when there is room, and descriptors stay with their messages."""
    count = 600 if descriptors else 40
    asked = threading.Event()

    def script(client: Conversation) -> None:
        if not asked.wait(DEADLINE_S):
            raise AssertionError("nothing was asked")
        for place in range(count):
            request = client.expect()
            expected = bytes([place % 256]) * 50_000
            if descriptors and request.contents != [expected]:
                raise AssertionError("a descriptor of another message")
            client.send(request.reply(f"<set-value secret='{ID}' digest='{DIGEST}'/>"))

    async def ask(path: Path) -> list[Reply]:
        async with await AsyncClient.connect(path, descriptors=descriptors) as client:
            values = [SecretValue(bytes([place % 256]) * 50_000) for place in range(count)]
            tasks = start(client, *[SetValue(ID, value) for value in values])
            await asyncio.sleep(0)
            asked.set()
            return await asyncio.gather(*tasks)

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        assert run(ask(daemon.path)) == [Changed(ID, DIGEST)] * count
    assert descriptors_in_use() == before


def test_a_cancelled_call_harms_no_other(tmp_path: Path) -> None:
    cancelled = threading.Event()

    def script(client: Conversation) -> None:
        requests = [client.expect() for _ in range(3)]
        cancelled.wait(DEADLINE_S)
        value = seal_value(SecretValue(b"open sesame"))
        client.send(requests[0].reply("<get-value><value descriptor='yes'/></get-value>"), [value])
        client.send(requests[2].reply("<delete/>") + requests[1].reply("<delete/>"))
        client.send(client.expect().reply("<delete/>"))

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path, descriptors=True) as client:
            given_up, *others = start(client, GetValue(ID), Delete(ID), Delete(ID))
            await asyncio.sleep(0)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            cancelled.set()
            assert await asyncio.gather(*others) == [Deleted(), Deleted()]
            assert await client.call(Delete(ID)) == Deleted()

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))
    assert descriptors_in_use() == before


def test_a_call_cancelled_half_sent_goes_out_whole(tmp_path: Path) -> None:
    cancelled = threading.Event()
    value = SecretValue(b"x" * limits.VALUE_BYTES)
    count = 10

    def script(client: Conversation) -> None:
        cancelled.wait(DEADLINE_S)
        for _ in range(count):
            client.send(client.expect().reply(f"<set-value secret='{ID}' digest='{DIGEST}'/>"))
        client.send(client.expect().reply("<delete/>"))

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            tasks = start(client, *[SetValue(ID, value)] * count)
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            cancelled.set()
            assert await client.call(Delete(ID)) == Deleted()

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_a_time_limit_is_the_callers(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.expect()
        client.send(client.expect().reply("<delete/>"))

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client.call(Delete(ID))
            assert await client.call(Delete(ID)) == Deleted()

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_closing_fails_what_still_waits(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.expect()
        client.expect_end()

    async def ask(path: Path) -> None:
        client = await AsyncClient.connect(path)
        (waiting,) = start(client, Whoami())
        await asyncio.sleep(0)
        await client.close()
        await client.close()
        with pytest.raises(UnreachableError, match="is closed"):
            await waiting
        with pytest.raises(UnreachableError, match="is closed"):
            await client.call(Whoami())

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_a_hang_up_fails_all_that_wait(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        for _ in range(3):
            client.expect()

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            tasks = start(client, Whoami(), Whoami(), Whoami())
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [UnreachableError] * 3
            assert len({id(outcome) for outcome in outcomes}) == 3

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_a_hang_up_while_much_is_still_to_be_sent(tmp_path: Path) -> None:
    asked = threading.Event()

    def script(client: Conversation) -> None:
        asked.wait(DEADLINE_S)
        client.socket.recv(1)

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path, descriptors=True) as client:
            tasks = start(client, *[SetValue(ID, SecretValue(b"x"))] * 600)
            await asyncio.sleep(0)
            asked.set()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UnreachableError}

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))
    assert descriptors_in_use() == before


def test_a_hang_up_between_calls(tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))

    async def ask(path: Path, done: threading.Event) -> None:
        async with await AsyncClient.connect(path) as client:
            assert await client.call(Delete(ID)) == Deleted()
            await asyncio.to_thread(done.wait, DEADLINE_S)
            with pytest.raises(UnreachableError, match="went away"):
                await client.call(Delete(ID))

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path, daemon.done))


LAST_WORDS = b"<reply message='2'><error code='no-secret'>last words</error></reply>\0"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param(b"", UnreachableError("the daemon went away"), id="without-a-word"),
        pytest.param(LAST_WORDS, NotFoundError("last words"), id="with-last-words"),
    ],
)
def test_a_hang_up_that_the_sender_finds_first(tmp_path: Path, said: bytes, error: SecretdError) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))
        asked.wait(DEADLINE_S)
        client.send(said)

    async def ask(path: Path, done: threading.Event) -> None:
        async with await AsyncClient.connect(path, descriptors=True) as client:
            assert await client.call(Delete(ID)) == Deleted()
            asked.set()
            done.wait(DEADLINE_S)  # and not the loop: it is to see nothing before the call
            with pytest.raises(type(error), match=error.message):
                await client.call(SetValue(ID, SecretValue(b"x")))

    asked = threading.Event()
    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path, daemon.done))
    assert descriptors_in_use() == before


def test_a_kernel_that_can_send_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_buffers(*_: object) -> None:
        raise OSError(errno.ENOBUFS, "no buffers")

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            monkeypatch.setattr(OutgoingRequest, "send_some", no_buffers)
            with pytest.raises(UnreachableError, match="broke: No buffer space"):
                await client.call(Delete(ID))

    with FakeDaemon(tmp_path, Conversation.expect_end) as daemon:
        run(ask(daemon.path))


def test_waking_up_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux may call a socket readable that is not."""

    def once_for_nothing(*_: object) -> bool:
        monkeypatch.undo()
        raise BlockingIOError

    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))

    async def ask(path: Path) -> None:
        async with await AsyncClient.connect(path) as client:
            monkeypatch.setattr(aio, "receive_some", once_for_nothing)
            assert await client.call(Delete(ID)) == Deleted()

    with FakeDaemon(tmp_path, script) as daemon:
        run(ask(daemon.path))


def test_a_listener_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def ask(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connecting = [asyncio.create_task(AsyncClient.connect(path)) for _ in range(5)]
        await asyncio.wait(connecting, timeout=0.05)
        assert not all(task.done() for task in connecting)
        accepted = [(await loop.sock_accept(listener))[0] for _ in range(5)]
        for task in connecting:
            await (await task).close()
        for connection in accepted:
            connection.close()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        listener.setblocking(False)
        run(ask(listener))


def test_connecting_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def ask() -> None:
        async with await AsyncClient.connect(path):
            connecting = asyncio.create_task(AsyncClient.connect(path))
            await asyncio.wait([connecting], timeout=0.05)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    before = descriptors_in_use()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        run(ask())
    assert descriptors_in_use() == before
