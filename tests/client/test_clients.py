"""What holds for both clients, against a scripted daemon."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from helpers.clients import Ask, ask_asyncio, ask_blocking, descriptors_in_use
from helpers.fake_daemon import Conversation, FakeDaemon
from secretd import limits
from secretd.client import peer
from secretd.errors import (
    WIRE_ERRORS,
    ConfigError,
    NotFoundError,
    RemoteProtocolError,
    SecretdError,
    UnreachableError,
    UntrustedDaemonError,
)
from secretd.model import Digest, SecretValue
from secretd.operations import Changed, Delete, Deleted, GetValue, GotValue, SetValue
from secretd.wire.memfd import seal_value

ID = UUID("7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9")
DIGEST = Digest("00d1f0bd1c0f4d2b1a8f0a4a1f2c3e41")
VALUE = SecretValue(b"open sesame")
TEXT = "<get-value><value>b3BlbiBzZXNhbWU=</value></get-value>"
BESIDE = "<get-value><value descriptor='yes'/></get-value>"

both = pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])


# Answers.


@both
def test_calls_give_replies(ask: Ask, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply(TEXT))
        client.send(client.expect().reply(f"<set-value secret='{ID}' digest='{DIGEST}'/>"))
        client.send(client.expect().reply("<delete/>"))
        client.expect_end()

    with FakeDaemon(tmp_path, script) as daemon:
        assert ask(daemon.path, GetValue(ID), SetValue(ID, VALUE), Delete(ID)) == [
            GotValue(VALUE),
            Changed(ID, DIGEST),
            Deleted(),
        ]


@both
def test_a_reply_may_come_in_drops(ask: Ask, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        for byte in client.expect().reply(TEXT):
            client.send(bytes([byte]))

    with FakeDaemon(tmp_path, script) as daemon:
        assert ask(daemon.path, GetValue(ID)) == [GotValue(VALUE)]


@both
@pytest.mark.parametrize("code", WIRE_ERRORS)
def test_errors_are_raised_as_their_class(ask: Ask, code: str, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply(f"<error code='{code}'>what happened</error>"))
        client.send(client.expect().reply("<delete/>"))

    with FakeDaemon(tmp_path, script) as daemon:
        failed, after = ask(daemon.path, Delete(ID), Delete(ID))
    assert type(failed) is WIRE_ERRORS[code]
    assert failed.message == "what happened"
    assert after == Deleted()


@both
def test_an_error_by_ordinal_finds_its_request(ask: Ask, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))
        client.expect()
        client.send(b"<reply message='2'><error code='no-secret'>the second</error></reply>\0")

    with FakeDaemon(tmp_path, script) as daemon:
        done, failed = ask(daemon.path, Delete(ID), Delete(ID))
    assert done == Deleted()
    assert type(failed) is NotFoundError


# Values by descriptor.


@both
def test_values_travel_by_descriptor_when_asked(ask: Ask, tmp_path: Path) -> None:
    seen = []

    def script(client: Conversation) -> None:
        setting = client.expect()
        client.send(setting.reply(f"<set-value secret='{ID}' digest='{DIGEST}'/>"))
        getting = client.expect()
        client.send(getting.reply(BESIDE), [seal_value(VALUE)])
        seen.extend([setting, getting])

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        outcomes = ask(daemon.path, SetValue(ID, VALUE), GetValue(ID), descriptors=True)
    assert outcomes == [Changed(ID, DIGEST), GotValue(VALUE)]
    assert [received.contents for received in seen] == [[b"open sesame"], []]
    assert b"b3Bl" not in seen[0].body
    assert b"descriptor=" in seen[1].body
    assert descriptors_in_use() == before


@both
def test_values_travel_as_text_when_not(ask: Ask, tmp_path: Path) -> None:
    seen = []

    def script(client: Conversation) -> None:
        seen.append(client.expect())
        client.send(seen[0].reply(f"<set-value secret='{ID}' digest='{DIGEST}'/>"))

    with FakeDaemon(tmp_path, script) as daemon:
        assert ask(daemon.path, SetValue(ID, VALUE)) == [Changed(ID, DIGEST)]
    assert seen[0].contents == []
    assert b"<value>b3BlbiBzZXNhbWU=</value>" in seen[0].body


def unsealed() -> int:
    """Make a memfd that anyone may change."""
    descriptor = os.memfd_create("unsealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, b"open sesame")
    return descriptor


def sealed() -> int:
    """Make one as it should be."""
    return seal_value(VALUE)


@both
@pytest.mark.parametrize(
    ("content", "makers"),
    [
        pytest.param(TEXT, [sealed], id="not-announced"),
        pytest.param("<error code='no-value'>none</error>", [sealed], id="beside-an-error"),
        pytest.param(BESIDE, [], id="announced-and-not-there"),
        pytest.param(BESIDE, [unsealed], id="not-sealed"),
        pytest.param(BESIDE, [sealed, sealed], id="two"),
    ],
)
def test_descriptors_against_the_rules(ask: Ask, content: str, makers: list[Callable[[], int]], tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply(content), [make() for make in makers])
        client.send(client.expect().reply("<delete/>"))
        client.expect_end()

    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon:
        failed, after = ask(daemon.path, GetValue(ID), Delete(ID), descriptors=True)
    assert isinstance(failed, SecretdError)
    assert failed.code == ("no-value" if "no-value" in content else "protocol-error")
    assert after == Deleted()
    assert descriptors_in_use() == before


# A daemon that breaks the protocol.


@both
@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"hello?\0", id="no-xml"),
        pytest.param(b"\0", id="an-empty-message"),
        pytest.param(b"<event><lost/></event>\0", id="an-event-nobody-asked-for"),
        pytest.param(b"<request serial='0'><status/></request>\0", id="a-request"),
        pytest.param(b"<reply serial='77'><delete/></reply>\0", id="a-serial-never-used"),
        pytest.param(b"<reply message='77'><error code='busy'>busy</error></reply>\0", id="an-ordinal-never-used"),
        pytest.param(b"<reply><delete/></reply>\0", id="neither-serial-nor-ordinal"),
        pytest.param(b"<!DOCTYPE reply><reply serial='0'><delete/></reply>\0", id="a-doctype"),
        pytest.param(b"x" * (limits.MESSAGE_BYTES + 1), id="a-message-too-long"),
    ],
)
def test_garbage_ends_the_connection(ask: Ask, garbage: bytes, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.expect()
        client.send(garbage)
        client.expect_end()

    with FakeDaemon(tmp_path, script) as daemon:
        failed, after = ask(daemon.path, Delete(ID), Delete(ID))
    assert type(failed) is RemoteProtocolError
    assert isinstance(after, RemoteProtocolError | UnreachableError)


@both
@pytest.mark.parametrize(
    "content",
    [
        pytest.param("<delete/>", id="of-another-operation"),
        pytest.param("<get-value><value>open sesame</value></get-value>", id="a-value-that-is-no-base64"),
        pytest.param("<get-value><value/></get-value>", id="an-empty-value"),
    ],
)
def test_a_reply_that_cannot_be_understood_fails_one_call(ask: Ask, content: str, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply(content))
        client.send(client.expect().reply("<delete/>"))

    with FakeDaemon(tmp_path, script) as daemon:
        failed, after = ask(daemon.path, GetValue(ID), Delete(ID))
    assert type(failed) is RemoteProtocolError
    assert "sesame" not in failed.message
    assert after == Deleted()


# A daemon that goes away.


@both
@pytest.mark.parametrize("said", [b"", b"<reply serial='0'><del"], ids=["before-the-reply", "inside-the-reply"])
def test_a_hang_up(ask: Ask, said: bytes, tmp_path: Path) -> None:
    def script(client: Conversation) -> None:
        client.expect()
        client.send(said)

    with FakeDaemon(tmp_path, script) as daemon:
        failed, after = ask(daemon.path, Delete(ID), Delete(ID))
    assert type(failed) is UnreachableError
    assert "went away" in failed.message
    assert type(after) is UnreachableError


@both
def test_the_last_words_of_a_daemon_are_heard(ask: Ask, tmp_path: Path) -> None:
    """It breaks off in the middle of a request, as over a message that is too long, and has said why."""

    def script(client: Conversation) -> None:
        client.socket.recv(1)
        client.send(b"<reply message='1'><error code='protocol-error'>too long</error></reply>\0")

    with FakeDaemon(tmp_path, script) as daemon:
        (failed,) = ask(daemon.path, SetValue(ID, SecretValue(b"x" * limits.VALUE_BYTES)))
    assert type(failed) is RemoteProtocolError
    assert failed.message == "too long"


# No daemon.


def nothing(_: Path) -> None:
    """Leave the path as it is: not there."""


def abandoned(path: Path) -> None:
    """Leave a socket behind that nobody listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))


@both
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(nothing, "no such socket", id="no-socket"),
        pytest.param(abandoned, "nobody listens there any more", id="abandoned"),
        pytest.param(Path.mkdir, "that is no socket", id="a-directory"),
        pytest.param(Path.touch, "that is no socket", id="a-file"),
    ],
)
def test_nobody_listens(ask: Ask, prepare: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    prepare(tmp_path / "sock")
    before = descriptors_in_use()
    with pytest.raises(UnreachableError, match=message) as caught:
        ask(tmp_path / "sock", Delete(ID))
    assert str(tmp_path / "sock") in caught.value.message
    assert descriptors_in_use() == before


@both
def test_a_path_below_a_file(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError, match="Not a directory"):
        ask(tmp_path / "file" / "sock", Delete(ID))


@both
def test_a_path_that_no_socket_can_have(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes"):
        ask(tmp_path / ("x" * 108), Delete(ID))


@both
def test_a_stranger_is_told_nothing(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root could listen as somebody else, so the getter of the kernel's answer is replaced."""

    def script(client: Conversation) -> None:
        client.expect_end()

    monkeypatch.setattr(peer, "peer_uid", lambda _: os.geteuid() + 1)
    before = descriptors_in_use()
    with FakeDaemon(tmp_path, script) as daemon, pytest.raises(UntrustedDaemonError, match="neither root nor you"):
        ask(daemon.path, Delete(ID))
    assert descriptors_in_use() == before


@both
def test_root_is_trusted(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(client: Conversation) -> None:
        client.send(client.expect().reply("<delete/>"))

    monkeypatch.setattr(peer, "peer_uid", lambda _: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with FakeDaemon(tmp_path, script) as daemon:
        assert ask(daemon.path, Delete(ID)) == [Deleted()]


def test_the_kernel_says_who_listens() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with here, there:
        assert peer.peer_uid(here) == os.geteuid()
        peer.check_peer(here)
