"""If writing succeeds, reading gives the same again: for every request, every reply and every document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from helpers.documents import records
from secretd import limits
from secretd.documents.codecs import Codec
from secretd.documents.messages import open_request, read_reply, write_reply, write_request
from secretd.errors import InvalidDocumentError
from secretd.model import SecretValue
from secretd.operations import OPERATIONS, AllocateId, Delete, Operation, Reply, Request

EACH_OPERATION = pytest.mark.parametrize("operation", [pytest.param(row, id=row.name) for row in OPERATIONS])
SERIALS = st.integers(0, limits.SERIAL)


def value_of(record: Request[Reply] | Reply) -> SecretValue | None:
    value = getattr(record, "value", None)
    return value if isinstance(value, SecretValue) else None


@EACH_OPERATION
@given(data=st.data(), serial=SERIALS, wish=st.booleans())
def test_a_request_comes_back_as_it_was(operation: Operation, data: st.DataObject, serial: int, wish: bool) -> None:
    request = data.draw(records(operation.request))
    document = open_request(write_request(serial, request, descriptor=wish))
    assert (document.serial, document.descriptor, document.operation) == (serial, wish, operation)
    assert document.read() == request


@EACH_OPERATION
@given(data=st.data(), serial=SERIALS)
def test_a_reply_comes_back_as_it_was(operation: Operation, data: st.DataObject, serial: int) -> None:
    reply = data.draw(records(operation.reply))
    document = read_reply(write_reply(serial, operation, reply))
    assert (document.serial, document.message, document.error) == (serial, None, None)
    assert document.read(operation.request) == reply


@EACH_OPERATION
@given(data=st.data())
def test_a_value_may_travel_beside_its_message(operation: Operation, data: st.DataObject) -> None:
    request, reply = data.draw(records(operation.request)), data.draw(records(operation.reply))
    asked = open_request(write_request(1, request, value_by_descriptor=True))
    assert asked.read(value_of(request)) == request
    told = read_reply(write_reply(1, operation, reply, value_by_descriptor=True))
    assert told.read(operation.request, value_of(reply)) == reply


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\0b", id="nul"),
        pytest.param("a\x1bb", id="control"),
        pytest.param("a\ud800b", id="surrogate"),
        pytest.param("a\uffffb", id="no-character"),
    ],
)
def test_a_text_that_xml_cannot_carry_is_not_written(text: str) -> None:
    with pytest.raises(InvalidDocumentError, match="<description> holds a character that XML cannot carry"):
        write_request(1, AllocateId(description=text))


def test_a_codec_does_not_rely_on_the_schema_for_what_it_parses() -> None:
    element = etree.fromstring("<delete secret='7'/>")
    with pytest.raises(InvalidDocumentError, match="line 1: the attribute secret of <delete> is not a UUID"):
        Codec(Delete, "delete").read(element, None)
