"""The database file of the SQLite store, as its one worker thread sees it: blocking calls, one connection.

That connection is the only one that writes, and the only one that brings the write-ahead log into the database
(checkpoints): SQLite 3.7.0 to 3.51.2 may corrupt a database in which two connections do so at the same moment.
So SQLite's own checkpoints are off, and readers are opened with mode=ro.

What it refuses: a record whose fields are not of the types they were written with.

    kv      key, value, and the revision of the commit that last put it
    meta    the store's revision, and how many records there are of each kind (a key's first byte)

Source: DESIGN, The store; SQLite, "Write-Ahead Logging".
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from secretd import limits
from secretd.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.store.base import (
    Change,
    Delete,
    Operation,
    Page,
    Put,
    Record,
    RevisionConflict,
    RevisionIs,
    prefix_end,
)
from secretd.store.directory import HeldDirectory
from secretd.store.sqlite_errors import Translating, lacks_room, symbolic_name, translated_at_commit
from secretd.store.sqlite_files import (
    DATABASE,
    PAGE_BYTES,
    RESERVE,
    REVISION,
    log_of,
    open_reader,
    open_writer,
)
from secretd.store.sqlite_room import Growth, Reserve

T = TypeVar("T")

_log = logging.getLogger(__name__)

_COUNT = b"count:"

_GET = "SELECT key, value, revision FROM kv WHERE key = ?"
_NUMBER = "SELECT number FROM meta WHERE name = ?"
_SCANS = {
    True: "SELECT key, value, revision FROM kv WHERE key >= ? AND key < ? ORDER BY key",
    False: "SELECT key, value, revision FROM kv WHERE key >= ? ORDER BY key",
}
"""By whether there is an end."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one caller wants to be done at once."""

    operations: tuple[Operation, ...]
    preconditions: tuple[RevisionIs, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A commit that is on disk."""

    revision: int
    changes: tuple[Change, ...]


Outcome = Applied | RevisionConflict | StoreError


class Reader:
    """Point reads, by a connection of their own that cannot write. Each sees the last commit."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_reader(directory)

    def get(self, key: bytes) -> Record | None:
        """Read one record."""
        # fetchall, as a statement that was not run to its end holds a read transaction open.
        rows = self._connection.execute(_GET, (key,)).fetchall()
        return _record(*rows[0]) if rows else None

    def count(self, kind: bytes) -> int:
        """Say how many records of this kind there are."""
        return _number(self._connection, _COUNT + kind, 0)

    def revision(self) -> int:
        """Give the store's revision."""
        return _number(self._connection, REVISION)

    def close(self) -> None:
        """Close the connection; before that of the Database, which empties the log as the last one."""
        self._connection.close()


class Database:
    """The writing connection. All calls come from the thread that made it, but for log_is_long."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Hold the directory, and open the database in it, or make it.

        Raises:
            ConfigError: another process holds the directory, or it is no place for a store.
            StoreCorruptError: the file is not ours.
            StoreUnavailableError: it is in a newer format, or cannot be opened.
        """
        with contextlib.ExitStack() as undo:
            directory = HeldDirectory.hold(path)
            undo.callback(directory.close)
            database = cls(directory)
            undo.pop_all()
            return database

    def __init__(self, directory: HeldDirectory) -> None:
        self._directory = directory
        self._log_path = log_of(directory.path)
        self._checkpoint_at = int(limits.STORE_LOG_BYTES)
        self._reserve = Reserve(directory.path / RESERVE)
        self._reserve.give_up_if_short()
        with Translating():
            self._connection = open_writer(directory.path)
        self._growth = Growth(directory.path / DATABASE)
        self._database_path = directory.path / DATABASE
        self._identity = self._database_path.stat()
        self.checkpoint()

    def apply(self, group: Sequence[Commit]) -> list[Outcome]:
        """Apply the commits, in order, in one transaction: each wholly, or not at all if it conflicts.

        If there is no room for all of them, those that do not make the database larger are applied all the same.

        Raises:
            StoreError: and nothing of the group was applied, unless it is StoreOutcomeUnknownError.
        """
        self._check_that_it_is_there()
        try:
            return self._apply(group, self._growth.take)
        except StoreFullError:
            # The log's own room may do: emptying it takes none (see sqlite_room).
            self.checkpoint()
        try:
            return self._apply(group, self._growth.take)
        except StoreFullError:
            return [self._apply_by_reserve(commit) for commit in group]

    def _apply_by_reserve(self, commit: Commit) -> Outcome:
        try:
            return self._apply([commit], self._give_reserve_to_log)[0]
        except StoreError as error:
            return error
        finally:
            if not self._reserve.held:
                self.checkpoint()

    def _give_reserve_to_log(self, size_bytes: int) -> None:
        self._growth.require(size_bytes)
        self._reserve.give_up()

    def _apply(self, group: Sequence[Commit], make_room: Callable[[int], None]) -> list[Outcome]:
        try:
            with Translating():
                self._connection.execute("BEGIN IMMEDIATE")
                outcomes = _Group(self._connection).apply(group)
                make_room(self._pages() * PAGE_BYTES)
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise translated_at_commit(error) from None
        except StoreOutcomeUnknownError:
            self._settle()
            raise
        finally:
            self._roll_back()
        return outcomes

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

    def _check_that_it_is_there(self) -> None:
        """Refuse to write to a file that nobody will find again.

        Raises:
            StoreUnavailableError: the database was removed or replaced under us.
        """
        try:
            there = os.path.samestat(self._database_path.stat(), self._identity)
        except OSError:
            there = False
        if not there:
            raise StoreUnavailableError("the store's database is not where it was; nothing was changed")

    def _settle(self) -> None:
        """After a COMMIT that failed, try to make sure that it is not applied after all.

        Its frames may stand in the log, whole but not counted: nobody sees them, and a start after a crash would.
        What is committed next is written over them, so a commit that changes nothing but the revision ends them. If
        that fails too the outcome stays unknown, until a later commit or a checkpoint succeeds.

        Raises:
            StoreUnavailableError: it succeeded, so what failed before is surely not applied.
        """
        try:
            self._relieved(self._end_with_revision)
        except sqlite3.Error:
            return
        raise StoreUnavailableError("the store's database failed for a moment; nothing was changed")

    def _end_with_revision(self) -> None:
        self._roll_back()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE meta SET number = number + 1 WHERE name = ?", (REVISION,))
        self._connection.execute("COMMIT")

    def log_is_long(self) -> bool:
        """Say whether it is time for a checkpoint. Any thread may ask."""
        return self._log_bytes() > self._checkpoint_at

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the database, and empty it, so that what was deleted is gone from it.

        A failure harms no commit, as they are all in the log: it is tried again after more of them.
        """
        try:
            self._relieved(self._empty_log)
        except sqlite3.Error as error:
            _log.warning("the store's log could not be emptied", extra={"sqlite": symbolic_name(error)})
        self._reserve.keep()
        self._checkpoint_at = self._log_bytes() + limits.STORE_LOG_BYTES

    def close(self) -> None:
        """Empty the log, close the connection, and let go of the directory."""
        try:
            self.checkpoint()
            self._connection.close()
        finally:
            self._growth.close()
            self._directory.close()

    def _empty_log(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _relieved(self, work: Callable[[], T]) -> T:
        """Do what a full disk must not stop: by the reserve's room, if there is no other."""
        try:
            return work()
        except sqlite3.Error as error:
            if not lacks_room(error):
                raise
        self._reserve.give_up()
        return work()

    def _pages(self) -> int:
        pages: int = self._connection.execute("PRAGMA page_count").fetchone()[0]
        return pages

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            # SQLite ends the transaction even where it reports that the end was not a clean one.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _log_bytes(self) -> int:
        try:
            return self._log_path.stat().st_size
        except OSError:
            # Not worth an exception between a commit and its answer.
            return 0


class _Group:
    """The commits of one transaction, while it is open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._revision = _number(connection, REVISION)
        self._counts: Counter[bytes] = Counter()

    def apply(self, group: Sequence[Commit]) -> list[Outcome]:
        outcomes = [self._commit(commit) for commit in group]
        if any(isinstance(outcome, Applied) for outcome in outcomes):
            self._write_numbers()
        return outcomes

    def _commit(self, commit: Commit) -> Outcome:
        # All preconditions come before the first write, so a commit that conflicts has nothing to undo.
        changed = tuple(item.key for item in commit.preconditions if self._revision_of(item.key) != item.revision)
        if changed:
            return RevisionConflict(changed)
        self._revision += 1
        return Applied(self._revision, tuple(filter(None, map(self._write, commit.operations))))

    def _revision_of(self, key: bytes) -> int:
        row = self._connection.execute("SELECT revision FROM kv WHERE key = ?", (key,)).fetchone()
        return row[0] if row else 0

    def _write(self, operation: Operation) -> Change | None:
        return self._put(operation) if isinstance(operation, Put) else self._delete(operation)

    def _put(self, operation: Put) -> Change:
        key, value = operation.key, operation.value
        replaced = self._connection.execute(
            "UPDATE kv SET value = ?, revision = ? WHERE key = ?", (value, self._revision, key)
        )
        if not replaced.rowcount:
            self._connection.execute("INSERT INTO kv VALUES (?, ?, ?)", (key, value, self._revision))
            self._counts[key[:1]] += 1
        return Change(self._revision, key, deleted=False)

    def _delete(self, operation: Delete) -> Change | None:
        if not self._connection.execute("DELETE FROM kv WHERE key = ?", (operation.key,)).rowcount:
            return None
        self._counts[operation.key[:1]] -= 1
        return Change(self._revision, operation.key, deleted=True)

    def _write_numbers(self) -> None:
        self._connection.execute("UPDATE meta SET number = ? WHERE name = ?", (self._revision, REVISION))
        self._connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number",
            [(_COUNT + kind, change) for kind, change in self._counts.items() if change],
        )


def _number(connection: sqlite3.Connection, name: bytes, default: int | None = None) -> int:
    rows = connection.execute(_NUMBER, (name,)).fetchall()
    number = rows[0][0] if rows else default
    if not isinstance(number, int):
        raise StoreCorruptError("the store's database lacks a number that it keeps")
    return number


def _record(key: object, value: object, revision: object) -> Record:
    # SQLite keeps the type with each field, so a damaged record may hold anything.
    if not (isinstance(key, bytes) and isinstance(value, bytes) and isinstance(revision, int)):
        raise StoreCorruptError("the store's database holds a record that is none")
    return Record(key, value, revision)
