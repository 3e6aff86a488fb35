"""What the SQLite store makes, and what it leaves alone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.asynchronous import run
from secretd.errors import StoreCorruptError, StoreError, StoreUnavailableError
from secretd.store import sqlite_files
from secretd.store.base import Put
from secretd.store.sqlite import SqliteStore
from secretd.store.sqlite_files import APPLICATION_ID, DATABASE, FORMAT, RESERVE

Contents = dict[str, bytes]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir(mode=0o700)
    return path


def contents(directory: Path) -> Contents:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name not in {"lock", RESERVE}}


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def use(directory: Path) -> int:
    """Open the store, write a record, and close it."""

    async def body() -> int:
        store = await SqliteStore.open(str(directory))
        try:
            return await store.commit([Put(b"k", b"v")])
        finally:
            await store.close()

    return run(body())


def query(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [row for statement in statements for row in connection.execute(statement)]


def test_a_new_store_says_whose_it_is_and_its_format(directory: Path) -> None:
    use(directory)
    assert query(directory / DATABASE, "PRAGMA application_id", "PRAGMA user_version", "PRAGMA page_size") == [
        (APPLICATION_ID,),
        (FORMAT,),
        (4096,),
    ]
    assert query(directory / DATABASE, "PRAGMA journal_mode", "PRAGMA integrity_check") == [("wal",), ("ok",)]
    assert query(directory / DATABASE, "SELECT type, name FROM sqlite_schema ORDER BY name") == [
        ("table", "kv"),
        ("table", "meta"),
    ]


def test_each_connection_is_set_up_for_durability(directory: Path) -> None:
    async def body() -> None:
        store = await SqliteStore.open(str(directory))
        asked = ("synchronous", "secure_delete", "wal_autocheckpoint", "trusted_schema", "temp_store")

        def answers(connection: sqlite3.Connection, names: tuple[str, ...]) -> list[object]:
            return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        writer = store._thread.submit(answers, store._database._connection, asked).result()
        assert writer == [2, 1, 0, 0, 2]
        assert answers(store._reader._connection, ("query_only", "trusted_schema")) == [1, 0]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._reader._connection.execute("DELETE FROM kv")
        await store.close()

    run(body())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_files_are_private_whatever_the_umask(directory: Path, umask: int) -> None:
    async def body() -> None:
        store = await SqliteStore.open(str(directory))
        await store.commit([Put(b"k", b"v")])
        names = [DATABASE, f"{DATABASE}-wal", RESERVE, "lock"]
        assert modes(directory) == dict.fromkeys(names, 0o600)
        await store.close()

    before = os.umask(umask)
    try:
        run(body())
    finally:
        os.umask(before)


def _newer(path: Path) -> None:
    query(path, f"PRAGMA user_version = {FORMAT + 1}")


def _newer_in_the_log(path: Path) -> None:
    """Leave the newer format in the log only, as a crash does."""
    copies = path.with_name("copies")
    copies.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
        for name in (DATABASE, f"{DATABASE}-wal"):
            (copies / name).write_bytes(path.with_name(name).read_bytes())
    for name in (DATABASE, f"{DATABASE}-wal"):
        (copies / name).replace(path.with_name(name))
    copies.rmdir()


def _of_another(path: Path) -> None:
    query(path, "PRAGMA application_id = 1234")


def _of_nobody(path: Path) -> None:
    path.unlink()
    query(path, "CREATE TABLE other (a)", "INSERT INTO other VALUES (1)")


def _of_another_with_a_log(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE other (a)")
        kept = {name: path.with_name(name).read_bytes() for name in (DATABASE, f"{DATABASE}-wal")}
    for name, data in kept.items():
        path.with_name(name).write_bytes(data)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        pytest.param(_newer, StoreUnavailableError, "newer secretd", id="newer"),
        pytest.param(_newer_in_the_log, StoreUnavailableError, "newer secretd", id="newer-in-the-log"),
        pytest.param(_of_another, StoreCorruptError, "not one of secretd's", id="another-application's"),
        pytest.param(_of_nobody, StoreCorruptError, "not one of secretd's", id="no-application's"),
        pytest.param(_of_another_with_a_log, StoreCorruptError, "not one of secretd's", id="another's-with-a-log"),
        pytest.param(lambda path: path.write_bytes(b""), StoreCorruptError, "not one of secretd's", id="empty"),
        pytest.param(
            lambda path: path.write_bytes(b"no database " * 1000), StoreCorruptError, "not one of", id="not-sqlite"
        ),
        pytest.param(
            lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(200)), StoreCorruptError, "not one", id="zeros"
        ),
    ],
)
def test_what_is_not_ours_to_write_is_refused_untouched(
    directory: Path, change: Callable[[Path], object], error: type[StoreError], told: str
) -> None:
    use(directory)
    change(directory / DATABASE)
    before = contents(directory)
    with pytest.raises(error, match=told) as caught:
        use(directory)
    after = contents(directory)
    # Only where there is a log may SQLite have to make its index to look into it.
    if after.keys() != before.keys():
        assert after.pop(f"{DATABASE}-shm")
        assert f"{DATABASE}-wal" in before
    assert after == before
    assert str(directory) not in str(caught.value)


def test_a_refusal_lets_go_of_the_directory(directory: Path) -> None:
    use(directory)
    before = (directory / DATABASE).read_bytes()
    _newer(directory / DATABASE)
    with pytest.raises(StoreUnavailableError):
        use(directory)
    (directory / DATABASE).write_bytes(before)
    assert use(directory) == 2


def test_a_log_without_its_database_is_not_given_to_a_new_one(directory: Path) -> None:
    use(directory)
    (directory / DATABASE).unlink()
    log = directory / f"{DATABASE}-wal"
    log.write_bytes(b"frames of the lost database")
    with pytest.raises(StoreCorruptError, match="its log is there"):
        use(directory)
    assert contents(directory) == {log.name: b"frames of the lost database"}


def test_a_creation_that_was_cut_short_is_begun_again(directory: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (directory / f"{DATABASE}.new{suffix}").write_bytes(b"half a database")
    assert use(directory) == 1
    assert sorted(contents(directory)) == [DATABASE]


def test_a_creation_that_fails_leaves_no_database(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_source: Path, _target: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(StoreUnavailableError):
            use(directory)
    assert DATABASE not in contents(directory)
    assert use(directory) == 1


def test_a_database_that_is_no_file_is_refused(directory: Path) -> None:
    (directory / DATABASE).mkdir()
    with pytest.raises(StoreCorruptError) as caught:
        use(directory)
    assert str(directory) not in str(caught.value)


def test_a_place_without_write_ahead_logs_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_memory(_path: Path, _parameters: str, *, any_thread: bool) -> sqlite3.Connection:  # noqa: ARG001
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.text_factory = bytes
        return connection

    monkeypatch.setattr(sqlite_files, "_connect", in_memory)
    with pytest.raises(StoreUnavailableError, match="does not support"):
        use(directory)
