"""What a scalar parses and what the schema accepts are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from secretd.documents.scalars import KEY_ID, LIBVIRT_UUID, MOMENT, UUID_TEXT, YES_NO, Scalar, number, scalar_of
from secretd.documents.vocabulary import load_schema
from secretd.fields import fields_of
from secretd.operations import Delete, List

RNG = "{http://relaxng.org/ns/structure/1.0}"

TABLE = {field.name: scalar_of(field) for field in (*fields_of(Delete), *fields_of(List))}
LARGEST = 2**63 - 1


def of_table(name: str) -> Scalar:
    scalar = TABLE[name]
    assert scalar is not None
    return scalar


def schema_of(scalar: Scalar) -> etree.RelaxNG:
    """Make a schema of which the root's one attribute is this scalar."""
    grammar = load_schema("secret.rng")
    start = grammar.find(f"{RNG}start")
    assert start is not None
    pattern = etree.fromstring(
        f"<element name='x' xmlns='{RNG[1:-1]}'><attribute name='a'>{scalar.rng}</attribute></element>"
    )
    start[:] = [pattern]
    return etree.RelaxNG(etree.fromstring(etree.tostring(grammar)))


SCALARS = [
    pytest.param(UUID_TEXT, id="uuid"),
    pytest.param(LIBVIRT_UUID, id="uuid-as-libvirt-has-it"),
    pytest.param(YES_NO, id="yes-no"),
    pytest.param(of_table("digest"), id="digest"),
    pytest.param(KEY_ID, id="key-id"),
    pytest.param(MOMENT, id="moment"),
    pytest.param(of_table("usage_type"), id="enum"),
    pytest.param(number(0, 9), id="digit"),
    pytest.param(number(1, 1000), id="bounded"),
    pytest.param(number(0, LARGEST), id="unbounded"),
]

HEX = "0123456789abcdefABCDEF"
TEXTS = st.one_of(
    st.text("0123456789+- yesno\t", max_size=24),
    st.uuids().map(str),
    st.uuids().map(lambda uuid: uuid.hex),
    st.uuids().map(lambda uuid: str(uuid).upper()),
    st.text(HEX + "-g", min_size=30, max_size=38),
    st.integers(-5, 2**64).map(str),
    st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2027-12-31T24:00:00Z", "2027-12-31T23:59:60Z"]),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2027-13-01T00:00:00Z", "2027-00-01T00:00:00Z"]),
    st.sampled_from(
        [" 2027-01-01T00:00:00Z", "2027-01-01T00:00:00", "10000-01-01T00:00:00Z", "2027-01-01T00:00:00.0Z"]
    ),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z", fullmatch=True),
    st.from_regex("[A-Za-z0-9_.-]{2,33}", fullmatch=True),
    st.sampled_from(["ab", "abc", ".abc", "-abc", "_abc", "a.b-c_", "k" * 32, "k" * 33, "abc\n", " abc", "\u00e4bc"]),
    st.sampled_from(["none", "volume", "CEPH", "yes", "no", "", "yes ", "0", "00", "1e3", "٣", "\u0661"]),
)


@pytest.mark.parametrize("scalar", SCALARS)
@given(data=st.data())
def test_parser_and_schema_agree(scalar: Scalar, data: st.DataObject) -> None:
    schema = schema_of(scalar)
    for text in data.draw(st.lists(TEXTS, min_size=5, max_size=20)):
        element = etree.Element("x", {"a": text})
        assert schema.validate(element) == (scalar.parse(text) is not None), text


@pytest.mark.parametrize("scalar", SCALARS)
@given(text=TEXTS)
def test_one_spelling_for_one_meaning(scalar: Scalar, text: str) -> None:
    value = scalar.parse(text)
    if value is not None:
        assert scalar.parse(scalar.format(value)) == value
        assert scalar.format(value) in (text, text.lower()) or scalar is LIBVIRT_UUID


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("0", None, id="under"),
        pytest.param("1", 1, id="low"),
        pytest.param("1000", 1000, id="high"),
        pytest.param("1001", None, id="over"),
        pytest.param("9" * 100_000, None, id="endless"),
    ],
)
def test_bounds_are_inclusive(text: str, value: int | None) -> None:
    assert number(1, 1000).parse(text) == value


@pytest.mark.parametrize(
    ("scalar", "phrase"),
    [
        pytest.param(number(1, 5), "a number from 1 to 5", id="bounded"),
        pytest.param(number(1, LARGEST), "a number from 1", id="unbounded"),
        pytest.param(of_table("usage_type"), "one of none, volume, ceph, iscsi, tls, vtpm", id="enum"),
    ],
)
def test_says_what_it_is(scalar: Scalar, phrase: str) -> None:
    assert scalar.phrase == phrase
