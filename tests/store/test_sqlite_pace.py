"""Which commits are made on the event loop, and that they are commits like all others."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from helpers.asynchronous import run
from secretd import limits
from secretd.errors import StoreUnavailableError
from secretd.store.base import Put, RevisionConflict, RevisionIs
from secretd.store.sqlite import SqliteStore
from secretd.store.sqlite_pace import Pace
from secretd.store.sqlite_transaction import Commit, Outcome
from secretd.store.summary import Replacement, Summary

P = ParamSpec("P")

QUICK_S = limits.LONE_COMMIT_MICROSECONDS / 2_000_000
SLOW_S = limits.LONE_COMMIT_MICROSECONDS / 50_000
KEY = b"akey"


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine."""

    @wraps(test)
    def call(*arguments: P.args, **named: P.kwargs) -> None:
        run(test(*arguments, **named))

    return call


class Nothing(Summary):
    """A summary that says nothing."""

    key = b"h"

    def of(self, records: Iterable[tuple[bytes, bytes]], revision: int) -> bytes:  # noqa: ARG002
        return b"nothing"

    def after(self, before: bytes | None, replacements: Iterable[Replacement], revision: int) -> bytes:  # noqa: ARG002
        return b"nothing"


class Places:
    """Where the commits of a store are made: each group's size, and whether that was on the event loop."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, bool]] = []
        self._apply = store._database.apply
        monkeypatch.setattr(store._database, "apply", self._noted)

    def _noted(self, group: Sequence[Commit]) -> list[Outcome]:
        self.seen.append((len(group), threading.current_thread() is threading.main_thread()))
        return self._apply(group)


async def opened(path: Path) -> SqliteStore:
    """Open a store whose disk is known to be quick."""
    store = await SqliteStore.open(str(path))
    quick(store)
    return store


def quick(store: SqliteStore) -> None:
    """Have the store take its disk for a quick one, whatever the machine does at the moment."""
    store._pace = Pace(asyncio.get_running_loop())
    store._pace.took(QUICK_S / 1_000)


@on_a_loop
async def test_a_commit_that_waits_alone_is_made_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    first = await store.commit([Put(KEY, b"1")])
    assert places.seen == [(1, True)]
    record = await store.get(KEY)
    assert record is not None
    assert (record.value, record.revision) == (b"1", first)
    assert await store.revision() == first
    await store.close()


@on_a_loop
async def test_commits_that_come_together_share_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    await asyncio.gather(*(store.commit([Put(KEY + bytes([number]), b"1")]) for number in range(20)))
    assert sum(size for size, _ in places.seen) == 20
    assert [here for _, here in places.seen] == [True] + [False] * (len(places.seen) - 1)
    assert max(size for size, _ in places.seen) > 1
    await store.close()


@on_a_loop
async def test_what_arrives_while_the_loop_commits_goes_to_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    await store.commit([Put(KEY, b"1")])
    # The next turn of the loop is the one that reads what has arrived.
    await asyncio.sleep(0)
    await store.commit([Put(KEY, b"2")])
    assert places.seen == [(1, True), (1, False)]
    quick(store)
    await store.commit([Put(KEY, b"3")])
    assert places.seen[2:] == [(1, True)]
    await store.close()


@on_a_loop
async def test_a_slow_disk_never_holds_up_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    store._pace.took(SLOW_S)
    await store.commit([Put(KEY, b"1")])
    assert places.seen == [(1, False)]
    await store.close()


@on_a_loop
async def test_the_loop_waits_its_turn_behind_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    go_on = threading.Event()
    held = store._submit(go_on.wait)
    committing = asyncio.ensure_future(store.commit([Put(KEY, b"1")]))
    await asyncio.sleep(0)
    assert not committing.done()
    go_on.set()
    await committing
    assert held.done()
    assert places.seen == [(1, False)]
    await store.close()


@pytest.mark.parametrize("alone", [False, True], ids=["behind a group", "behind what is a transaction by itself"])
def test_the_loop_waits_until_all_that_was_committed_is_told(tmp_path: Path, alone: bool) -> None:
    async def test() -> None:
        store = await SqliteStore.open(str(tmp_path))
        told = store.watch(b"", await store.revision())
        first = store.replace_all([], Nothing()) if alone else store.commit([Put(KEY, b"1")])
        committing = asyncio.ensure_future(first)
        await asyncio.sleep(0)
        assert store._newest_work is not None
        # On disk, and the loop has not yet heard of it.
        store._newest_work.result()
        quick(store)
        second = await store.commit([Put(KEY, b"2")])
        assert await store.revision() == second == 2
        assert await committing == 1
        if not alone:
            assert [(await anext(told)).revision for _ in range(2)] == [1, 2]
        await store.close()

    run(test())


@on_a_loop
async def test_a_conflict_on_the_loop_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)
    places = Places(store, monkeypatch)
    with pytest.raises(RevisionConflict):
        await store.commit([Put(KEY, b"1")], [RevisionIs(KEY, 7)])
    assert places.seen == [(1, True)]
    assert await store.get(KEY) is None
    await store.close()


@on_a_loop
async def test_a_failure_on_the_loop_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(tmp_path)

    def fail(_: Sequence[Commit]) -> list[Outcome]:
        raise StoreUnavailableError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(store._database, "apply", fail)
        with pytest.raises(StoreUnavailableError, match="not now"):
            await store.commit([Put(KEY, b"1")])
    quick(store)
    assert await store.commit([Put(KEY, b"1")])
    await store.close()


@on_a_loop
async def test_a_log_that_grew_by_commits_on_the_loop_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORE_LOG_BYTES", 100_000)
    store = await opened(tmp_path)
    store._database.checkpoint()
    for number in range(60):
        quick(store)
        await store.commit([Put(KEY, number.to_bytes() * 5_000)])
    assert (tmp_path / "store.db-wal").stat().st_size < 60 * 5_000
    await store.close()


def test_one_connection_may_be_used_by_several_threads_in_turn() -> None:
    assert sqlite3.threadsafety == 3


@on_a_loop
async def test_a_commit_that_was_held_up_keeps_all_off_the_loop_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(loop)
    pace.took(1.0)
    for _ in range(500):
        pace.took(QUICK_S)
    assert not pace.allows
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + limits.LONE_COMMIT_PAUSE_SECONDS)
    assert pace.allows


@on_a_loop
async def test_a_few_quick_commits_make_up_for_a_slow_one() -> None:
    pace = Pace(asyncio.get_running_loop())
    allowed = [pace.allows]
    for seconds, times in ((QUICK_S, 1), (SLOW_S, 1), (QUICK_S, 50)):
        for _ in range(times):
            pace.took(seconds)
        allowed.append(pace.allows)
    assert allowed == [False, True, False, True]
