"""The half that both clients share, without a socket."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.client.exchange import Answer, Exchange, OutgoingRequest
from secretd.errors import NotFoundError, RemoteProtocolError
from secretd.keyrequests import KeyExport, KeyImport
from secretd.keys import KeyDocument, KeyFormat, KeyId
from secretd.model import SecretValue
from secretd.operations import Delete, Deleted
from secretd.wire.memfd import read_value

ID = UUID("7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9")
DONE = "<delete/>"
VALUE = SecretValue(b"open sesame")


def reply(serial: int, content: str = DONE) -> bytes:
    return f"<reply serial='{serial}'>{content}</reply>\0".encode()


def answers(exchange: Exchange, data: bytes) -> list[Answer]:
    """Take in bytes, and give the answers in them."""
    exchange.receive(data)
    found = []
    while (received := exchange.next_received()) is not None:
        assert isinstance(received, Answer)
        found.append(received)
    return found


def test_what_is_no_request_is_a_fault_of_the_program_that_says_so() -> None:
    exchange = Exchange()
    with pytest.raises(TypeError, match=r"an object of a class of secretd.operations, and no str"):
        exchange.request("list")  # type: ignore[arg-type]  # as who tries it out may write it
    assert len(answers(exchange, reply(exchange.request(Delete(ID)).serial))) == 1


@pytest.mark.parametrize("descriptors", [False, True], ids=["text", "descriptors"])
def test_of_two_values_the_one_that_is_named_so_travels_by_descriptor(descriptors: bool) -> None:
    exchange = Exchange(descriptors=descriptors)
    sent = exchange.request(KeyImport(KeyDocument(), VALUE, KeyFormat.PBS, SecretValue(b"correct horse")))
    body = bytes(sent.rest)
    assert b"<password>Y29ycmVjdCBob3JzZQ==</password>" in body
    assert (b"<value>b3BlbiBzZXNhbWU=</value>" in body) is not descriptors
    assert (b"<value descriptor='yes'/>" in body) is descriptors
    assert (sent.descriptor is not None) is descriptors
    if sent.descriptor is not None:
        assert read_value(sent.descriptor) == VALUE
    sent.close()


def test_a_request_without_its_own_value_has_no_descriptor() -> None:
    sent = Exchange(descriptors=True).request(KeyExport(KeyId("nightly"), password=VALUE))
    assert sent.descriptor is None
    assert b"<password>b3BlbiBzZXNhbWU=</password>" in bytes(sent.rest)


def test_serials_begin_at_nought_and_count() -> None:
    exchange = Exchange()
    assert [exchange.request(Delete(ID)).serial for _ in range(3)] == [0, 1, 2]


def test_a_serial_is_not_used_again_before_its_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SERIAL", 3)
    exchange = Exchange()
    for _ in range(3):
        exchange.request(Delete(ID))
    answers(exchange, reply(1))
    assert [exchange.request(Delete(ID)).serial for _ in range(2)] == [3, 1]
    answers(exchange, reply(2) + reply(0))
    assert [exchange.request(Delete(ID)).serial for _ in range(2)] == [2, 0]


def test_an_ordinal_is_that_of_the_request_also_when_serials_come_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SERIAL", 1)
    exchange = Exchange()
    for _ in range(4):
        answers(exchange, reply(exchange.request(Delete(ID)).serial))
    exchange.request(Delete(ID))
    (answer,) = answers(exchange, b"<reply message='5'><error code='no-secret'>none</error></reply>\0")
    assert answer.serial == 0
    assert isinstance(answer.outcome, NotFoundError)


def test_answers_come_as_they_are_received() -> None:
    exchange = Exchange()
    for _ in range(3):
        exchange.request(Delete(ID))
    assert answers(exchange, reply(2)[:9]) == []
    assert answers(exchange, reply(2)[9:] + reply(0)) == [Answer(2, Deleted()), Answer(0, Deleted())]


@pytest.mark.parametrize(
    "again",
    [reply(0), b"<reply message='1'><error code='busy'>busy</error></reply>\0"],
    ids=["by-serial", "by-ordinal"],
)
def test_a_request_is_answered_once(again: bytes) -> None:
    exchange = Exchange()
    exchange.request(Delete(ID))
    answers(exchange, reply(0))
    with pytest.raises(RemoteProtocolError, match="not made"):
        answers(exchange, again)


def test_answers_before_garbage_count() -> None:
    exchange = Exchange()
    exchange.request(Delete(ID))
    exchange.receive(reply(0) + b"garbage\0")
    assert exchange.next_received() == Answer(0, Deleted())
    with pytest.raises(RemoteProtocolError, match="no reply"):
        exchange.next_received()


@given(st.lists(st.sampled_from([b"\0", reply(0), reply(1), reply(7), b"<reply", b"<"]) | st.binary(max_size=20)))
def test_any_bytes_give_answers_or_the_daemons_fault(pieces: list[bytes]) -> None:
    exchange = Exchange()
    asked = {exchange.request(Delete(ID)).serial for _ in range(2)}
    try:
        found = [answer for piece in pieces for answer in answers(exchange, piece)]
    except RemoteProtocolError:
        return
    assert {answer.serial for answer in found} <= asked
    assert len(found) <= len(asked)


def test_a_request_on_its_way_does_not_show_itself() -> None:
    assert "sesame" not in repr(OutgoingRequest(memoryview(b"open sesame"), serial=0))
