"""A snapshot of the SQLite store: a read transaction on a connection of its own, with a thread of its own.

SQLite cannot empty its log past an open read transaction: while there is a snapshot, what was deleted stays in the log.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from secretd import limits
from secretd.store.reading import Page, Record, Snapshot
from secretd.store.sqlite_errors import Translating
from secretd.store.sqlite_files import open_reader
from secretd.store.sqlite_rows import Rows

_PAGE = re.compile(rb"\bpage (\d+)", re.IGNORECASE)
_STRUCTURE = "the database's structure"


class SqliteSnapshot(Snapshot):
    """The store as it was when this was made."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, closed: Callable[[], None]) -> None:
        """Take over a connection whose read transaction was begun; ``closed`` is called once it is ended."""
        self._rows = Rows(connection)
        super().__init__(self._rows.revision())
        self._connection = connection
        self._thread = thread
        self._on_close = closed

    @classmethod
    def begin(cls, directory: Path, closed: Callable[[], None]) -> Self:
        """Make one of the database in ``directory``, which is open for writing already."""
        with ExitStack() as undo:
            thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
            undo.callback(thread.shutdown)
            # Scans go to the thread, point reads do not: never both at once, as SQLite's own lock sees to.
            connection = open_reader(directory, any_thread=True)
            undo.callback(connection.close)
            connection.execute("BEGIN")
            snapshot = cls(connection, thread, closed)
            undo.pop_all()
            return snapshot

    def _translating(self) -> Translating:
        return Translating()

    def _get(self, key: bytes) -> Record | None:
        return self._rows.get(key)

    async def _count(self, kind: bytes) -> int:
        return self._rows.count(kind)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._rows.scan, prefix, start, limit)

    async def _damaged_parts(self) -> tuple[str, ...]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._check_structure)

    def _check_structure(self) -> tuple[str, ...]:
        """Let SQLite check its pages. Of what it says only their numbers go on: it may quote what is in them."""
        try:
            rows = self._connection.execute(f"PRAGMA integrity_check({limits.CHECK_PROBLEMS:d})").fetchall()
        except sqlite3.DatabaseError:
            return (_STRUCTURE,)
        said = b"\n".join(text for (text,) in rows)
        if said == b"ok":
            return ()
        pages = dict.fromkeys(map(int, _PAGE.findall(said)))
        return tuple(f"page {page} of the database" for page in pages) or (_STRUCTURE,)

    async def _close(self) -> None:
        # A scan that was given up may still be under way in the thread.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close))
        self._thread.shutdown(wait=False)
        self._on_close()
