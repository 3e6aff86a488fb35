from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.crypto.padding import SIZES, pad, unpad
from secretd.errors import SecretdError, StoreCorruptError
from secretd.model import SecretValue


def test_the_greatest_size_holds_the_longest_value() -> None:
    assert SIZES[-1] == limits.VALUE_BYTES


@given(st.binary(min_size=1, max_size=2_000) | st.integers(1, limits.VALUE_BYTES).map(lambda size: b"v" * size))
def test_what_is_padded_is_unpadded(value: bytes) -> None:
    plaintext = pad(SecretValue(value))
    assert len(plaintext) - 4 in SIZES
    assert unpad(plaintext).reveal() == value


@given(st.binary(max_size=80) | st.sampled_from(SIZES).flatmap(lambda s: st.binary(min_size=s + 4, max_size=s + 4)))
def test_any_bytes_give_a_value_or_store_corrupt(plaintext: bytes) -> None:
    try:
        value = unpad(plaintext)
    except SecretdError as error:
        assert isinstance(error, StoreCorruptError)  # noqa: PT017  # both outcomes are right, and each has its check
    else:
        assert pad(value) == plaintext


@pytest.mark.parametrize("value", [b"v", b"v" * 64], ids=["least", "no-padding"])
def test_no_flipped_bit_gives_the_same_value(value: bytes) -> None:
    plaintext = pad(SecretValue(value))
    for bit in range(len(plaintext) * 8):
        changed = bytearray(plaintext)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            unpadded = unpad(bytes(changed))
        except StoreCorruptError:
            continue
        assert unpadded.reveal() != value


@pytest.mark.parametrize("length", range(68))
def test_no_truncation_is_unpadded(length: int) -> None:
    plaintext = pad(SecretValue(b"open sesame"))
    with pytest.raises(StoreCorruptError):
        unpad(plaintext[:length])
