"""Walking through all records of a kind, a page at a time, so that others have their turn between two pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from secretd.store.reading import Reading, Record


async def records_of(store: Reading, kind: bytes, at_a_time: int) -> AsyncIterator[Record]:
    """Give the records whose key begins with ``kind``, in the order of their keys.

    Args:
        store: where they are.
        kind: the first byte of their keys; empty for all records.
        at_a_time: how many are read in one step, 1 to limits.SCAN_RECORDS.

    Raises:
        StoreError: what Store.scan raises.
    """
    start: bytes | None = kind or b"\0"
    while start is not None:
        page = await store.scan(kind, start, at_a_time)
        for record in page.records:
            yield record
        start = page.next_start
