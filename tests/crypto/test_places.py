"""Hidden places: each is found again, none can be told, and none can be chosen."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd.crypto.places import HiddenPlaces

PLACES = HiddenPlaces(bytes(range(32)))
IDS = st.uuids()


@given(IDS)
def test_what_was_hidden_is_found(place: UUID) -> None:
    assert PLACES.find(PLACES.hide(place)) == place
    assert PLACES.hide(PLACES.find(place)) == place


def test_it_is_the_block_cipher_of_the_standard() -> None:
    # FIPS 197, appendix C.3.
    hidden = PLACES.hide(UUID("00112233-4455-6677-8899-aabbccddeeff"))
    assert hidden == UUID("8ea2b7ca-5167-45bf-eafc-49904b496089")


@given(IDS)
def test_under_another_key_it_is_another(place: UUID) -> None:
    assert HiddenPlaces(bytes(32)).hide(place) != PLACES.hide(place)


def test_neighbours_have_nothing_in_common() -> None:
    hidden = [PLACES.hide(UUID(int=number)) for number in range(256)]
    assert len({place.bytes[:4] for place in hidden}) == 256
    assert hidden != sorted(hidden)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_has_one_length(length: int) -> None:
    with pytest.raises(ValueError, match="key"):
        HiddenPlaces(bytes(length))
