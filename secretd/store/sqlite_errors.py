"""SQLite's errors as ours, by their symbolic name; what SQLite says in words goes nowhere.

A failure before COMMIT was issued leaves nothing behind.  One of COMMIT itself may: the transaction's last frame
may be whole in the write-ahead log although its fsync failed, and a crash before the next commit overwrites it
would bring it to life.  Only where SQLite cannot have written that frame is the commit surely not applied:

    FULL          the frame's own write failed. With psow=1 (see sqlite_files) it is the last of its transaction
    IOERR_WRITE   likewise: on a local file system a write that fails has written nothing
    BUSY          COMMIT waited for a lock and wrote nothing

Source: SQLite 3.40 to 3.51, "Result and Error Codes"; src/wal.c, sqlite3WalFrames; src/os_unix.c, unixWrite.
"""

from __future__ import annotations

import logging
import sqlite3
from types import TracebackType

from secretd.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)

_log = logging.getLogger(__name__)

_BEFORE_COMMIT: dict[str, type[StoreError]] = {
    "FULL": StoreFullError,
    "CORRUPT": StoreCorruptError,
    "NOTADB": StoreCorruptError,
    # Our statements are fixed: one that does not fit the tables has met tables that are not ours.
    "ERROR": StoreCorruptError,
    "MISMATCH": StoreCorruptError,
}

_AT_COMMIT: dict[str, type[StoreError]] = _BEFORE_COMMIT | {
    "BUSY": StoreUnavailableError,
    "IOERR_WRITE": StoreUnavailableError,
}

_MESSAGES: dict[type[StoreError], str] = {
    StoreFullError: "the store has no room left; nothing was changed",
    StoreCorruptError: "the store's database is damaged",
    StoreUnavailableError: "the store's database cannot be used at the moment; nothing was changed",
    StoreOutcomeUnknownError: "the store failed while it wrote; perhaps the change was made",
}


def translated(error: sqlite3.Error) -> Exception:
    """Give the error of the tree for a failure that surely changed nothing."""
    return _from_table(error, _BEFORE_COMMIT, StoreUnavailableError)


def translated_at_commit(error: sqlite3.Error) -> Exception:
    """Give the error of the tree for a COMMIT that failed."""
    return _from_table(error, _AT_COMMIT, StoreOutcomeUnknownError)


def symbolic_name(error: sqlite3.Error) -> str | None:
    """Give SQLite's name for the error, such as SQLITE_FULL; None if it was Python's module that refused."""
    return getattr(error, "sqlite_errorname", None)


def lacks_room(error: sqlite3.Error) -> bool:
    """Say whether there was no room on the disk."""
    return symbolic_name(error) == "SQLITE_FULL"


class Translating:
    """A context that lets no sqlite3.Error pass."""

    def __enter__(self) -> None:
        """Nothing is needed beforehand."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise translated(error) from None


def _from_table(error: sqlite3.Error, table: dict[str, type[StoreError]], otherwise: type[StoreError]) -> Exception:
    name = symbolic_name(error)
    if name is None:
        # Our own misuse, and no peer's business.
        return RuntimeError("a connection to the store was used wrongly")
    _log.warning("the store's database failed", extra={"sqlite": name})
    detail = name.removeprefix("SQLITE_")
    # Of SQLITE_IOERR_FSYNC, say, the second word is the kind, and mostly enough.
    kind = table.get(detail) or table.get(detail.split("_")[0], otherwise)
    return kind(_MESSAGES[kind])
