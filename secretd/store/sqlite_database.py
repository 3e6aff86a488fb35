"""The database file of the SQLite store: blocking calls, one connection, used by one thread at a time.

That connection is the only one that writes, and the only one that brings the write-ahead log into the database
(checkpoints): SQLite 3.7.0 to 3.51.2 may corrupt a database in which two connections do so at the same moment.
So SQLite's own checkpoints are off, and readers are opened with mode=ro.

Source: DESIGN, The store; SQLite, "Write-Ahead Logging".
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from secretd import limits
from secretd.errors import (
    SecretdError,
    StoreError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.store.directory import HeldDirectory
from secretd.store.reading import Page
from secretd.store.sqlite_errors import Translating, lacks_room, symbolic_name, translated_at_commit
from secretd.store.sqlite_files import (
    DATABASE,
    PAGE_BYTES,
    RESERVE,
    log_of,
    open_reader,
    open_writer,
)
from secretd.store.sqlite_room import Growth, Reserve
from secretd.store.sqlite_rows import Rows
from secretd.store.sqlite_transaction import Applied, Commit, Outcome, Transaction
from secretd.store.summary import Summary

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Reader(Rows):
    """Point reads, by a connection of their own that cannot write. Each sees the last commit."""

    def __init__(self, directory: Path) -> None:
        self._own = open_reader(directory)
        super().__init__(self._own)

    def close(self) -> None:
        """Close the connection; before that of the Database, which empties the log as the last one."""
        self._own.close()


class Database:
    """The writing connection. One thread at a time may call, but for log_is_long.

    Attributes:
        summary: what is kept up in each transaction; any thread may set it.
        snapshots: how many of them there are; the event loop counts them.
    """

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
        self.summary: Summary | None = None
        self.snapshots = 0
        self._directory = directory
        self._log_path = log_of(directory.path)
        self._checkpoint_at = int(limits.STORE_LOG_BYTES)
        self._reserve = Reserve(directory.path / RESERVE)
        self._reserve.give_up_if_short()
        with Translating():
            self._connection = open_writer(directory.path)
            self._rows = Rows(self._connection)
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

    def summarise(self, summary: Summary) -> Applied:
        """Make the summary anew from all records, and keep it from now on.

        Raises:
            StoreError: as for apply.
        """
        return self._begin_summary(summary, Transaction.summarise)

    def replace_all(self, records: Iterable[tuple[bytes, bytes]], summary: Summary, least_revision: int) -> Applied:
        """Put these records in the place of all there are, and keep their summary from now on.

        Raises:
            StoreError: as for apply.
        """
        return self._begin_summary(summary, lambda transaction: transaction.replace_all(records, least_revision))

    def _begin_summary(self, summary: Summary, work: Callable[[Transaction], Applied]) -> Applied:
        self._check_that_it_is_there()
        # Emptied first: what follows may take all the room that the log has.
        self.checkpoint()
        applied = self._in_transaction(work, self._growth.take, summary)
        self.summary = summary
        return applied

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
        return self._in_transaction(lambda transaction: transaction.apply(group), make_room, self.summary)

    def _in_transaction(
        self, work: Callable[[Transaction], T], make_room: Callable[[int], None], summary: Summary | None
    ) -> T:
        try:
            with Translating():
                self._connection.execute("BEGIN IMMEDIATE")
                outcome = work(Transaction(self._connection, summary))
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
        return outcome

    def scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        """Read a page of records."""
        return self._rows.scan(prefix, start, limit)

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
        except (sqlite3.Error, SecretdError):
            return
        raise StoreUnavailableError("the store's database failed for a moment; nothing was changed")

    def _end_with_revision(self) -> None:
        self._roll_back()
        self._connection.execute("BEGIN IMMEDIATE")
        Transaction(self._connection, self.summary).take_revision()
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
        # Past a snapshot it cannot be emptied, and to wait for that would hold up all commits.
        how_far = "PASSIVE" if self.snapshots else "TRUNCATE"
        self._connection.execute(f"PRAGMA wal_checkpoint({how_far})").fetchall()

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
