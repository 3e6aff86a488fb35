"""The files of the SQLite store: what is opened, how, and what is left alone.

A file that is not ours, or no SQLite database, is refused, as is one in a newer format, without a byte written.
The database is this process's alone, so the index of its log is in memory (SQLite's unix-excl).  It would be a file
that is mapped into memory, and where a page of such a file cannot be written, on a full disk or on one that has
become read-only, the kernel ends the process.

A new database is made under another name and renamed, so it is there with all its tables or not at all.

Source: SQLite, "Database File Format", "Uniform Resource Identifiers", "PRAGMA Statements".
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from secretd import limits
from secretd.errors import StoreCorruptError, StoreUnavailableError
from secretd.store.durable import open_regular, sync_directory

APPLICATION_ID = 0x73637264
"""``scrd``: says in the file's header whose it is."""

FORMAT = 1
"""The tables as they are here, kept as SQLite's user_version."""

DATABASE = "store.db"
"""The database's name in its directory."""

RESERVE = "reserve"
"""The name of the file beside it that holds room for bad times."""

PAGE_BYTES = 4096

REVISION = b"revision"
"""The row of meta that holds the store's revision."""

_NEW = "store.db.new"
_LOG_SUFFIX = "-wal"
_INDEX_SUFFIX = "-shm"
_SIDE_FILES = (_LOG_SUFFIX, _INDEX_SUFFIX, "-journal")

_BUSY_SECONDS = 5.0
"""How long a checkpoint waits for the reader, which is done in microseconds."""

_SETTINGS = (
    "PRAGMA synchronous = FULL",  # each COMMIT is on disk before it returns
    "PRAGMA wal_autocheckpoint = 0",  # Database decides when
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten with zeros
    "PRAGMA temp_store = MEMORY",  # nothing of a record reaches a temporary file
    "PRAGMA trusted_schema = OFF",  # a file that was tampered with runs no function
    "PRAGMA cell_size_check = ON",  # damage to a page shows when it is loaded
)

_SCHEMA = (
    "CREATE TABLE kv (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE meta (name BLOB NOT NULL PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


def log_of(directory: Path) -> Path:
    """Name the write-ahead log of the database in ``directory``."""
    return directory / (DATABASE + _LOG_SUFFIX)


def open_writer(directory: Path) -> sqlite3.Connection:
    """Open the database in ``directory``, which this process holds, or make it.

    Raises:
        StoreCorruptError: the file is not ours.
        StoreUnavailableError: it is in a newer format, or cannot be opened.
        sqlite3.Error: likewise.
    """
    path, log = directory / DATABASE, log_of(directory)
    if path.exists():
        _look(path, log)
        # To look into a log SQLite made an index in a file; nobody reads that any more.
        with contextlib.suppress(OSError):
            path.with_name(path.name + _INDEX_SUFFIX).unlink()
    else:
        _create(path, log)
    return _connect_to_write(path)


def open_reader(directory: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """Open the database in ``directory``, which is open for writing already, for reading only.

    Args:
        directory: where it is.
        any_thread: whether others than this thread use the connection too.
    """
    connection = _connect(directory / DATABASE, "mode=ro", any_thread=any_thread)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{limits.STORE_READER_CACHE_BYTES // 1_024}")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _connect(path: Path, parameters: str, *, any_thread: bool = False) -> sqlite3.Connection:
    name = f"{path.as_uri()}?vfs=unix-excl&{parameters}"
    connection = sqlite3.connect(
        name, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=not any_thread
    )
    # A damaged record may claim to be text: its bytes come as they are, and the seal above does not open.
    connection.text_factory = bytes
    return connection


def _connect_to_write(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        # psow: a write that a power cut ends harms no bytes beside its own, as on every disk of today. So SQLite
        # pads nothing: a transaction's last frame is the last that is written, which sqlite_errors counts on.
        # One thread at a time uses it, not always the same one.
        connection = _connect(path, "mode=rw&psow=1", any_thread=True)
        undo.callback(connection.close)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != b"wal":
            raise StoreUnavailableError("the store's file system does not support SQLite's write-ahead log")
        for setting in _SETTINGS:
            connection.execute(setting)
        undo.pop_all()
        return connection


def _look(path: Path, log: Path) -> None:
    """Refuse a file that is not ours to write to. This writes nothing, and makes no file beside it."""
    _check_header(path)
    # What the log holds counts too. Without one, "immutable" keeps SQLite from making one.
    parameters = "mode=ro" if _has_content(log) else "mode=ro&immutable=1"
    with contextlib.closing(_connect(path, parameters)) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    _check_format(application_id, version)


def _check_header(path: Path) -> None:
    # Before SQLite sees it: beside a foreign database that was left with a log it would make files of its own.
    try:
        with open_regular(path) as file:
            header = file.read(100)
    except OSError:
        raise StoreUnavailableError("the store's database cannot be opened") from None
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise StoreCorruptError("the store's database is not one of secretd's; it was left as it is")
    _check_format(int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))


def _check_format(application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID or version < 1:
        raise StoreCorruptError("the store's database is not one of secretd's; it was left as it is")
    if version > FORMAT:
        raise StoreUnavailableError(
            f"the store was written by a newer secretd, in format {version} where this one knows {FORMAT}; "
            "it was left as it is"
        )


def _create(path: Path, log: Path) -> None:
    if _has_content(log):
        # SQLite would take this log for the new database's own.
        raise StoreCorruptError("the store's database is missing, but its log is there; it was left as it is")
    new = path.with_name(_NEW)
    try:
        for suffix in ("", *_SIDE_FILES):
            new.with_name(new.name + suffix).unlink(missing_ok=True)
        # SQLite gives the files it makes beside the database the mode of the database.
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        _fill(new)
        new.replace(path)
        sync_directory(path.parent)
    except OSError:
        raise StoreUnavailableError("the store's database cannot be made") from None


def _fill(path: Path) -> None:
    with contextlib.closing(_connect_to_write(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES (?, 0)", (REVISION,))
        connection.execute("COMMIT")


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
