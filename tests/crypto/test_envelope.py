from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import storage_format as page
from helpers.keyrings import fixed_keyring
from secretd import limits
from secretd.crypto.envelope import HEADER_BYTES, Header, first_counter, open_record, peek, seal
from secretd.crypto.keyring import Domain, Keyring
from secretd.errors import SealError, SecretdError, StoreCorruptError

NAME = b"a name"
KEYRINGS = {domain: fixed_keyring(domain) for domain in Domain}
SHARED = KEYRINGS[Domain.SHARED]
# Small enough for every bit of it to be tried, and with a byte of each part.
RECORD = seal(SHARED, NAME, 5, b"plaintext")

NAMES = st.binary(min_size=1, max_size=limits.STORE_KEY_BYTES)
COUNTERS = st.integers(1, 2**64 - 1)


@given(st.sampled_from(Domain), NAMES, COUNTERS, st.binary(max_size=300))
def test_what_is_sealed_opens(domain: Domain, name: bytes, counter: int, plaintext: bytes) -> None:
    sealed = seal(KEYRINGS[domain], name, counter, plaintext)
    assert peek(sealed) == Header(domain, 1, counter)
    opened = open_record(KEYRINGS, name, sealed)
    assert (opened.domain, opened.version, opened.counter, opened.plaintext) == (domain, 1, counter, plaintext)


def test_what_is_sealed_is_what_the_page_says() -> None:
    key = bytes([1, 1, 0]) + bytes(29)
    expected = page.record(key, page.record_header(1, 1, 5), NAME, RECORD[14:26], b"plaintext")
    assert expected == RECORD


def test_the_same_plaintext_is_never_sealed_alike() -> None:
    assert seal(SHARED, NAME, 5, b"plaintext") != seal(SHARED, NAME, 5, b"plaintext")


@pytest.mark.parametrize("offset", range(len(RECORD)))
def test_no_flipped_bit_opens(offset: int) -> None:
    for bit in range(8):
        changed = bytearray(RECORD)
        changed[offset] ^= 1 << bit
        with pytest.raises(StoreCorruptError):
            open_record(KEYRINGS, NAME, bytes(changed))


@pytest.mark.parametrize("length", range(len(RECORD)))
def test_no_truncation_opens(length: int) -> None:
    for cut in (RECORD[:length], RECORD[len(RECORD) - length :]):
        with pytest.raises(StoreCorruptError):
            open_record(KEYRINGS, NAME, cut)


@given(st.binary(min_size=1, max_size=30))
def test_nothing_opens_with_bytes_after_it(more: bytes) -> None:
    with pytest.raises(StoreCorruptError):
        open_record(KEYRINGS, NAME, RECORD + more)


@given(NAMES)
def test_a_moved_record_does_not_open(name: bytes) -> None:
    sealed = seal(SHARED, name + b"x" if len(name) < limits.STORE_KEY_BYTES else name[1:], 5, b"plaintext")
    with pytest.raises(StoreCorruptError, match="moved"):
        open_record(KEYRINGS, name, sealed)


def test_swapped_records_do_not_open() -> None:
    one, two = seal(SHARED, b"one", 5, b"1"), seal(SHARED, b"two", 5, b"2")
    for name, sealed in ((b"one", two), (b"two", one)):
        with pytest.raises(StoreCorruptError, match="moved"):
            open_record(KEYRINGS, name, sealed)


@pytest.mark.parametrize(
    ("domain", "version", "counter"),
    [
        pytest.param(2, 1, 5, id="domain"),
        pytest.param(1, 2, 5, id="version"),
        pytest.param(1, 1, 6, id="counter"),
        pytest.param(1, 1, 4, id="counter-back"),
        pytest.param(2, 2, 6, id="all"),
    ],
)
def test_a_relabelled_record_does_not_open(domain: int, version: int, counter: int) -> None:
    rotated = {domain: keyring.rotated() for domain, keyring in KEYRINGS.items()}
    header = page.record_header(domain, version, counter)
    with pytest.raises(StoreCorruptError, match="relabelled"):
        open_record(rotated, NAME, header + RECORD[HEADER_BYTES:])


def test_a_relabelled_record_does_not_open_even_under_one_key() -> None:
    # The header itself is bound: not only do the keys differ.
    key = bytes(31) + b"\x01"
    keyrings = {domain: Keyring(domain, fixed_keyring().id, {1: key, 2: key}, key, key) for domain in Domain}
    sealed = seal(keyrings[Domain.SHARED], NAME, 5, b"plaintext")
    for header in (page.record_header(2, 2, 5), page.record_header(1, 1, 5), page.record_header(1, 2, 6)):
        with pytest.raises(StoreCorruptError, match="relabelled"):
            open_record(keyrings, NAME, header + sealed[HEADER_BYTES:])


def test_another_keyring_does_not_open_it() -> None:
    with pytest.raises(StoreCorruptError):
        open_record({Domain.SHARED: fixed_keyring(seed=2)}, NAME, RECORD)


def test_a_closed_domain_is_sealed_not_corrupt() -> None:
    with pytest.raises(SealError, match="not open here"):
        open_record({Domain.NODE: KEYRINGS[Domain.NODE]}, NAME, RECORD)


@given(st.binary(max_size=120) | st.binary(max_size=120).map(lambda tail: RECORD[:HEADER_BYTES] + tail))
def test_any_bytes_give_an_error_of_ours(sealed: bytes) -> None:
    with pytest.raises(SecretdError):
        open_record(KEYRINGS, NAME, sealed)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_header_or_store_corrupt(sealed: bytes) -> None:
    try:
        header = peek(sealed)
    except StoreCorruptError:
        return
    assert sealed.startswith(page.record_header(header.domain.value, header.version, header.counter))


@pytest.mark.parametrize("counter", [0, -1, 2**64])
def test_our_own_wrong_counter_is_a_fault_of_ours(counter: int) -> None:
    with pytest.raises(RuntimeError, match="counter"):
        seal(SHARED, NAME, counter, b"")


@pytest.mark.parametrize("name", [b"", b"n" * (limits.STORE_KEY_BYTES + 1)], ids=["empty", "too-long"])
def test_our_own_wrong_name_is_a_fault_of_ours(name: bytes) -> None:
    with pytest.raises(RuntimeError, match="name"):
        seal(SHARED, name, 1, b"")
    with pytest.raises(RuntimeError, match="name"):
        open_record(KEYRINGS, name, RECORD)


def test_the_plaintext_is_not_shown() -> None:
    assert "plaintext" not in repr(open_record(KEYRINGS, NAME, RECORD)).replace("plaintext=", "")


def test_first_counters_differ_and_leave_room_to_grow() -> None:
    counters = {first_counter() for _ in range(1000)}
    assert len(counters) == 1000
    assert all(0 < counter < 2**62 for counter in counters)
