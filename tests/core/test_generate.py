"""Random values: each character as likely as the others, for every size of alphabet."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd.core.generate import generate_value

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@given(st.integers(1, 300), st.lists(st.sampled_from(PRINTABLE), min_size=2, unique=True))
def test_length_and_alphabet(length: int, characters: list[str]) -> None:
    value = generate_value(length, "".join(characters)).reveal()
    assert len(value) == length
    assert set(value) <= set("".join(characters).encode())


@pytest.mark.parametrize("size", [2, 3, 10, 62, 64, 95])
def test_no_character_is_favoured(size: int) -> None:
    """A remainder of a random byte would favour the first ones by up to a half; this sees a fifth of that."""
    counts = Counter(b"".join(generate_value(65_536, PRINTABLE[:size]).reveal() for _ in range(8)))
    expected = 8 * 65_536 / size
    assert len(counts) == size
    # Ten standard deviations: by chance it fails less than once in 10^20 runs.
    assert all(abs(count - expected) < 10 * expected**0.5 for count in counts.values())


def test_two_are_different() -> None:
    assert generate_value(32, None) != generate_value(32, None)
