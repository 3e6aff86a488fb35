from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from secretd import limits
from secretd.documents.values import blob_from, value_from, write_blob, write_value
from secretd.errors import InvalidRequestError, InvalidValueError
from secretd.keys import Blob
from secretd.model import SecretValue

CARRIED = SecretValue(b"carried")


def element(text: str, *, descriptor: str | None = None, tag: str = "value") -> etree._Element:
    value = etree.Element(tag, {} if descriptor is None else {"descriptor": descriptor})
    value.text = text
    return value


@given(value=st.binary(min_size=1, max_size=3000))
def test_a_value_comes_back_as_it_was(value: bytes) -> None:
    written = etree.fromstring(write_value("value", SecretValue(value), descriptor=False))
    assert value_from(written, None).reveal() == value


@pytest.mark.parametrize(
    "length", [pytest.param(1, id="shortest"), pytest.param(int(limits.VALUE_BYTES), id="longest")]
)
def test_lengths_that_a_value_may_have(length: int) -> None:
    text = base64.b64encode(b"v" * length).decode()
    assert len(value_from(element(text), None)) == length


def test_a_value_is_bytes_and_no_text() -> None:
    with pytest.raises(TypeError, match="a value is bytes: encode a text first"):
        SecretValue("text")  # type: ignore[arg-type]  # as who tries it out may write it


def test_a_value_by_descriptor_is_what_was_carried() -> None:
    assert value_from(element("", descriptor="yes"), CARRIED) is CARRIED
    assert write_value("value", CARRIED, descriptor=True) == "<value descriptor='yes'/>"


def test_a_descriptor_that_is_declined_is_text() -> None:
    assert value_from(element("YQ==", descriptor="no"), None).reveal() == b"a"


NOT_CANONICAL = pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("YQ", "not canonical", id="no-padding"),
        pytest.param("YQ=", "not canonical", id="half-the-padding"),
        pytest.param("YQ===", "not canonical", id="too-much-padding"),
        pytest.param("YWJj====", "not canonical", id="padding-for-nothing"),
        pytest.param("YR==", "not canonical", id="unused-bits"),
        pytest.param("YWJ=", "not canonical", id="padding-for-a-character"),
        pytest.param("YWJk\n", "not canonical", id="line-feed-behind"),
        pytest.param(" YWJk", "not canonical", id="space-before"),
        pytest.param("YW Jk", "not canonical", id="space-within"),
        pytest.param("YQ==YQ==", "not canonical", id="two-values"),
        pytest.param("YQ==xx", "not canonical", id="more-behind-the-padding"),
        pytest.param("__--", "not canonical", id="the-url-alphabet"),
        pytest.param("====", "not canonical", id="padding-alone"),
        pytest.param("A", "not canonical", id="one-character"),
        pytest.param("ÀÁÂÃ", "not canonical", id="not-ascii"),
        pytest.param("Y\u200bQ==", "not canonical", id="zero-width-space"),
    ],
)
TOO_LONG = [
    pytest.param(base64.b64encode(b"v" * (limits.VALUE_BYTES + 1)).decode(), id="a-byte-too-long"),
    pytest.param("A" * 90_000, id="much-too-long"),
]


@NOT_CANONICAL
def test_values_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=f"<value> .*{message}"):
        value_from(element(text), None)


@pytest.mark.parametrize("text", TOO_LONG)
def test_values_that_are_too_long(text: str) -> None:
    with pytest.raises(InvalidValueError, match="at most 65536"):
        value_from(element(text), None)


@NOT_CANONICAL
def test_blobs_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        blob_from(element(text, tag="blob"))
    assert type(caught.value) is InvalidRequestError
    assert "<blob>" in caught.value.message


@pytest.mark.parametrize("length", [pytest.param(length, id=str(length)) for length in (1, 2, 3)])
def test_blobs_that_are_too_long(length: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{int(limits.BLOB_BYTES)} bytes"):
        blob_from(element(base64.b64encode(bytes(limits.BLOB_BYTES + length)).decode(), tag="blob"))


@pytest.mark.parametrize("length", [pytest.param(1, id="shortest"), pytest.param(int(limits.BLOB_BYTES), id="longest")])
def test_a_blob_comes_back_as_it_was(length: int) -> None:
    blob = Blob(b"b" * length)
    assert blob_from(etree.fromstring(write_blob("blob", blob))) == blob


def test_a_password_is_written_as_the_text_of_a_value_is() -> None:
    assert write_value("password", CARRIED, descriptor=False) == "<password>Y2FycmllZA==</password>"
    assert value_from(element("Y2FycmllZA==", tag="password"), None) == CARRIED
    with pytest.raises(InvalidValueError, match="<password> is empty"):
        value_from(element("", tag="password"), None)


@given(text=st.text(st.sampled_from("AQgwYZ+/=_- \n"), max_size=12))
def test_no_value_has_two_spellings(text: str) -> None:
    try:
        value = value_from(element(text), None)
    except InvalidValueError:
        return
    assert write_value("value", value, descriptor=False) == f"<value>{text}</value>"


@pytest.mark.parametrize(
    ("text", "carried", "message"),
    [
        pytest.param("", None, "none came with the message", id="announced-only"),
        pytest.param("YQ==", CARRIED, "holds text too", id="twice"),
        pytest.param(" ", CARRIED, "holds text too", id="white-space-is-text"),
    ],
)
def test_descriptors_that_are_refused(text: str, carried: SecretValue | None, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        value_from(element(text, descriptor="yes"), carried)
