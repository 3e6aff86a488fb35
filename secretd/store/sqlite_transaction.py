"""What happens in one transaction of the SQLite store, between its BEGIN and its COMMIT.

Commits that share a transaction are each judged and numbered by themselves; the store's own numbers and the summary
are written once, at its end.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secretd.errors import StoreError
from secretd.store.base import Change, Operation, Put, RevisionConflict, RevisionIs
from secretd.store.reading import Record
from secretd.store.sqlite_files import REVISION
from secretd.store.sqlite_rows import COUNT, Rows
from secretd.store.summary import Replacement, Summary


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


class Transaction:
    """One transaction, while it is open."""

    def __init__(self, connection: sqlite3.Connection, summary: Summary | None) -> None:
        """Begin on a connection whose transaction was begun; the summary is kept if there is one."""
        self._connection = connection
        self._rows = Rows(connection)
        self._summary = summary
        self._revision = self._rows.revision()
        self._counts: Counter[bytes] = Counter()
        # What was read: what a change is decided on is both a precondition and what it replaces.
        self._read: dict[bytes, Record | None] = {}
        self._replacements: list[Replacement] = []

    def apply(self, group: Sequence[Commit]) -> list[Outcome]:
        """Apply the commits in order: each wholly, or not at all if it conflicts."""
        outcomes = [self._commit(commit) for commit in group]
        if any(isinstance(outcome, Applied) for outcome in outcomes):
            self._keep_up_summary()
            self._write_numbers()
        return outcomes

    def take_revision(self) -> None:
        """Change nothing but the revision, and what follows it."""
        self._revision += 1
        self._keep_up_summary()
        self._write_numbers()

    def summarise(self) -> Applied:
        """Make the summary anew, and count anew what there is of each kind."""
        self._revision += 1
        self._connection.execute("DELETE FROM meta WHERE name <> ?", (REVISION,))
        self._counts.update(dict(self._connection.execute("SELECT substr(key, 1, 1), count(*) FROM kv GROUP BY 1")))
        self._make_summary()
        self._write_numbers()
        return Applied(self._revision, ())

    def replace_all(self, records: Iterable[tuple[bytes, bytes]], least_revision: int) -> Applied:
        """Put these records in the place of all there are; nobody who watches is told which."""
        self._revision = max(self._revision + 1, least_revision)
        self._connection.execute("DELETE FROM kv")
        self._connection.execute("DELETE FROM meta WHERE name <> ?", (REVISION,))
        for key, value in records:
            self._insert(key, value)
        self._make_summary()
        self._write_numbers()
        return Applied(self._revision, ())

    def _commit(self, commit: Commit) -> Outcome:
        # All preconditions come before the first write, so a commit that conflicts has nothing to undo.
        changed = tuple(item.key for item in commit.preconditions if self._revision_of(item.key) != item.revision)
        if changed:
            return RevisionConflict(changed)
        self._revision += 1
        return Applied(self._revision, tuple(filter(None, map(self._write, commit.operations))))

    def _record(self, key: bytes) -> Record | None:
        if key not in self._read:
            self._read[key] = self._rows.get(key)
        return self._read[key]

    def _revision_of(self, key: bytes) -> int:
        record = self._record(key)
        return record.revision if record is not None else 0

    def _value(self, key: bytes) -> bytes | None:
        record = self._record(key)
        return record.value if record is not None else None

    def _write(self, operation: Operation) -> Change | None:
        old = self._value(operation.key)
        new = operation.value if isinstance(operation, Put) else None
        if old is None and new is None:
            return None
        self._replacements.append(Replacement(operation.key, old, new))
        if new is None:
            self._connection.execute("DELETE FROM kv WHERE key = ?", (operation.key,))
            self._read[operation.key] = None
            self._counts[operation.key[:1]] -= 1
        else:
            self._put(operation.key, old, new)
        return Change(self._revision, operation.key, deleted=new is None)

    def _put(self, key: bytes, old: bytes | None, new: bytes) -> None:
        if old is None:
            self._insert(key, new)
        else:
            self._update(key, new)
        self._read[key] = Record(key, new, self._revision)

    def _insert(self, key: bytes, value: bytes) -> None:
        self._connection.execute("INSERT INTO kv VALUES (?, ?, ?)", (key, value, self._revision))
        self._counts[key[:1]] += 1

    def _update(self, key: bytes, value: bytes) -> None:
        self._connection.execute("UPDATE kv SET value = ?, revision = ? WHERE key = ?", (value, self._revision, key))

    def _keep_up_summary(self) -> None:
        if self._summary is None:
            return
        before = self._value(self._summary.key)
        after = self._summary.after(before, self._replacements, self._revision)
        self._put(self._summary.key, before, after)

    def _make_summary(self) -> None:
        if self._summary is None:
            raise RuntimeError("no summary is kept of this store")
        key = self._summary.key
        self._put(key, self._value(key), self._summary.of(self._rows.all_but(key), self._revision))

    def _write_numbers(self) -> None:
        self._connection.execute("UPDATE meta SET number = ? WHERE name = ?", (self._revision, REVISION))
        self._connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number",
            [(COUNT + kind, change) for kind, change in self._counts.items() if change],
        )
