"""What the contract's words themselves promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.asynchronous import run
from helpers.model_store import ModelStore
from secretd.errors import StoreCorruptError
from secretd.store.base import Compacted, Delete, Put, RevisionConflict, RevisionIs
from secretd.store.reading import Page, Record, prefix_end

CANARY = b"canary-of-the-store"


@given(prefix=st.binary(max_size=4), key=st.binary(max_size=6))
def test_a_key_is_before_the_end_exactly_if_it_is_before_or_under_the_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        pytest.param(b"", None, id="empty"),
        pytest.param(b"a", b"b", id="plain"),
        pytest.param(b"ab", b"ac", id="two-bytes"),
        pytest.param(b"a\xff\xff", b"b", id="ends-with-0xff"),
        pytest.param(b"\xff\xff", None, id="only-0xff"),
        pytest.param(b"\xfe", b"\xff", id="below-0xff"),
    ],
)
def test_the_end_is_the_first_key_behind_the_prefix(prefix: bytes, end: bytes | None) -> None:
    assert prefix_end(prefix) == end


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(Record(CANARY, CANARY, 1), id="record"),
        pytest.param(Put(CANARY, CANARY), id="put"),
        pytest.param(Delete(CANARY), id="delete"),
        pytest.param(RevisionIs(CANARY, 1), id="precondition"),
        pytest.param(RevisionConflict((CANARY,)), id="conflict"),
        pytest.param(Compacted(7), id="compacted"),
    ],
)
def test_nothing_shows_a_key_or_a_value_by_accident(shown: object) -> None:
    assert "canary" not in f"{shown} {shown!r}"


class MixedUp(ModelStore):
    """A store whose pages are mixed up: it gives another record than the one asked for, as SQLite then may."""

    async def _get(self, key: bytes) -> Record | None:
        record = await super()._get(key)
        return None if record is None else Record(b"another", record.value, record.revision)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        page = await super()._scan(prefix, start, limit)
        return Page(tuple(reversed(page.records)), page.next_start)


def test_another_record_than_the_one_asked_for_is_never_given() -> None:
    """The seal binds a record to its name, and it would open under its own: so the name asked for is compared."""

    async def body() -> None:
        store = MixedUp()
        await store.commit([Put(b"a1", b"v"), Put(b"a2", b"v")])
        with pytest.raises(StoreCorruptError):
            await store.get(b"a1")
        with pytest.raises(StoreCorruptError):
            await store.scan(b"a")

    run(body())
