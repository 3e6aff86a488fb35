"""What is SQLite's own: shared transactions, failures at each stage, the log, and what is left of deleted records."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import sqlite3
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.asynchronous import run
from secretd import limits
from secretd.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.store.base import Change, Compacted, Delete, Put, RevisionConflict, RevisionIs, Store
from secretd.store.sqlite import SqliteStore
from secretd.store.sqlite_database import Database
from secretd.store.sqlite_files import DATABASE, RESERVE
from secretd.store.sqlite_pace import Pace
from secretd.store.summary import Replacement, Summary


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(str(path))
    try:
        yield store
    finally:
        await store.close()


def set_limit(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(limits, name, limits.Limit(value, "", source="this test", seen="never"))


def log_bytes(path: Path) -> int:
    return (path / f"{DATABASE}-wal").stat().st_size


# Shared transactions.


def trace(store: SqliteStore) -> list[str]:
    """Record each statement that the writing connection runs."""
    statements: list[str] = []
    store._thread.submit(store._database._connection.set_trace_callback, statements.append).result()
    return statements


def test_what_waits_together_shares_a_transaction(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            statements = trace(store)
            revisions = await asyncio.gather(*(store.commit([Put(b"k%d" % number, b"")]) for number in range(200)))
            assert sorted(revisions) == list(range(1, 201))
            # The first goes alone, as nobody waits yet; the others are 128 and 71.
            assert statements.count("COMMIT") == 3

    run(body())


def test_a_group_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, "GROUP_COMMITS", 10)

    async def body() -> None:
        async with opened(tmp_path) as store:
            statements = trace(store)
            await asyncio.gather(*(store.commit([Put(b"k%d" % number, b"")]) for number in range(201)))
            assert statements.count("COMMIT") == 21

    run(body())


def test_a_precondition_sees_the_commits_before_it_in_the_group(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            statements = trace(store)
            outcomes = await asyncio.gather(
                store.commit([Put(b"first", b"")]),
                store.commit([Put(b"k", b"1")], [RevisionIs(b"k", 0)]),
                store.commit([Put(b"k", b"2")], [RevisionIs(b"k", 2)]),
                store.commit([Put(b"k", b"3")], [RevisionIs(b"k", 2)]),
                store.commit([Delete(b"k")], [RevisionIs(b"k", 3)]),
                store.commit([Put(b"k", b"4")], [RevisionIs(b"k", 0)]),
                return_exceptions=True,
            )
            assert statements.count("COMMIT") == 2
            assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [1, 2, 3, 4, 5]
            assert isinstance(outcomes[3], RevisionConflict)
            changes = store.watch(b"k", 1)
            assert [await anext(changes) for _ in range(4)] == [
                Change(2, b"k", False),
                Change(3, b"k", False),
                Change(4, b"k", True),
                Change(5, b"k", False),
            ]

    run(body())


def test_a_group_of_conflicts_writes_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", b"")])
            before = log_bytes(tmp_path)
            with pytest.raises(RevisionConflict):
                await store.commit([Put(b"k", b"")], [RevisionIs(b"k", 7)])
            assert log_bytes(tmp_path) == before

    run(body())


@pytest.mark.parametrize("here", [False, True], ids=["in-the-thread", "on-the-loop"])
def test_a_conflict_goes_when_it_was_dealt_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    """Its traceback leads to the values of who made the commit, so it is not left to the garbage collector."""
    monkeypatch.setattr(Pace, "allows", here)
    conflicts: list[weakref.ref[RevisionConflict]] = []

    async def work() -> None:
        async with opened(tmp_path / "store") as store:
            try:
                await store.commit([Put(b"k", b"v")], [RevisionIs(b"k", 7)])
            except RevisionConflict as conflict:
                conflicts.append(weakref.ref(conflict))
            await asyncio.sleep(0)  # until then the loop holds what it woke this task with
            assert [conflict() for conflict in conflicts] == [None]

    gc.disable()
    try:
        run(work())
    finally:
        gc.enable()


def test_a_watch_may_start_at_the_revision_at_any_moment(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            commit = asyncio.ensure_future(store.commit([Put(b"k", b"")]))
            await asyncio.sleep(0)
            # The loop stands still until the commit is on disk: reads see it, and nobody has been told of it.
            store._thread.submit(lambda: None).result()
            assert await store.get(b"k") is not None
            changes = store.watch(b"", await store.revision())
            assert await anext(changes) == Change(1, b"k", False)
            assert await commit == 1

    run(body())


# Failures.


class FailingConnection:
    """A connection one of whose statements fails, as SQLite says it."""

    def __init__(self, connection: sqlite3.Connection, statement: str, name: str, times: int) -> None:
        self._times = times
        self._connection = connection
        self._statement = statement
        self._name = name

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if self._times and statement.startswith(self._statement):
            self._times -= 1
            error = sqlite3.OperationalError("words of SQLite about canary")
            error.sqlite_errorname = self._name
            raise error
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextlib.contextmanager
def failing(store: SqliteStore, statement: str, name: str, times: int = 1_000) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        connection: Any = FailingConnection(store._database._connection, statement, name, times)
        patch.setattr(store._database, "_connection", connection)
        yield


@pytest.mark.parametrize(
    ("statement", "name", "error"),
    [
        pytest.param("BEGIN", "SQLITE_BUSY", StoreUnavailableError, id="begin-busy"),
        pytest.param("BEGIN", "SQLITE_IOERR_READ", StoreUnavailableError, id="begin-input-output"),
        pytest.param("INSERT", "SQLITE_FULL", StoreFullError, id="write-full"),
        pytest.param("INSERT", "SQLITE_IOERR_WRITE", StoreUnavailableError, id="write-input-output"),
        pytest.param("UPDATE meta", "SQLITE_CORRUPT", StoreCorruptError, id="write-corrupt"),
        pytest.param(
            "SELECT key, value, revision FROM kv WHERE key = ?",
            "SQLITE_NOTADB",
            StoreCorruptError,
            id="precondition-not-a-database",
        ),
        pytest.param("COMMIT", "SQLITE_FULL", StoreFullError, id="commit-full"),
        pytest.param("COMMIT", "SQLITE_BUSY", StoreUnavailableError, id="commit-busy"),
        pytest.param("COMMIT", "SQLITE_IOERR_FSYNC", StoreOutcomeUnknownError, id="commit-fsync"),
        pytest.param("COMMIT", "SQLITE_CORRUPT", StoreCorruptError, id="commit-corrupt"),
    ],
)
def test_a_failure_is_told_to_everyone_of_the_group_and_got_over(
    tmp_path: Path, statement: str, name: str, error: type[StoreError], caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"old", b"")])
            with failing(store, statement, name):
                outcomes = await asyncio.gather(
                    *(store.commit([Put(b"k%d" % n, b"")], [RevisionIs(b"k%d" % n, 0)]) for n in range(10)),
                    return_exceptions=True,
                )
                assert [type(outcome) for outcome in outcomes] == [error] * 10
                assert len({id(outcome) for outcome in outcomes}) == 10
                assert await store.get(b"old") is not None
                assert (await store.scan(b"k")).records == ()
            assert await store.revision() == 1
            assert await store.commit([Put(b"new", b"")]) == 2
            assert await store.count(b"k") == 0
            changes = store.watch(b"", 0)
            assert [(await anext(changes)).key for _ in range(2)] == [b"old", b"new"]

    with caplog.at_level(logging.DEBUG):
        run(body())
    assert "canary" not in caplog.text


class Signed(Summary):
    """A summary that is kept up by nobody but who made it, as the head is by its keyring alone."""

    key = b"summary"

    def __init__(self, name: bytes) -> None:
        self._name = name

    def of(self, _records: Iterable[tuple[bytes, bytes]], _revision: int) -> bytes:
        return self._name

    def after(self, before: bytes | None, _replacements: Iterable[Replacement], _revision: int) -> bytes:
        if before != self._name:
            raise StoreCorruptError("the summary is another's")
        return self._name


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda store: store.commit([Put(b"k", b"new")]), id="commit"),
        pytest.param(lambda store: store.summarise(Signed(b"new")), id="summarise"),
        pytest.param(
            lambda store: store.replace_all([(b"k", b"new")], Signed(b"new"), least_revision=100), id="replace-all"
        ),
    ],
)
def test_a_commit_that_failed_once_is_surely_not_made(
    tmp_path: Path, work: Callable[[SqliteStore], Awaitable[int]]
) -> None:
    async def look(store: SqliteStore, revision: int) -> None:
        records = (await store.scan(b"")).records
        assert [(record.key, record.value) for record in records] == [(b"k", b"old"), (b"summary", b"old")]
        assert await store.commit([Put(b"k", b"old")]) == revision + 1

    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", b"old")])
            await store.summarise(Signed(b"old"))
            with (
                failing(store, "COMMIT", "SQLITE_IOERR_FSYNC", times=1),
                pytest.raises(StoreUnavailableError, match="nothing was changed") as raised,
            ):
                await work(store)
            assert not isinstance(raised.value, StoreOutcomeUnknownError)
            # One was taken to end what may stand in the log.
            await look(store, 3)
        async with opened(tmp_path) as store:
            store.keep_summary(Signed(b"old"))
            await look(store, 4)

    run(body())


def test_sqlites_own_full_is_a_full_store(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:

            def bound(pages: int) -> None:
                store._database._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

            await store.commit([Put(b"old", b"v")])
            store._thread.submit(bound, 20).result()
            with pytest.raises(StoreFullError):
                await store.commit([Put(b"new", b"v" * 200_000)])
            assert await store.get(b"old") is not None
            assert await store.commit([Put(b"small", b"v")]) == 2
            store._thread.submit(bound, 100_000).result()
            assert await store.commit([Put(b"new", b"v" * 200_000)]) == 3

    run(body())


def test_a_write_that_the_system_refuses_is_surely_not_made(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"old", b"v")])
            resource.setrlimit(resource.RLIMIT_FSIZE, (log_bytes(tmp_path) + 50_000, hard))
            try:
                with pytest.raises(StoreUnavailableError, match="nothing was changed"):
                    await store.commit([Put(b"new", b"v" * 400_000)])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert await store.get(b"new") is None
            assert await store.commit([Put(b"new", b"v" * 400_000)]) == 2

    run(body())


def test_a_commit_that_came_to_life_after_all_compacts_the_watches(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"a", b"")])
            watch = store.watch(b"", 1)
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            # As if the answer had been an error, and the transaction whole.
            store._thread.submit(
                store._database._connection.execute, "UPDATE meta SET number = 2 WHERE name = CAST('revision' AS BLOB)"
            ).result()
            assert await store.commit([Put(b"c", b"")]) == 3
            with pytest.raises(Compacted):
                await waiting

    run(body())


# Damage.


def damage(path: Path, statement: str, *parameters: object) -> None:
    with contextlib.closing(sqlite3.connect(path / DATABASE, isolation_level=None)) as connection:
        connection.execute(statement, parameters)


@pytest.mark.parametrize("value", [pytest.param(7, id="integer"), pytest.param(1.5, id="float")])
def test_a_record_of_another_type_is_corrupt(tmp_path: Path, value: object) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", b"v")])
        damage(tmp_path, "UPDATE kv SET value = ?", value)
        async with opened(tmp_path) as store:
            for read in (store.get(b"k"), store.scan(b"")):
                with pytest.raises(StoreCorruptError):
                    await read

    run(body())


def test_a_record_that_claims_to_be_text_is_left_to_the_seal(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", b"v")])
        damage(tmp_path, "UPDATE kv SET value = CAST(x'fffe61' AS TEXT)")
        async with opened(tmp_path) as store:
            record = await store.get(b"k")
            assert record is not None
            assert record.value == b"\xff\xfea"

    run(body())


def test_a_store_without_its_revision_does_not_open(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path):
            pass
        damage(tmp_path, "DELETE FROM meta")
        for _ in range(2):  # the refusal has let go of the directory
            with pytest.raises(StoreCorruptError, match="lacks a number"):
                await SqliteStore.open(str(tmp_path))

    run(body())


def test_a_garbled_page_is_corrupt_and_harms_only_those_who_read_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            for number in range(50):
                await store.commit([Put(b"k%03d" % number, b"v" * 1500)])
        await asyncio.to_thread(_garble, tmp_path / DATABASE)
        async with opened(tmp_path) as store:
            outcomes = [await _outcome(store, b"k%03d" % number) for number in range(50)]
            assert StoreCorruptError in outcomes
            assert set(outcomes) <= {StoreCorruptError, None}
            with pytest.raises(StoreCorruptError):
                await store.scan(b"")

    run(body())


def _garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(3 * 4096, len(data), 4096):
        data[page : page + 8] = b"\xee" * 8
    path.write_bytes(data)


async def _outcome(store: Store, key: bytes) -> type[Exception] | None:
    try:
        await store.get(key)
    except StoreError as error:
        return type(error)
    return None


# The log, and what was deleted.


def checkpoints(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Give an event that is set after each checkpoint."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    checkpoint: Callable[[Database], None] = Database.checkpoint

    def told() -> None:
        checkpoint(store._database)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(store._database, "checkpoint", told)
    return done


def everything(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.iterdir())


@pytest.mark.parametrize("size", [0, 1_000, 10_000], ids=["short", "in-a-page", "over-many-pages"])
def test_nothing_of_what_was_deleted_or_replaced_is_left_once_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    set_limit(monkeypatch, "STORE_LOG_SECONDS", 0)
    canary = b"canary-of-a-secret"

    async def body() -> None:
        async with opened(tmp_path) as store:
            done = checkpoints(store, monkeypatch)
            value = b"x" * size + canary + b"x" * size
            for number in range(40):
                await store.commit([Put(b"k%02d" % number, value), Put(b"other%02d" % number, b"o" * 50)])
            assert canary in everything(tmp_path)
            for number in range(0, 40, 2):
                await store.commit([Delete(b"k%02d" % number)])
            await asyncio.gather(*(store.commit([Put(b"k%02d" % number, b"new")]) for number in range(1, 40, 2)))
            done.clear()
            await done.wait()
            assert log_bytes(tmp_path) == 0
            assert canary not in everything(tmp_path)

    run(body())


def test_a_long_log_is_brought_in_while_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, "STORE_LOG_BYTES", 65_536)

    async def body() -> None:
        async with opened(tmp_path) as store:
            longest = 0
            for number in range(100):
                await store.commit([Put(b"k%d" % number, b"v" * 5_000)])
                longest = max(longest, log_bytes(tmp_path))
            assert 65_536 < longest < 2 * 65_536

    run(body())


def test_a_snapshot_holds_up_no_commit_and_what_was_deleted_is_gone_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limit(monkeypatch, "STORE_LOG_BYTES", 65_536)
    canary = b"canary-of-a-secret"

    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", canary)])
            statements = trace(store)
            async with store.snapshot() as snapshot:
                await store.commit([Delete(b"k")])
                for number in range(60):
                    await store.commit([Put(b"k%d" % number, b"v" * 5_000)])
                asked = [statement for statement in statements if "wal_checkpoint" in statement]
                # Any other kind would wait for the snapshot to end, and the commits for it.
                assert {statement.split("(")[-1] for statement in asked} == {"PASSIVE)"}
                assert await snapshot.get(b"k") is not None
                done = checkpoints(store, monkeypatch)
            await done.wait()
            assert log_bytes(tmp_path) == 0
            assert canary not in everything(tmp_path)

    run(body())


def test_a_checkpoint_that_fails_harms_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_limit(monkeypatch, "STORE_LOG_BYTES", 65_536)

    async def body() -> None:
        async with opened(tmp_path) as store:
            with failing(store, "PRAGMA wal_checkpoint", "SQLITE_FULL"):
                for number in range(60):
                    await store.commit([Put(b"k%d" % number, b"v" * 5_000)])
                grown = log_bytes(tmp_path)
            for number in range(60, 80):
                await store.commit([Put(b"k%d" % number, b"v" * 5_000)])
            assert log_bytes(tmp_path) < 2 * 65_536
            assert await store.count(b"k") == 80
            # By the clock the log may be emptied too, and then the reserve is spoken of as well.
            told = [vars(record)["sqlite"] for record in caplog.records if "could not be emptied" in record.message]
            assert set(told) == {"SQLITE_FULL"}
            # Not tried anew after each commit, but after as many bytes again.
            assert 2 < len(told) <= grown // 65_536 < 60

    run(body())
    assert "canary" not in caplog.text


def test_closing_leaves_the_database_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k", b"v")])

    run(body())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", RESERVE, DATABASE]


def test_a_watch_from_before_this_process_is_compacted(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            for number in range(3):
                await store.commit([Put(b"k%d" % number, b"")])
        async with opened(tmp_path) as store:
            with pytest.raises(Compacted) as caught:
                await anext(store.watch(b"", 2))
            assert caught.value.oldest == 3
            assert await store.commit([Put(b"k", b"")]) == 4
            assert (await anext(store.watch(b"", 3))).revision == 4

    run(body())


def test_the_end_of_the_loop_without_a_close_hangs_nothing(tmp_path: Path) -> None:
    async def abandoned() -> SqliteStore:
        store = await SqliteStore.open(str(tmp_path))
        await store.commit([Put(b"k", b"v")])
        return store

    store = run(abandoned())
    store._reader.close()
    store._thread.submit(store._database.close).result()

    async def again() -> int:
        async with opened(tmp_path) as reopened:
            return await reopened.count(b"k")

    assert run(again()) == 1


def test_a_database_that_was_removed_takes_no_commit(tmp_path: Path) -> None:
    """What would be answered would be in a file that nobody finds again."""

    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.commit([Put(b"k1", b"v")])
            (tmp_path / "store.db").rename(tmp_path / "elsewhere")
            with pytest.raises(StoreUnavailableError, match="not where it was"):
                await store.commit([Put(b"k2", b"v")])
            assert await store.get(b"k1") is not None
            (tmp_path / "elsewhere").rename(tmp_path / "store.db")
            await store.commit([Put(b"k2", b"v")])

    run(body())
