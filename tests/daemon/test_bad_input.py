"""Bad input at a real socket: each kind gets its own error, nothing changes, and the next client is served."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.raw import RawClient, code_of
from secretd import limits
from secretd import operations as ops
from secretd.client import Client
from secretd.errors import ERRORS_BY_CODE
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType

SECRET = UUID("11111111-2222-4333-8444-555555555555")
UNKNOWN = UUID("99999999-2222-4333-8444-555555555555")
CANARY = "c4n4ry-in-a-bad-place"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("daemon")) as daemon:
        with Client(daemon.socket) as client:
            document = SecretDocument(Attributes(usage=Usage(UsageType.VOLUME, "/taken")))
            client.call(ops.SetXml(SECRET, document))
            client.call(ops.SetValue(SECRET, SecretValue(b"untouched")))
        yield daemon
        daemon.stop()
        assert CANARY not in repr(daemon.log)
        assert "internal error" not in repr(daemon.log)


def request(inner: str) -> bytes:
    return f"<request serial='7'>{inner}</request>".encode()


def value(data: bytes) -> bytes:
    return request(f"<set-value secret='{SECRET}'><value>{b64encode(data).decode()}</value></set-value>")


def set_xml(document: str) -> bytes:
    return request(f"<set-xml secret='{SECRET}'>{document}</set-xml>")


BOMB = "<!DOCTYPE r [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>"

BY_ORDINAL = [
    pytest.param(b"", "invalid-xml", id="an-empty-message"),
    pytest.param(b"hello", "invalid-xml", id="no-xml"),
    pytest.param(b"<request serial='7'><list></request>", "invalid-xml", id="malformed"),
    pytest.param(b"<request serial='7'><list/>", "invalid-xml", id="unclosed"),
    pytest.param(BOMB.encode() + request("<list/>"), "invalid-xml", id="a-doctype"),
    pytest.param(b"<?php x?>" + request("<list/>"), "invalid-xml", id="a-processing-instruction"),
    pytest.param(request("&undefined;"), "invalid-xml", id="an-entity"),
    pytest.param(b"<a>" * 17 + b"</a>" * 17, "invalid-xml", id="too-deep"),
    pytest.param(b"\xff\xfe<a/>", "invalid-xml", id="a-utf-16-mark"),
    pytest.param(request("\xe9").replace(b"\xc3\xa9", b"\xe9"), "invalid-xml", id="latin-1"),
    pytest.param(b"<reply serial='7'/>", "invalid-document", id="another-root"),
    pytest.param(b"<request><list/></request>", "invalid-document", id="no-serial"),
    pytest.param(b"<request serial='-1'><list/></request>", "invalid-document", id="a-bad-serial"),
    pytest.param(b"<request serial='4294967296'><list/></request>", "invalid-document", id="a-serial-too-large"),
]

BY_SERIAL = [
    pytest.param(request(""), "invalid-document", id="no-operation"),
    pytest.param(request("<list/><list/>"), "invalid-document", id="two-operations"),
    pytest.param(request("<frobnicate/>"), "unknown-operation", id="unknown-operation"),
    pytest.param(request("<usage/>"), "unknown-operation", id="no-operation-but-a-name-of-ours"),
    pytest.param(request("<get-value/>"), "invalid-document", id="no-secret-given"),
    pytest.param(request("<get-value secret='x'/>"), "invalid-document", id="bad-uuid"),
    pytest.param(request(f"<get-value secret='{SECRET}' colour='red'/>"), "invalid-document", id="unknown-attribute"),
    pytest.param(set_xml("<secret ephemeral='maybe'/>"), "invalid-document", id="bad-yes-no"),
    pytest.param(set_xml("<secret><sectre/></secret>"), "invalid-document", id="unknown-element"),
    pytest.param(set_xml("<secret><list/></secret>"), "invalid-document", id="element-in-the-wrong-place"),
    pytest.param(set_xml("<secret><usage type='tls'/></secret>"), "invalid-document", id="usage-without-id"),
    pytest.param(set_xml("<secret><usage type='x'><name>a</name></usage></secret>"), "invalid-document", id="bad-type"),
    pytest.param(
        set_xml(f"<secret><uuid>{UNKNOWN}</uuid></secret>"), "invalid-request", id="the-document-of-another-secret"
    ),
    pytest.param(value(b"x" * 65_537), "invalid-value", id="value-too-long"),
    pytest.param(value(b""), "invalid-value", id="empty-value"),
    pytest.param(request(f"<set-value secret='{SECRET}'/>"), "invalid-document", id="no-value"),
    pytest.param(
        request(f"<set-value secret='{SECRET}'><value>{CANARY}</value></set-value>"), "invalid-value", id="not-base64"
    ),
    pytest.param(
        request(f"<set-value secret='{SECRET}'><value>YQ=</value></set-value>"), "invalid-value", id="bad-padding"
    ),
    pytest.param(
        request(f"<set-value secret='{SECRET}'><value>YR==</value></set-value>"), "invalid-value", id="not-canonical"
    ),
    pytest.param(
        request(f"<set-value secret='{SECRET}'><value descriptor='yes'/></set-value>"),
        "invalid-value",
        id="a-descriptor-that-did-not-come",
    ),
    pytest.param(request(f"<get-value secret='{UNKNOWN}'/>"), "no-secret", id="unknown-id"),
    pytest.param(request(f"<delete secret='{UNKNOWN}'/>"), "no-secret", id="delete-unknown-id"),
    pytest.param(request("<list limit='0'/>"), "invalid-document", id="limit-too-small"),
    pytest.param(request("<list limit='1001'/>"), "invalid-document", id="limit-too-large"),
    pytest.param(request("<list limit='1e3'/>"), "invalid-document", id="limit-not-plain"),
    pytest.param(
        request(f"<set-xml secret='{UNKNOWN}'><secret><volume>/taken</volume></secret></set-xml>"),
        "conflict",
        id="duplicate-usage",
    ),
    pytest.param(
        request(f"<generate-value secret='{SECRET}' length='8'><alphabet>aa</alphabet></generate-value>"),
        "invalid-request",
        id="bad-alphabet",
    ),
]


def assert_served(daemon: RunningDaemon) -> None:
    """The secret is what it was, and there is no other."""
    with Client(daemon.socket) as client:
        assert client.call(ops.GetValue(SECRET)).value.reveal() == b"untouched"
        (entry,) = client.call(ops.List()).entries
        assert entry.usage == Usage(UsageType.VOLUME, "/taken")


@pytest.mark.parametrize(("body", "code"), BY_ORDINAL)
def test_what_does_not_parse_is_answered_by_its_ordinal(daemon: RunningDaemon, body: bytes, code: str) -> None:
    with RawClient(daemon.socket) as client:
        assert b"<list " in client.ask(request("<list/>"))
        reply = client.ask(body)
        assert code_of(reply) == code
        assert reply.startswith(b"<reply message='2'>")
        assert b"<list " in client.ask(request("<list/>")), "the connection lives"
    assert_served(daemon)


@pytest.mark.parametrize(("body", "code"), BY_SERIAL)
def test_what_is_wrong_is_answered_by_its_serial(daemon: RunningDaemon, body: bytes, code: str) -> None:
    with RawClient(daemon.socket) as client:
        reply = client.ask(body)
        assert code_of(reply) == code
        assert reply.startswith(b"<reply serial='7'>")
        assert CANARY.encode() not in reply
        assert b"<list " in client.ask(request("<list/>")), "the connection lives"
    assert_served(daemon)


@pytest.mark.parametrize(
    "reply_part",
    [
        pytest.param((set_xml("<secret>\n<usage type='tls'/></secret>"), b"line 2", b"usage"), id="in-the-document"),
        pytest.param((request("\n\n<get-value secret='x'/>"), b"line 3", b"get-value"), id="in-the-request"),
    ],
)
def test_an_error_names_line_and_element(daemon: RunningDaemon, reply_part: tuple[bytes, bytes, bytes]) -> None:
    body, line, element = reply_part
    with RawClient(daemon.socket) as client:
        reply = client.ask(body)
        assert line in reply
        assert element in reply


class TestLostFraming:
    """An error, and the end of the connection."""

    def test_a_message_that_never_ends(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            client.send(b"x" * (limits.MESSAGE_BYTES + 1))
            assert code_of(client.receive()) == "protocol-error"
            assert client.receive() == b""
        assert_served(daemon)

    def test_ten_megabytes_of_garbage(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                client.send(b"\x01" * 10_000_000)
            assert code_of(client.receive()) == "protocol-error"
            assert client.receive() == b""
        assert_served(daemon)

    def test_the_longest_message_is_still_read(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            body = request("<list/>")
            assert b"<list " in client.ask(body + b" " * (limits.MESSAGE_BYTES - len(body)))

    def test_half_a_message_and_a_hang_up(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            client.send(value(b"half")[:-20])
        assert_served(daemon)

    def test_half_a_message_and_no_more(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            client.send(request("<list/>")[:-5])
            client.socket.shutdown(1)
            assert code_of(client.receive()) == "protocol-error"
            assert client.receive() == b""

    def test_a_request_and_a_hang_up(self, daemon: RunningDaemon) -> None:
        with RawClient(daemon.socket) as client:
            client.send(request("<list/>") + b"\0")
        assert_served(daemon)


ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def memfd(data: bytes, seals: int = ALL_SEALS) -> int:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def pipe(_: Path) -> int:
    read, write = os.pipe()
    os.close(write)
    return read


def regular_file(directory: Path) -> int:
    path = directory / "value"
    path.write_bytes(b"untouched")
    return os.open(path, os.O_RDONLY)


class TestDescriptors:
    CARRIED = request(f"<set-value secret='{SECRET}'><value descriptor='yes'/></set-value>")

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda _: memfd(b"x", 0), id="unsealed"),
            pytest.param(lambda _: memfd(b"x", ALL_SEALS & ~fcntl.F_SEAL_WRITE), id="one-seal-missing"),
            pytest.param(lambda _: memfd(b""), id="empty"),
            pytest.param(lambda _: memfd(b"x" * 65_537), id="too-long"),
            pytest.param(regular_file, id="a-file"),
            pytest.param(pipe, id="a-pipe"),
        ],
    )
    def test_one_that_is_not_a_value(self, daemon: RunningDaemon, tmp_path: Path, make: Callable[[Path], int]) -> None:
        descriptor = make(tmp_path)
        with RawClient(daemon.socket) as client:
            assert code_of(client.ask(self.CARRIED, [descriptor])) == "invalid-value"
            assert b"<list " in client.ask(request("<list/>"))
        os.close(descriptor)
        assert_served(daemon)

    @pytest.mark.parametrize("count", [2, 3, 100])
    def test_too_many(self, daemon: RunningDaemon, count: int) -> None:
        descriptor = memfd(b"x")
        with RawClient(daemon.socket) as client:
            assert code_of(client.ask(self.CARRIED, [descriptor] * count)) == "invalid-value"
            assert b"<list " in client.ask(request("<list/>"))
        os.close(descriptor)
        assert_served(daemon)

    def test_one_that_was_not_announced(self, daemon: RunningDaemon) -> None:
        descriptor = memfd(b"x")
        with RawClient(daemon.socket) as client:
            assert code_of(client.ask(request("<list/>"), [descriptor])) == "invalid-value"
        os.close(descriptor)

    def test_none_stays_open_in_the_daemon(self, daemon: RunningDaemon, tmp_path: Path) -> None:
        descriptors = [memfd(b"x"), memfd(b"x", 0), regular_file(tmp_path)]
        files = [os.fstat(descriptor) for descriptor in descriptors]

        def held() -> int:
            links = Path(f"/proc/{daemon.process.pid}/fd").iterdir()
            return sum(os.path.samestat(link.stat(), file) for link in links if link.exists() for file in files)

        for descriptor in descriptors:
            with RawClient(daemon.socket) as client:
                client.ask(request("<list/>"), [descriptor] * 3)
                client.ask(self.CARRIED, [descriptor] * 2)
            with RawClient(daemon.socket) as client:
                client.send(b"half a message", [descriptor])
                client.socket.shutdown(socket.SHUT_WR)
                assert code_of(client.receive()) == "protocol-error"
        deadline = time.monotonic() + DEADLINE_S
        while held() and time.monotonic() < deadline:
            assert_served(daemon)
        assert held() == 0
        for descriptor in descriptors:
            os.close(descriptor)


def test_every_code_that_a_peer_saw_is_in_the_table() -> None:
    seen = {parameter.values[1] for parameter in BY_ORDINAL + BY_SERIAL}
    assert seen <= set(ERRORS_BY_CODE)
