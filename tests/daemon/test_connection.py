"""Connections of a real daemon: pipelining, overtaking, half-closing, and peers that do not play along."""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.raw import RawClient
from secretd import limits
from secretd import operations as ops
from secretd.client import AsyncClient, Client
from secretd.model import SecretValue

SECRET = UUID("11111111-2222-4333-8444-555555555555")
VALUE = SecretValue(bytes(range(256)) * 256)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("daemon")) as daemon:
        with Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, VALUE))
        yield daemon


def request(serial: int, inner: str) -> bytes:
    return f"<request serial='{serial}'>{inner}</request>\0".encode()


def serial_of(reply: bytes) -> int:
    found = re.match(rb"<reply serial='(\d+)'>", reply)
    assert found, reply
    return int(found[1])


def test_500_requests_at_once_are_all_answered(daemon: RunningDaemon) -> None:
    with RawClient(daemon.socket) as client:
        client.send(b"".join(request(serial, "<whoami/>") for serial in range(500)))
        assert sorted(serial_of(client.receive()) for _ in range(500)) == list(range(500))


def test_a_reply_overtakes_one_that_waits_for_the_disk(daemon: RunningDaemon) -> None:
    with RawClient(daemon.socket) as client:
        overtaken = 0
        for turn in range(0, 100, 2):
            write = f"<set-value secret='{UUID(int=turn + 1)}'><value>YQ==</value></set-value>"
            client.send(request(turn, write) + request(turn + 1, "<whoami/>"))
            first, second = serial_of(client.receive()), serial_of(client.receive())
            assert {first, second} == {turn, turn + 1}
            overtaken += first == turn + 1
        assert overtaken


def test_a_client_that_sends_and_shuts_down_is_answered(daemon: RunningDaemon) -> None:
    with RawClient(daemon.socket) as client:
        write = f"<set-value secret='{UUID(int=7)}'><value>YQ==</value></set-value>"
        client.send(request(1, write) + request(2, "<whoami/>"))
        client.socket.shutdown(socket.SHUT_WR)
        assert {serial_of(client.receive()), serial_of(client.receive())} == {1, 2}
        assert client.receive() == b""


def test_a_request_that_comes_byte_by_byte(daemon: RunningDaemon) -> None:
    with RawClient(daemon.socket) as client:
        for byte in request(3, f"<get-xml secret='{SECRET}'/>"):
            client.send(bytes([byte]))
        assert serial_of(client.receive()) == 3


@pytest.mark.parametrize("descriptors", [False, True], ids=["base64", "memfd"])
def test_the_longest_value_both_ways(daemon: RunningDaemon, descriptors: bool) -> None:
    with Client(daemon.socket, descriptors=descriptors) as client:
        client.call(ops.SetValue(UUID(int=9), VALUE))
        assert client.call(ops.GetValue(UUID(int=9))).value == VALUE


@pytest.mark.parametrize("descriptors", [False, True], ids=["base64", "memfd"])
def test_many_calls_of_one_asynchronous_client(daemon: RunningDaemon, descriptors: bool) -> None:
    async def run() -> None:
        async with await AsyncClient.connect(daemon.socket, descriptors=descriptors) as client:

            async def both(number: int) -> None:
                secret, value = UUID(int=1000 + number), SecretValue(b"%d" % number * 50)
                await client.call(ops.SetValue(secret, value))
                assert (await client.call(ops.GetValue(secret))).value == value

            await asyncio.gather(*(both(number) for number in range(200)))

    asyncio.run(run())


def test_a_peer_that_never_reads_is_not_read_from(daemon: RunningDaemon) -> None:
    """It asks for far more than the daemon keeps for it; others go on being answered, and so is it in the end."""
    count = 300
    ask = request(1, f"<get-value secret='{SECRET}'/>")
    with RawClient(daemon.socket) as greedy:
        greedy.socket.setblocking(False)
        waiting = memoryview(ask * count)
        while waiting and select.select([], [greedy.socket], [], 1)[1]:
            waiting = waiting[greedy.socket.send(waiting) :]
        with Client(daemon.socket) as client:
            assert client.call(ops.GetValue(SECRET)).value == VALUE
        kilobytes = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{daemon.process.pid}/status").read_text())
        assert kilobytes
        assert int(kilobytes[1]) * 1024 < 200_000_000
        greedy.socket.settimeout(DEADLINE_S)
        answered = 0
        while answered < count:
            if waiting and select.select([], [greedy.socket], [], 0)[1]:
                waiting = waiting[greedy.socket.send(waiting) :]
            assert serial_of(greedy.receive()) == 1
            answered += 1


def test_requests_in_flight_are_bounded_and_all_answered(daemon: RunningDaemon) -> None:
    count = limits.REQUESTS_IN_FLIGHT * 5
    with RawClient(daemon.socket) as client:
        body = b"".join(
            request(serial, f"<set-value secret='{UUID(int=serial + 1)}'><value>YQ==</value></set-value>")
            for serial in range(count)
        )
        client.send(body)
        assert sorted(serial_of(client.receive()) for _ in range(count)) == list(range(count))


def test_hundreds_of_idle_connections(daemon: RunningDaemon) -> None:
    idle = [RawClient(daemon.socket) for _ in range(400)]
    try:
        with Client(daemon.socket) as client:
            assert client.call(ops.GetValue(SECRET)).value == VALUE
        assert b"<whoami" in idle[-1].ask(request(1, "<whoami/>")[:-1])
    finally:
        for connection in idle:
            connection.socket.close()
