"""The set-hash: it follows what is put and removed, in any order, and its head opens for nobody else."""

from __future__ import annotations

import contextlib
import threading
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.keyrings import fixed_keyring
from secretd.crypto.envelope import seal
from secretd.crypto.keyring import Domain
from secretd.crypto.sethash import Head, SetHash
from secretd.errors import SealError, StoreCorruptError

SET_HASH = SetHash(fixed_keyring())
HEAD = Head(7, 2**255 + 3, 2**254 + 5)
RECORDS = {b"a": b"r" * 60, b"b": b"r" * 60, b"c": b"s" * 60}


def total_of(records: dict[bytes, bytes]) -> int:
    total = 0
    for name, record in records.items():
        total = SET_HASH.added(total, name, record)
    return total


def test_of_nothing_it_is_zero_and_of_anything_it_is_not() -> None:
    assert total_of({}) == 0
    assert len({total_of({name: record}) for name, record in RECORDS.items()} | {0}) == len(RECORDS) + 1


def test_the_order_does_not_matter() -> None:
    assert len({total_of(dict(order)) for order in permutations(RECORDS.items())}) == 1


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=3), st.none() | st.binary(max_size=40))))
def test_it_follows_any_changes(changes: list[tuple[bytes, bytes | None]]) -> None:
    records: dict[bytes, bytes] = {}
    total = 0
    for name, record in changes:
        if name in records:
            total = SET_HASH.removed(total, name, records.pop(name))
        if record is not None:
            total = SET_HASH.added(total, name, record)
            records[name] = record
    assert total == total_of(records)


@pytest.mark.parametrize("position", [*range(14), *range(-16, 0)])
def test_every_byte_of_header_and_tag_counts(position: int) -> None:
    record = bytearray(seal(fixed_keyring(), b"name", 1, b"plain"))
    before = total_of({b"name": bytes(record)})
    record[position] ^= 1
    assert total_of({b"name": bytes(record)}) != before


def test_a_name_is_not_taken_for_the_beginning_of_a_record() -> None:
    assert total_of({b"ab": b"c"}) != total_of({b"a": b"bc"})


def test_a_head_comes_back_and_is_never_the_same_twice() -> None:
    one, other = SET_HASH.seal(HEAD), SET_HASH.seal(HEAD)
    assert one != other
    assert SET_HASH.open(one) == SET_HASH.open(other) == HEAD
    assert "2" not in repr(HEAD).split("revision")[0]


def test_a_head_of_another_keyring_does_not_open() -> None:
    for keyring in (fixed_keyring(seed=2), fixed_keyring(Domain.NODE)):
        with pytest.raises(StoreCorruptError, match="does not open"):
            SetHash(keyring).open(SET_HASH.seal(HEAD))


def test_no_flipped_bit_and_no_other_length_opens() -> None:
    head = SET_HASH.seal(HEAD)
    for bit in range(len(head) * 8):
        flipped = bytearray(head)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoreCorruptError):
            SET_HASH.open(bytes(flipped))
    for other in (b"", head[:-1], head + b"\0", head[:32]):
        with pytest.raises(StoreCorruptError):
            SET_HASH.open(other)


def test_a_rotation_does_not_change_it_and_a_wiped_one_says_so() -> None:
    keyring = fixed_keyring()
    rotated = SetHash(keyring.rotated())
    keyring.wipe()
    assert rotated.open(SET_HASH.seal(HEAD)) == HEAD
    rotated.wipe()
    for use in (lambda: rotated.seal(HEAD), lambda: rotated.added(0, b"n", b"r")):
        with pytest.raises(SealError):
            use()
    with pytest.raises(SealError):
        SetHash(keyring)


def test_it_can_be_wiped_while_another_thread_uses_it() -> None:
    """The store's thread may be at a commit that nobody waits for any more."""
    long_name = b"n" * 60_000
    for _ in range(20):
        used = SetHash(fixed_keyring())
        begun = threading.Event()
        totals = {SET_HASH.added(0, long_name, b"")}

        def use(used: SetHash = used, begun: threading.Event = begun, totals: set[int] = totals) -> None:
            with contextlib.suppress(SealError):
                while True:
                    totals.add(used.added(0, long_name, b""))
                    begun.set()

        thread = threading.Thread(target=use)
        thread.start()
        assert begun.wait(10)
        used.wipe()
        thread.join(10)
        # Up to the end it was the whole key, and never one that was partly overwritten.
        assert (thread.is_alive(), len(totals)) == (False, 1)
