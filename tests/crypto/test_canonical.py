from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.crypto import canonical
from secretd.errors import SealError

PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=8), PLAIN, max_size=3)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_is_written_is_read(document: dict[str, object]) -> None:
    data = canonical.dump(document)
    assert data.isascii()
    assert canonical.load(data) == document
    assert canonical.dump(canonical.load(data)) == data


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_a_seal_error(data: bytes) -> None:
    try:
        assert isinstance(canonical.load(data), dict)
    except SealError as error:
        assert "damaged" in error.message  # noqa: PT017  # both outcomes are right, and each has its check


def test_the_longest_document_is_read() -> None:
    data = b'{"a":"' + b"x" * (limits.KEYRING_BYTES - 8) + b'"}'
    assert len(canonical.load(data)) == 1
    with pytest.raises(SealError, match="its length"):
        canonical.load(data + b" ")


def test_a_parsers_error_is_not_carried_along() -> None:
    with pytest.raises(SealError) as caught:
        canonical.load(b'{"versions":{"1":"a key that nobody may see"')
    assert caught.value.__context__ is None
    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize(
    ("take", "value"),
    [
        pytest.param(lambda v: canonical.integer(v, "here"), True, id="integer-true"),
        pytest.param(lambda v: canonical.integer(v, "here"), 0, id="integer-zero"),
        pytest.param(lambda v: canonical.integer(v, "here"), -1, id="integer-negative"),
        pytest.param(lambda v: canonical.integer(v, "here"), 2**63, id="integer-too-great"),
        pytest.param(lambda v: canonical.integer(v, "here"), 1.0, id="integer-fraction"),
        pytest.param(lambda v: canonical.text(v, "here"), None, id="text-null"),
        pytest.param(lambda v: canonical.uuid(v, "here"), "zz", id="uuid-short"),
        pytest.param(lambda v: canonical.uuid(v, "here"), "\ud800" * 32, id="uuid-surrogates"),
        pytest.param(lambda v: canonical.unbase64(v, 1, "here"), "AAA=", id="base64-other-length"),
        pytest.param(lambda v: canonical.unbase64(v, 0, "here"), "AA==", id="base64-not-empty"),
        pytest.param(lambda v: canonical.unbase64(v, None, "here"), "A\nA==", id="base64-line-feed"),
        pytest.param(lambda v: canonical.members(v, ("a",), "here"), {"a": 1, "b": 2}, id="members-more"),
        pytest.param(lambda v: canonical.members(v, ("a",), "here"), {}, id="members-fewer"),
        pytest.param(lambda v: canonical.members(v, ("a",), "here"), ["a"], id="members-array"),
    ],
)
def test_a_wrong_type_is_refused_and_the_place_named(take: Callable[[object], object], value: object) -> None:
    with pytest.raises(SealError, match=r"\(here\)"):
        take(value)
