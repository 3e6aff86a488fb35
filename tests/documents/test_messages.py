"""Requests, replies and errors as bytes; what a door learns of a request that it cannot open."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.documents import DIGEST, SECRET_ID, records
from secretd.documents.messages import (
    RequestError,
    open_request,
    read_reply,
    write_error,
    write_reply,
    write_request,
)
from secretd.errors import (
    WIRE_ERRORS,
    ConfigError,
    InvalidDocumentError,
    InvalidValueError,
    InvalidXmlError,
    NotFoundError,
    RemoteProtocolError,
    SecretdError,
    UnknownOperationError,
)
from secretd.model import Attributes, Digest, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import (
    BY_NAME,
    OPERATIONS,
    AllocateId,
    Changed,
    Delete,
    Deleted,
    GetValue,
    GotValue,
    List,
    Reply,
    Request,
    SetValue,
    SetXml,
    Status,
    Whoami,
)

ID = UUID(SECRET_ID)
VALUE = SecretValue(b"open sesame")


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        pytest.param(Status(), "<status/>", id="nothing"),
        pytest.param(GetValue(ID), f"<get-value secret='{SECRET_ID}'/>", id="id"),
        pytest.param(
            AllocateId("a & b", True),
            "<allocate-id ephemeral='yes'><description>a &amp; b</description></allocate-id>",
            id="text",
        ),
        pytest.param(
            SetValue(ID, VALUE, digest=Digest(DIGEST)),
            f"<set-value secret='{SECRET_ID}' ephemeral='no' create='yes' digest='{DIGEST}'>"
            "<value>b3BlbiBzZXNhbWU=</value></set-value>",
            id="value",
        ),
        pytest.param(
            SetXml(ID, SecretDocument(Attributes(Usage(UsageType.VOLUME, "/a")))),
            f"<set-xml secret='{SECRET_ID}'><secret ephemeral='no' private='no'>"
            "<usage type='volume'><volume>/a</volume></usage></secret></set-xml>",
            id="document",
        ),
        pytest.param(
            List(10, usage_type=UsageType.CEPH),
            "<list limit='10' usage-type='ceph' archived='no'/>",
            id="numbers-and-words",
        ),
    ],
)
def test_requests_as_they_are_written(request_: Request[Reply], written: str) -> None:
    assert write_request(7, request_) == f"<request serial='7'>{written}</request>".encode()


def test_a_request_for_a_descriptor_says_so() -> None:
    assert write_request(7, Status(), descriptor=True) == b"<request serial='7' descriptor='yes'><status/></request>"


def test_replies_as_they_are_written() -> None:
    changed = Changed(ID, Digest(DIGEST))
    expected = f"<reply serial='7'><define secret='{SECRET_ID}' digest='{DIGEST}'/></reply>"
    assert write_reply(7, BY_NAME["define"], changed) == expected.encode()
    assert write_reply(7, BY_NAME["delete"], Deleted()) == b"<reply serial='7'><delete/></reply>"
    told = write_reply(7, BY_NAME["get-value"], GotValue(VALUE), value_by_descriptor=True)
    assert told == b"<reply serial='7'><get-value><value descriptor='yes'/></get-value></reply>"


@pytest.mark.parametrize(
    ("body", "serial", "error", "message"),
    [
        # What does not parse has no serial, even if one can be seen.
        pytest.param("hello?", None, InvalidXmlError, "line 1: not well-formed XML", id="no-xml"),
        pytest.param(
            "<request serial='7'><status/>", None, InvalidXmlError, "the document ends too early", id="cut-off"
        ),
        pytest.param("<request serial='7'><?x?></request>", None, InvalidXmlError, "a processing instruction", id="pi"),
        pytest.param("<!DOCTYPE x><request serial='7'/>", None, InvalidXmlError, "document type", id="doctype"),
        # What parses and is no request has none either.
        pytest.param("<secret/>", None, InvalidDocumentError, "<secret> at the root, where <request>", id="root"),
        pytest.param("<reply serial='7'><status/></reply>", None, InvalidDocumentError, "where <request>", id="reply"),
        pytest.param(
            "<frob serial='7'/>", None, InvalidDocumentError, "an unknown element at the root", id="unknown-root"
        ),
        pytest.param("<request><status/></request>", None, InvalidDocumentError, "attribute serial", id="no-serial"),
        pytest.param("<request serial='x'><status/></request>", None, InvalidDocumentError, "serial of", id="serial"),
        pytest.param(
            "<request serial='4294967296'><status/></request>", None, InvalidDocumentError, "serial", id="over"
        ),
        # All else is answered by its serial.
        pytest.param(
            "<request serial='7'>\n<frob a='b'><c/></frob></request>",
            7,
            UnknownOperationError,
            "line 2: there is no such operation",
            id="unknown-operation",
        ),
        pytest.param(
            "<request serial='7'>\n<secret/></request>",
            7,
            UnknownOperationError,
            "line 2: <secret> is no operation",
            id="a-part-as-operation",
        ),
        pytest.param(
            "<request serial='7' frob=''><status/></request>",
            7,
            InvalidDocumentError,
            "line 1: an unknown attribute of <request>",
            id="unknown-attribute",
        ),
        pytest.param(
            "<request serial='7'><status><frob/></status></request>",
            7,
            InvalidDocumentError,
            "line 1: an unknown element in <status>",
            id="unknown-element",
        ),
        pytest.param(
            "<request serial='7'/>", 7, InvalidDocumentError, "<request> must hold one operation", id="no-operation"
        ),
        pytest.param(
            "<request serial='7'><status/><whoami/></request>",
            7,
            InvalidDocumentError,
            "<request> must hold one operation",
            id="two-operations",
        ),
        pytest.param(
            "<request serial='7'>\n<get-value/></request>",
            7,
            InvalidDocumentError,
            "line 2: <get-value> needs the attribute secret",
            id="missing-field",
        ),
    ],
)
def test_requests_that_cannot_be_opened(body: str, serial: int | None, error: type[SecretdError], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_request(body.encode())
    assert caught.value.serial == serial
    assert type(caught.value.error) is error
    assert message in caught.value.error.message


SET_VALUE = f"<request serial='7'><set-value secret='{SECRET_ID}'>%s</set-value></request>"


@pytest.mark.parametrize(
    ("body", "carried", "message"),
    [
        pytest.param(SET_VALUE % "<value/>", None, "<value> is empty", id="empty"),
        pytest.param(SET_VALUE % "<value>YQ</value>", None, "not canonical base64", id="base64"),
        pytest.param(SET_VALUE % f"<value>{'A' * 100_000}</value>", None, "at most 65536 bytes", id="too-long"),
        pytest.param(SET_VALUE % "<value descriptor='yes'/>", None, "none came with the message", id="nothing-carried"),
        pytest.param(SET_VALUE % "<value>YQ==</value>", VALUE, "nothing in it announces one", id="not-announced"),
        pytest.param("<request serial='7'><status/></request>", VALUE, "nothing in it announces", id="no-value-at-all"),
    ],
)
def test_values_that_are_refused_leave_the_serial(body: str, carried: SecretValue | None, message: str) -> None:
    document = open_request(body.encode())
    assert document.serial == 7
    with pytest.raises(InvalidValueError, match=message):
        document.read(carried)


def test_a_text_of_the_model_that_is_too_long_is_refused_on_reading() -> None:
    body = f"<request serial='7'><define><secret><volume>{'v' * 5000}</volume></secret></define></request>"
    with pytest.raises(InvalidDocumentError, match="line 1: a usage id may have at most 4096 bytes"):
        open_request(body.encode()).read()


@pytest.mark.parametrize("code", [pytest.param(code, id=code) for code in WIRE_ERRORS])
def test_every_error_travels(code: str) -> None:
    error = WIRE_ERRORS[code]("a <sentence> & more")
    for document in (read_reply(write_error(error, serial=7)), read_reply(write_error(error, message=3))):
        assert type(document.error) is WIRE_ERRORS[code]
        assert document.error.message == error.message
        with pytest.raises(WIRE_ERRORS[code]):
            document.read(Status)


def test_an_error_answers_a_serial_or_an_ordinal() -> None:
    error = NotFoundError("no secret has that id")
    by_serial, by_ordinal = read_reply(write_error(error, serial=0)), read_reply(write_error(error, message=1))
    assert (by_serial.serial, by_serial.message) == (0, None)
    assert (by_ordinal.serial, by_ordinal.message) == (None, 1)


@pytest.mark.parametrize(("serial", "message"), [pytest.param(None, None, id="neither"), pytest.param(1, 1, id="both")])
def test_an_error_that_answers_nothing_is_our_own_fault(serial: int | None, message: int | None) -> None:
    with pytest.raises(RuntimeError):
        write_error(NotFoundError(""), serial=serial, message=message)


def test_an_error_of_ones_own_side_is_not_sent() -> None:
    with pytest.raises(RuntimeError, match="config-error is never sent"):
        write_error(ConfigError("x"), serial=1)


def test_a_reply_to_another_operation_is_the_daemons_fault() -> None:
    with pytest.raises(RemoteProtocolError, match="line 1: <delete> does not answer <whoami>"):
        read_reply(b"<reply serial='1'><delete/></reply>").read(Whoami)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        pytest.param("", InvalidXmlError, "not well-formed", id="empty"),
        pytest.param("<reply serial='1'/>", InvalidDocumentError, "<reply> must hold one result", id="no-result"),
        pytest.param("<reply><delete/></reply>", InvalidDocumentError, "<reply> needs either", id="to-nothing"),
        pytest.param(
            "<reply message='1'><delete/></reply>", InvalidDocumentError, "must hold <error>", id="result-by-ordinal"
        ),
        pytest.param(
            "<reply serial='1'><frob/></reply>", InvalidDocumentError, "an unknown element in <reply>", id="unknown"
        ),
        pytest.param(
            "<reply serial='1'><error code='frob'/></reply>",
            InvalidDocumentError,
            "attribute code of <error>",
            id="code",
        ),
    ],
)
def test_replies_that_are_refused(body: str, error: type[SecretdError], message: str) -> None:
    with pytest.raises(error, match=message):
        read_reply(body.encode())


def test_a_reply_may_announce_a_descriptor_only_if_one_came() -> None:
    told = read_reply(b"<reply serial='1'><get-value><value descriptor='yes'/></get-value></reply>")
    assert told.read(GetValue, VALUE) == GotValue(VALUE)
    with pytest.raises(InvalidValueError):
        told.read(GetValue)
    with pytest.raises(InvalidValueError):
        read_reply(b"<reply serial='1'><delete/></reply>").read(Delete, VALUE)


REQUESTS = st.one_of([records(operation.request) for operation in OPERATIONS])


@given(body=st.binary(max_size=100) | REQUESTS.map(lambda request: write_request(1, request)), data=st.data())
def test_any_bytes_are_a_request_or_an_error(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 3)) :]
    with suppress(RequestError, SecretdError):
        open_request(mangled).read()
    with suppress(SecretdError):
        read_reply(mangled)


@given(body=st.binary(max_size=100))
def test_what_cannot_be_opened_can_be_answered(body: bytes) -> None:
    with suppress(SecretdError):
        try:
            open_request(body)
        except RequestError as refusal:
            answer = write_error(refusal.error, message=1)
            raise read_reply(answer).error or AssertionError from None
