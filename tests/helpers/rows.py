"""What a closed store holds, read and written past everything that is ours."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

Rows = dict[bytes, tuple[bytes, int]]
"""Of each record its key, and its value and revision."""


def rows_of(root: Path) -> Rows:
    """Read the records of a core's store."""
    with contextlib.closing(sqlite3.connect(root / "store" / "store.db")) as database:
        return {key: (value, revision) for key, value, revision in database.execute("SELECT * FROM kv")}


def put_rows(root: Path, rows: Rows) -> None:
    """Let the store hold these records and no others, as somebody would who knows how the numbers are kept."""
    counts = Counter(key[:1] for key in rows)
    with contextlib.closing(sqlite3.connect(root / "store" / "store.db")) as database, database:
        database.execute("DELETE FROM kv")
        database.executemany("INSERT INTO kv VALUES (?, ?, ?)", [(key, *row) for key, row in rows.items()])
        database.execute("DELETE FROM meta WHERE name <> x'7265766973696f6e'")
        database.executemany("INSERT INTO meta VALUES (?, ?)", [(b"count:" + kind, n) for kind, n in counts.items()])
