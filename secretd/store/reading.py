"""What can be read of a store: by the store itself, and by a snapshot of it, in the same way.

The public methods are final: they keep the bounds, and let the engine's own errors pass only through ``_translating``.
They look into no value, and refuse what the engine gives if it is not what was asked for.

Source: DESIGN, The store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final

from secretd import limits
from secretd.errors import StoreCorruptError


@dataclass(slots=True)
class Record:
    """A value, and the revision of the commit that put it there.

    Nobody changes one. It is not frozen, as to make one that is takes three times as long.
    """

    key: bytes = field(repr=False)
    value: bytes = field(repr=False)
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Records in the order of their keys, and where the next page starts if there is more."""

    records: tuple[Record, ...]
    next_start: bytes | None


def prefix_end(prefix: bytes) -> bytes | None:
    """Give the first key behind all keys that begin with ``prefix``; None if there is no such key."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


class Reading(ABC):
    """Reads records. Every method may raise RuntimeError (after close) and ValueError (past a limit).

    They raise StoreUnavailableError and StoreCorruptError too.
    """

    def __init__(self) -> None:
        self._closed = False

    @final
    async def get(self, key: bytes) -> Record | None:
        """Read one record; None if there is none. It never waits where the store is local."""
        self._check_open()
        check_key(key)
        with self._translating():
            found = self._get(key)
            record = found if found is None or isinstance(found, Record) else await found
        if record is not None and record.key != key:
            # SQLite gives another row where pages were mixed up. What is sealed would open: under its own name.
            raise StoreCorruptError("the store gave another record than the one that was asked for")
        return record

    @final
    async def scan(self, prefix: bytes, start: bytes | None = None, limit: int = limits.SCAN_RECORDS) -> Page:
        """Read the records whose key begins with ``prefix``, in the order of the keys, a page at a time.

        A store's pages are each a moment of their own: what is changed between two of them may be in both or in
        neither. A snapshot's are all of one moment.

        Args:
            prefix: 0 to limits.STORE_KEY_BYTES bytes.
            start: leave out the keys before this one; ``next_start`` of the page before.
            limit: at most so many records, 1 to limits.SCAN_RECORDS. A page may have fewer, as it holds at most
                limits.SCAN_BYTES of values, but never none while there is more.
        """
        self._check_open()
        if len(prefix) > limits.STORE_KEY_BYTES:
            raise ValueError("a prefix is no longer than a key")
        if start is not None:
            check_key(start)
        if not 1 <= limit <= limits.SCAN_RECORDS:
            raise ValueError(f"a page has 1 to {limits.SCAN_RECORDS} records")
        first = max(prefix, start or b"")
        with self._translating():
            page = await self._scan(prefix, first, limit)
        _check_page(page, prefix, first)
        return page

    @final
    async def count(self, kind: bytes) -> int:
        """Say how many records have a key that begins with this one byte. The number is kept, not counted."""
        self._check_open()
        if len(kind) != 1:
            raise ValueError("a kind is one byte")
        with self._translating():
            return await self._count(kind)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")

    @abstractmethod
    def _translating(self) -> AbstractContextManager[None]:
        """Turn what the engine's library raises into errors of the tree, without its text."""

    @abstractmethod
    def _get(self, key: bytes) -> Record | Awaitable[Record | None] | None:
        """Read one record. An engine that need not wait gives it at once: a cold lookup pays for each coroutine."""

    @abstractmethod
    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        """Read a page; ``start`` is at or behind ``prefix``."""

    @abstractmethod
    async def _count(self, kind: bytes) -> int: ...


class Snapshot(Reading):
    """A store as it was at one moment, whatever is changed meanwhile.

    It may keep the store from letting go of what was deleted since: whoever takes one closes it soon.

    Attributes:
        revision: the store's, at that moment.
    """

    def __init__(self, revision: int) -> None:
        super().__init__()
        self.revision = revision

    @final
    async def damaged_parts(self) -> tuple[str, ...]:
        """Let the engine look its own structures through, which may take long: name what is damaged, in its words.

        A local engine may have parts without a record in them, and damage that hides records from every read.
        """
        self._check_open()
        with self._translating():
            return await self._damaged_parts()

    @final
    async def close(self) -> None:
        """Let go of it. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        with self._translating():
            await self._close()

    @abstractmethod
    async def _damaged_parts(self) -> tuple[str, ...]: ...

    @abstractmethod
    async def _close(self) -> None: ...


def check_key(key: bytes) -> None:
    """Refuse what is no key.

    Raises:
        ValueError: it is none.
    """
    if not 1 <= len(key) <= limits.STORE_KEY_BYTES:
        raise ValueError(f"a key has 1 to {limits.STORE_KEY_BYTES} bytes")


def _check_page(page: Page, prefix: bytes, first: bytes) -> None:
    """Refuse a page that is not of the keys that were asked for, in their order; see Reading.get."""
    keys = [record.key for record in page.records]
    if page.next_start is not None:
        keys.append(page.next_start)
    in_order = all(one < two for one, two in pairwise(keys))
    if not in_order or not all(key >= first and key.startswith(prefix) for key in keys):
        raise StoreCorruptError("the store gave other records than those that were asked for")
