from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from secretd import limits
from secretd.documents.values import value_from, write_value
from secretd.errors import InvalidValueError
from secretd.model import SecretValue

CARRIED = SecretValue(b"carried")


def element(text: str, *, descriptor: str | None = None) -> etree._Element:
    value = etree.Element("value", {} if descriptor is None else {"descriptor": descriptor})
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "<value> is empty", id="empty"),
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
        pytest.param(base64.b64encode(b"v" * (limits.VALUE_BYTES + 1)).decode(), "at most 65536", id="a-byte-too-long"),
        pytest.param("A" * 90_000, "at most 65536", id="much-too-long"),
    ],
)
def test_values_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        value_from(element(text), None)


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
