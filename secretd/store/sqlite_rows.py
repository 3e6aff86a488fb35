"""The tables of the SQLite store, as any of its connections reads them.

What it refuses: a record, or a number, whose fields are not of the types they were written with.

    kv      key, value, and the revision of the commit that last put it
    meta    the store's revision, and how many records there are of each kind (a key's first byte)
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from secretd import limits
from secretd.errors import StoreCorruptError
from secretd.store.reading import Page, Record, prefix_end
from secretd.store.sqlite_files import REVISION

COUNT = b"count:"
"""What the names of the rows of meta begin with that hold a kind's number of records."""

_GET = "SELECT key, value, revision FROM kv WHERE key = ?"
_NUMBER = "SELECT number FROM meta WHERE name = ?"
_SCANS = {
    True: "SELECT key, value, revision FROM kv WHERE key >= ? AND key < ? ORDER BY key",
    False: "SELECT key, value, revision FROM kv WHERE key >= ? ORDER BY key",
}
"""By whether there is an end."""


class Rows:
    """What one connection sees; sqlite3.Error passes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through a connection, which is not owned."""
        self._connection = connection

    def get(self, key: bytes) -> Record | None:
        """Read one record."""
        # fetchall, as a statement that was not run to its end holds a read transaction open.
        rows = self._connection.execute(_GET, (key,)).fetchall()
        return _record(*rows[0]) if rows else None

    def scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        """Read a page of records."""
        end = prefix_end(prefix)
        bounds = (start,) if end is None else (start, end)
        records: list[Record] = []
        size = 0
        with contextlib.closing(self._connection.execute(_SCANS[end is not None], bounds)) as cursor:
            for row in cursor:
                record = _record(*row)
                size += len(record.value)
                if len(records) == limit or (records and size > limits.SCAN_BYTES):
                    return Page(tuple(records), record.key)
                records.append(record)
        return Page(tuple(records), None)

    def all_but(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give key and value of all records but one."""
        with contextlib.closing(self._connection.execute(_SCANS[False], (b"",))) as cursor:
            for row in cursor:
                record = _record(*row)
                if record.key != key:
                    yield record.key, record.value

    def count(self, kind: bytes) -> int:
        """Say how many records of this kind there are."""
        return self._number(COUNT + kind, 0)

    def revision(self) -> int:
        """Give the store's revision."""
        return self._number(REVISION)

    def _number(self, name: bytes, default: int | None = None) -> int:
        rows = self._connection.execute(_NUMBER, (name,)).fetchall()
        number = rows[0][0] if rows else default
        if not isinstance(number, int):
            raise StoreCorruptError("the store's database lacks a number that it keeps")
        return number


def _record(key: object, value: object, revision: object) -> Record:
    # SQLite keeps the type with each field, so a damaged record may hold anything.
    if not (isinstance(key, bytes) and isinstance(value, bytes) and isinstance(revision, int)):
        raise StoreCorruptError("the store's database holds a record that is none")
    return Record(key, value, revision)
