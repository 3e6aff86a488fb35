"""Many calls, threads and connections at once: each is served by secretd as by libvirtd."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from uuid import UUID

import pytest

from helpers.libvirt_both import Pair
from helpers.libvirt_client import LibvirtClient
from helpers.libvirt_frames import KEEPALIVE, MESSAGE, frame
from helpers.libvirt_raw import RawConnection, Said
from helpers.libvirt_target import Target

ONE = UUID("00000001-1111-4222-8333-444444444444")
SECRET = (ONE, 2, "one")
DOCUMENT = f"<secret><uuid>{ONE}</uuid><usage type='ceph'><name>one</name></usage></secret>"
VALUE = b"value" * 40

CALLS = 500
PING, PONG = 1, 2

targets = pytest.mark.parametrize("which", ["libvirtd", "secretd"])


def opened(stack: ExitStack, target: Target) -> RawConnection:
    connection = stack.enter_context(RawConnection(target))
    connection.open(target.uri)
    return connection


def pipelined(connection: RawConnection, calls: list[bytes]) -> list[Said]:
    """Send all calls while their replies are read."""
    writer = threading.Thread(target=connection.send, args=(b"".join(calls),))
    writer.start()
    replies = [connection.receive() for _ in calls]
    writer.join()
    return replies


@targets
def test_threads_share_a_connection_of_the_binding(pair: Pair, which: str) -> None:
    with LibvirtClient(getattr(pair, which)) as client:
        assert client.ask("race", "rw", threads=8, rounds=12) == {"result": []}


@targets
@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("GET_VALUE", (SECRET, 0), [VALUE.decode()]),
        ("SET_VALUE", (SECRET, VALUE, 0), []),
        ("LOOKUP_BY_USAGE", (2, "one"), [[str(ONE), 2, "one"]]),
        ("GET_TYPE", (), ["secret"]),
    ],
)
def test_pipelined_calls_are_each_answered_once(
    pair: Pair, which: str, name: str, arguments: tuple[object, ...], result: list[object]
) -> None:
    with ExitStack() as stack:
        connection = opened(stack, getattr(pair, which))
        connection.call("DEFINE_XML", DOCUMENT, 0)
        connection.call("SET_VALUE", SECRET, VALUE, 0)

        replies = pipelined(connection, [frame(name, *arguments, serial=number) for number in range(CALLS)])

    # In any order: libvirtd's own come a few places early or late.
    assert Counter(reply["serial"] for reply in replies) == Counter(range(CALLS))
    assert all(reply["result"] == result for reply in replies)


@targets
def test_pipelined_calls_of_all_kinds_are_each_answered_once(pair: Pair, which: str) -> None:
    with ExitStack() as stack:
        connection = opened(stack, getattr(pair, which))
        calls = [
            call
            for number in range(0, CALLS, 5)
            for call in (
                frame("DEFINE_XML", DOCUMENT, 0, serial=number),
                frame("SET_VALUE", SECRET, VALUE, 0, serial=number + 1),
                frame("GET_VALUE", SECRET, 0, serial=number + 2),
                frame("NUM_OF_SECRETS", serial=number + 3),
                frame(9_999, serial=number + 4),
            )
        ]

        replies = pipelined(connection, calls)

    assert Counter(reply["serial"] for reply in replies) == Counter(range(CALLS))


@targets
def test_a_client_that_reads_nothing_holds_nobody_up(pair: Pair, which: str) -> None:
    with ExitStack() as stack:
        other = opened(stack, getattr(pair, which))
        other.call("DEFINE_XML", DOCUMENT, 0)
        other.call("SET_VALUE", SECRET, bytes(65_536), 0)
        deaf = opened(stack, getattr(pair, which))
        calls = [frame("GET_VALUE", SECRET, 0, serial=number) for number in range(200)]
        writer = threading.Thread(target=deaf.send, args=(b"".join(calls),))
        writer.start()

        assert all(other.call("GET_TYPE") == {"result": ["secret"]} for _ in range(50))

        assert Counter(deaf.receive()["serial"] for _ in calls) == Counter(range(200))
        writer.join()


@targets
def test_idle_connections_cost_nobody_his_answer(pair: Pair, which: str) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(RawConnection(getattr(pair, which))) for _ in range(300)]
        busy = opened(stack, getattr(pair, which))

        assert all(busy.call("GET_TYPE") == {"result": ["secret"]} for _ in range(50))
        assert all(connection.call("AUTH_LIST") == {"result": [[0]]} for connection in idle)


@targets
def test_events_are_told_to_every_one_of_many_listeners(pair: Pair, which: str) -> None:
    with ExitStack() as stack:
        listeners = [opened(stack, getattr(pair, which)) for _ in range(50)]
        for listener in listeners:
            listener.call("EVENT_REGISTER_ANY", 0, None)
        busy = opened(stack, getattr(pair, which))
        busy.call("DEFINE_XML", DOCUMENT, 0)
        busy.call("UNDEFINE", SECRET)

        told = [[said["result"][1:] for said in listener.settle(2)] for listener in listeners]

    about = [str(ONE), 2, "one"]
    assert told == [[[about, 0, 0], [about, 1, 0]]] * 50


@targets
def test_who_may_be_pinged_lives_and_may_ping(session_pair: Pair, which: str) -> None:
    with ExitStack() as stack:
        connection = opened(stack, getattr(session_pair, which))
        connection.call("SUPPORTS_FEATURE", 10)
        connection.send(frame(PONG, program=KEEPALIVE, kind=MESSAGE, serial=0))
        connection.send(frame(PING, program=KEEPALIVE, kind=MESSAGE, serial=0) * 3)
        pong = {"procedure": PONG, "serial": 0, "program": KEEPALIVE, "kind": MESSAGE, "body": ""}

        assert connection.settle(3) == [pong] * 3
        assert connection.call("GET_TYPE") == {"result": ["secret"]}
