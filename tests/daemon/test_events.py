"""Events of a real daemon over real sockets: in order with answers, to slow readers, across its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import RunningDaemon
from helpers.raw import RawClient
from secretd import limits
from secretd import operations as ops
from secretd.client import Client
from secretd.documents.events import is_event, read_event
from secretd.errors import ReadOnlyError, UnreachableError
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType

SECRET = UUID("11111111-2222-4333-8444-555555555555")
CANARY = "c4n4ry-of-a-value"
VALUE = SecretValue(CANARY.encode())
SUBSCRIBE = b"<request serial='1'><subscribe/></request>"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path) as daemon:
        yield daemon


def subscriber(path: Path) -> RawClient:
    client = RawClient(path)
    assert client.ask(SUBSCRIBE) == b"<reply serial='1'><subscribe/></reply>"
    return client


def with_a_long_usage(client: Client, number: int) -> None:
    """Change a secret so that its event is long: a few of them fill what a socket takes."""
    usage = Usage(UsageType.VOLUME, f"/{number}/".ljust(limits.USAGE_ID_BYTES, "&"))
    client.call(ops.SetXml(SECRET, SecretDocument(Attributes(usage=usage, ephemeral=True))))


@pytest.mark.parametrize("ephemeral", ["yes", "no"])
def test_on_one_connection_the_answer_comes_before_the_event(daemon: RunningDaemon, ephemeral: str) -> None:
    with subscriber(daemon.socket) as client:
        for serial in range(2, 50):
            change = f"<set-value secret='{SECRET}' ephemeral='{ephemeral}'><value>YQ==</value></set-value>"
            client.send(f"<request serial='{serial}'>{change}</request>\0".encode())
            assert client.receive().startswith(f"<reply serial='{serial}'><set-value ".encode())
            assert is_event(client.receive())


def test_pipelined_changes_are_each_answered_before_they_are_told(daemon: RunningDaemon) -> None:
    with subscriber(daemon.socket) as client:
        changes = [f"<set-value secret='{UUID(int=number)}'><value>YQ==</value></set-value>" for number in range(1, 33)]
        requests = [f"<request serial='{serial}'>{change}</request>\0" for serial, change in enumerate(changes, 2)]
        client.send("".join(requests).encode())
        answered: set[str] = set()
        told = 0
        for _ in range(2 * len(changes)):
            message = client.receive()
            if is_event(message):
                event = read_event(message)
                assert isinstance(event, ops.SecretDefined)
                assert event.digest in answered
                told += 1
            else:
                answered.add(message.decode().split("digest='")[1][:32])
        assert told == len(answered) == len(changes)


def test_no_value_is_in_an_event(daemon: RunningDaemon) -> None:
    with subscriber(daemon.socket) as listening, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, VALUE))
        client.call(ops.SetValue(SECRET, VALUE))
        client.call(ops.Delete(SECRET))
        messages = [listening.receive() for _ in range(3)]
        assert [type(read_event(message)) for message in messages] == [
            ops.SecretDefined,
            ops.ValueChanged,
            ops.SecretDeleted,
        ]
        assert not any(CANARY.encode() in message for message in messages)


def test_the_read_only_socket_tells_too(daemon: RunningDaemon) -> None:
    with Client(daemon.socket_ro) as listening, Client(daemon.socket) as client:
        listening.call(ops.Subscribe(SECRET))
        made = client.call(ops.SetValue(SECRET, VALUE))
        event = next(listening.events(30))
        assert isinstance(event, ops.SecretDefined)
        assert event.digest == made.digest
        with pytest.raises(ReadOnlyError):
            listening.call(ops.Delete(SECRET))


def test_who_does_not_read_is_told_once_that_he_lost_something_and_costs_nobody_else(daemon: RunningDaemon) -> None:
    with subscriber(daemon.socket) as slow, subscriber(daemon.socket) as quick, Client(daemon.socket) as client:
        for number in range(200):
            with_a_long_usage(client, number)
            assert f"/{number}/".encode() in quick.receive()
        kinds: list[type[ops.Event]] = []
        while not kinds or kinds[-1] is not ops.EventsLost:
            kinds.append(type(read_event(slow.receive())))
        assert kinds.count(ops.EventsLost) == 1
        # Bounded by what the daemon keeps and what the kernel's buffers of the socket take.
        assert len(kinds) < 150
        for number in (1_000, 1_001):
            with_a_long_usage(client, number)
            assert f"/{number}/".encode() in slow.receive()


def test_unread_events_are_bounded_for_many_subscribers(daemon: RunningDaemon) -> None:
    count = 50
    subscribers = [subscriber(daemon.socket) for _ in range(count)]
    with Client(daemon.socket) as client:
        with_a_long_usage(client, 0)
        before = resident_bytes(daemon)
        for number in range(300):
            with_a_long_usage(client, number)
        # Without a bound 300 events of 20 KB each would be kept for each of them: 300 MB.
        assert resident_bytes(daemon) - before < 2 * count * limits.EVENT_BYTES_WAITING
    for one in subscribers:
        one.socket.close()


def resident_bytes(daemon: RunningDaemon) -> int:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1_024


def test_a_subscription_ends_with_its_connection(daemon: RunningDaemon) -> None:
    with Client(daemon.socket) as client:
        for _ in range(300):
            subscriber(daemon.socket).socket.close()
        client.call(ops.SetValue(SECRET, VALUE))
        with subscriber(daemon.socket) as listening:
            # A client that ends its side wants nothing any more, and is let go.
            listening.socket.shutdown(socket.SHUT_WR)
            assert listening.receive() == b""
    assert daemon.stop() == 0
    assert [line for line in daemon.log if line.get("level") == "error"] == []


def test_what_waits_is_sent_when_the_daemon_stops(daemon: RunningDaemon) -> None:
    with subscriber(daemon.socket) as listening, Client(daemon.socket) as client:
        for number in range(60):
            with_a_long_usage(client, number)
        daemon.process.send_signal(signal.SIGTERM)
        received = []
        while message := listening.receive():
            received.append(read_event(message))
        # The last of what waited: it went out after the signal.
        assert received[-1] == ops.EventsLost()
        assert daemon.finish() == 0
        with pytest.raises(UnreachableError):
            client.call(ops.Whoami())


def test_one_who_does_not_read_does_not_hold_up_the_end(daemon: RunningDaemon) -> None:
    with subscriber(daemon.socket), Client(daemon.socket) as client:
        for number in range(100):
            with_a_long_usage(client, number)
        assert daemon.stop() == 0


def test_a_kill_ends_the_events_with_an_error(daemon: RunningDaemon) -> None:
    with Client(daemon.socket) as listening:
        listening.call(ops.Subscribe())
        with Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, VALUE))
        events = listening.events(30)
        assert isinstance(next(events), ops.SecretDefined)
        daemon.kill()
        with pytest.raises(UnreachableError):
            next(events)


def test_what_was_told_survives_a_kill(tmp_path: Path) -> None:
    told: dict[UUID, str] = {}
    for number in range(1, 6):
        with RunningDaemon(tmp_path) as daemon:
            with Client(daemon.socket) as client:
                listed = {entry.secret: str(entry.digest) for entry in client.call(ops.List()).entries}
                assert told.items() <= listed.items()
            with subscriber(daemon.socket) as listening, RawClient(daemon.socket) as changing:
                for secret in (UUID(int=10 * number), UUID(int=10 * number + 1)):
                    change = f"<set-value secret='{secret}'><value>YQ==</value></set-value>"
                    changing.send(f"<request serial='1'>{change}</request>\0".encode())
                event = read_event(listening.receive())
                daemon.kill()
            assert isinstance(event, ops.SecretDefined)
            told[event.secret] = event.digest
