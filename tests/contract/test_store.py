"""The contract of a store, one suite for every engine."""

from __future__ import annotations

import ast
import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from helpers.asynchronous import run
from helpers.store_engines import ENGINES, Engine
from secretd import limits
from secretd.errors import StoreCorruptError
from secretd.store.base import Change, Compacted, Delete, Operation, Put, RevisionConflict, RevisionIs, Store
from secretd.store.summary import Replacement, Summary

Body = Callable[[Store], Coroutine[Any, Any, None]]
Runner = Callable[[Body], None]


@pytest.fixture(params=[pytest.param(engine, id=engine.name) for engine in ENGINES])
def engine(request: pytest.FixtureRequest) -> Engine:
    param: Engine = request.param
    return param


@pytest.fixture
def with_store(engine: Engine, tmp_path: Path) -> Runner:
    """Run the body of a test with a store that is open, and close it afterwards."""

    async def opened(body: Body) -> None:
        store = await engine.open(tmp_path)
        try:
            await body(store)
        finally:
            await store.close()

    return lambda body: run(opened(body))


async def scanned(store: Store, prefix: bytes, limit: int = 1000) -> list[bytes]:
    """Read all pages, and give the keys."""
    keys: list[bytes] = []
    start: bytes | None = None
    while True:
        page = await store.scan(prefix, start, limit)
        keys += [record.key for record in page.records]
        start = page.next_start
        if start is None:
            return keys
        assert page.records
        assert start > keys[-1]


async def take(changes: AsyncGenerator[Change, None], count: int) -> list[Change]:
    return [await anext(changes) for _ in range(count)]


# One record.


def test_a_new_store_is_empty(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        assert await store.get(b"k") is None
        assert (await store.scan(b"")).records == ()
        assert await store.count(b"k") == 0
        assert await store.revision() == 0

    with_store(body)


def test_a_record_has_the_revision_of_the_commit_that_last_put_it(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        first = await store.commit([Put(b"a", b"1"), Put(b"b", b"1")])
        second = await store.commit([Put(b"b", b"2")])
        assert 0 < first < second == await store.revision()
        a, b = await store.get(b"a"), await store.get(b"b")
        assert a is not None
        assert b is not None
        assert (a.key, a.value, a.revision) == (b"a", b"1", first)
        assert (b.key, b.value, b.revision) == (b"b", b"2", second)

    with_store(body)


def test_a_deleted_record_is_gone_and_may_come_back(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"k", b"1")])
        await store.commit([Delete(b"k")])
        assert await store.get(b"k") is None
        again = await store.commit([Put(b"k", b"2")], [RevisionIs(b"k", 0)])
        record = await store.get(b"k")
        assert record is not None
        assert record.revision == again

    with_store(body)


def test_deleting_nothing_is_a_commit_like_any_other(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        before = await store.revision()
        assert await store.commit([Delete(b"k")]) > before
        assert await store.count(b"k") == 0

    with_store(body)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(b"\0", id="nul"),
        pytest.param(b"\xff", id="0xff"),
        pytest.param(b"a\0b", id="nul-inside"),
        pytest.param(b"%_*'\"", id="what-languages-quote"),
        pytest.param(b"k" * limits.STORE_KEY_BYTES, id="longest"),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\xff\0", id="binary"),
        pytest.param(b"v" * limits.STORE_VALUE_BYTES, id="longest"),
    ],
)
def test_bytes_come_back_as_they_were(with_store: Runner, key: bytes, value: bytes) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(key, value)])
        record = await store.get(key)
        assert record is not None
        assert (record.key, record.value) == (key, value)
        assert (await store.scan(key)).records == (record,)

    with_store(body)


# Scans.

_KEYS = (b"\0", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"b1", b"b2", b"\xff", b"\xff\xff", b"\xffz")


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param(b"", id="all"),
        pytest.param(b"a", id="one-byte"),
        pytest.param(b"a\xff", id="ends-with-0xff"),
        pytest.param(b"\xff", id="only-0xff"),
        pytest.param(b"\xff\xff", id="only-0xff-twice"),
        pytest.param(b"c", id="none"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_a_scan_gives_what_begins_with_the_prefix_in_byte_order(with_store: Runner, prefix: bytes, limit: int) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(key, b"v") for key in reversed(_KEYS)])
        assert await scanned(store, prefix, limit) == sorted(key for key in _KEYS if key.startswith(prefix))

    with_store(body)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param(b"a", [b"b", b"b1", b"b2"], id="before-the-prefix"),
        pytest.param(b"b1", [b"b1", b"b2"], id="a-key"),
        pytest.param(b"b1\0", [b"b2"], id="between-keys"),
        pytest.param(b"c", [], id="behind-the-prefix"),
    ],
)
def test_a_scan_starts_where_it_is_told(with_store: Runner, start: bytes, expected: list[bytes]) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(key, b"v") for key in _KEYS])
        page = await store.scan(b"b", start)
        assert [record.key for record in page.records] == expected
        assert page.next_start is None

    with_store(body)


def test_a_page_that_ends_with_the_last_record_says_that_there_is_no_more(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b""), Put(b"b", b""), Put(b"c", b"")])
        assert (await store.scan(b"", None, 3)).next_start is None
        assert (await store.scan(b"", None, 2)).next_start == b"c"

    with_store(body)


def test_a_page_is_bounded_by_the_size_of_its_values(with_store: Runner) -> None:
    value = b"v" * limits.STORE_VALUE_BYTES
    fit = limits.SCAN_BYTES // limits.STORE_VALUE_BYTES

    async def body(store: Store) -> None:
        keys = [bytes([letter]) for letter in range(fit + 2)]
        for key in keys:
            await store.commit([Put(key, value)])
        assert len((await store.scan(b"")).records) == fit
        assert await scanned(store, b"") == keys

    with_store(body)


# Commits.


def test_a_precondition_that_does_not_hold_applies_nothing(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"held", b"1"), Put(b"also", b"1")])
        before = await store.revision()
        conditions = [RevisionIs(b"absent", before), RevisionIs(b"held", before), RevisionIs(b"also", 0)]
        with pytest.raises(RevisionConflict) as caught:
            await store.commit([Put(b"new", b"2"), Delete(b"held")], conditions)
        assert caught.value.keys == (b"absent", b"also")
        assert await store.get(b"new") is None
        assert await store.get(b"held") is not None
        assert await store.revision() == before
        assert await store.count(b"n") == 0

    with_store(body)


def test_preconditions_are_judged_before_the_operations(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"k", b"1")], [RevisionIs(b"k", 0)])
        revision = await store.revision()
        await store.commit([Delete(b"k")], [RevisionIs(b"k", revision)])
        assert await store.get(b"k") is None

    with_store(body)


def test_the_count_follows_each_kind(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a1", b""), Put(b"a2", b""), Put(b"b1", b""), Put(b"\xff", b"")])
        await store.commit([Put(b"a1", b"again"), Delete(b"b1"), Delete(b"b2"), Delete(b"a3")])
        assert [await store.count(kind) for kind in (b"a", b"b", b"\xff", b"c")] == [2, 0, 1, 0]

    with_store(body)


def _operations(count: int) -> list[Operation]:
    return [Put(b"k%d" % number, b"") for number in range(count)]


@pytest.mark.parametrize(
    ("operations", "conditions"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([], [RevisionIs(b"k", 0)], id="only-a-precondition"),
        pytest.param([Put(b"", b"v")], [], id="empty-key"),
        pytest.param([Delete(b"")], [], id="empty-key-deleted"),
        pytest.param([Put(b"k", b"")], [RevisionIs(b"", 0)], id="empty-key-in-a-precondition"),
        pytest.param([Put(b"k" * (limits.STORE_KEY_BYTES + 1), b"")], [], id="long-key"),
        pytest.param([Put(b"k", b"v" * (limits.STORE_VALUE_BYTES + 1))], [], id="long-value"),
        pytest.param([Put(b"k", b"1"), Put(b"k", b"2")], [], id="key-put-twice"),
        pytest.param([Put(b"k", b"1"), Delete(b"k")], [], id="key-put-and-deleted"),
        pytest.param([Put(b"k", b"1")], [RevisionIs(b"k", 0), RevisionIs(b"k", 0)], id="key-in-two-preconditions"),
        pytest.param([Put(b"k", b"1")], [RevisionIs(b"k", -1)], id="negative-revision"),
        pytest.param(_operations(limits.COMMIT_OPERATIONS + 1), [], id="too-many-operations"),
        pytest.param(_operations(limits.COMMIT_OPERATIONS), [RevisionIs(b"k", 0)], id="too-many-with-preconditions"),
        pytest.param(
            [Put(key, b"v" * limits.STORE_VALUE_BYTES) for key in (b"a", b"b")], [], id="too-many-bytes-by-two"
        ),
    ],
)
def test_a_commit_past_the_limits_is_our_own_fault(
    with_store: Runner, operations: list[Operation], conditions: list[RevisionIs]
) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(ValueError, match=r"^a "):
            await store.commit(operations, conditions)
        assert await store.revision() == 0

    with_store(body)


def test_a_commit_at_the_limits_is_applied(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit(_operations(limits.COMMIT_OPERATIONS))
        assert await store.count(b"k") == limits.COMMIT_OPERATIONS
        value = b"v" * limits.STORE_VALUE_BYTES
        await store.commit([Put(b"a", value), Put(b"b", value[:-2])])

    with_store(body)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.get(b""), id="get-empty-key"),
        pytest.param(lambda store: store.get(b"k" * 257), id="get-long-key"),
        pytest.param(lambda store: store.scan(b"k" * 257), id="scan-long-prefix"),
        pytest.param(lambda store: store.scan(b"", b""), id="scan-empty-start"),
        pytest.param(lambda store: store.scan(b"", None, 0), id="scan-for-nothing"),
        pytest.param(lambda store: store.scan(b"", None, limits.SCAN_RECORDS + 1), id="scan-for-too-much"),
        pytest.param(lambda store: store.count(b""), id="count-of-no-kind"),
        pytest.param(lambda store: store.count(b"ab"), id="count-of-two-bytes"),
        pytest.param(lambda store: anext(store.watch(b"", -1)), id="watch-before-the-first"),
    ],
)
def test_a_read_past_the_limits_is_our_own_fault(
    with_store: Runner, call: Callable[[Store], Awaitable[object]]
) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(ValueError, match=r"^a "):
            await call(store)

    with_store(body)


# Concurrency.


def test_of_those_who_create_the_same_record_exactly_one_wins(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        outcomes = await asyncio.gather(
            *(store.commit([Put(b"k", b"%d" % n), Put(b"own%d" % n, b"")], [RevisionIs(b"k", 0)]) for n in range(50)),
            return_exceptions=True,
        )
        winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, RevisionConflict)]
        assert (len(winners), len(losers)) == (1, 49)
        assert all(loser.keys == (b"k",) for loser in losers)
        record = await store.get(b"k")
        assert record is not None
        assert record.value == b"%d" % winners[0]
        assert await store.count(b"o") == 1

    with_store(body)


def test_no_increment_of_a_shared_counter_is_lost(with_store: Runner) -> None:
    async def increment(store: Store) -> None:
        while True:
            record = await store.get(b"counter")
            number, revision = (int(record.value), record.revision) if record else (0, 0)
            try:
                await store.commit([Put(b"counter", b"%d" % (number + 1))], [RevisionIs(b"counter", revision)])
            except RevisionConflict:
                continue
            return

    async def body(store: Store) -> None:
        await asyncio.gather(*(increment(store) for _ in range(60)))
        record = await store.get(b"counter")
        assert record is not None
        assert record.value == b"60"

    with_store(body)


def test_each_concurrent_commit_gets_a_revision_of_its_own(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        revisions = await asyncio.gather(*(store.commit([Put(b"k%d" % number, b"")]) for number in range(200)))
        assert len(set(revisions)) == 200
        assert await store.count(b"k") == 200
        for number, revision in enumerate(revisions):
            record = await store.get(b"k%d" % number)
            assert record is not None
            assert record.revision == revision

    with_store(body)


def test_a_conflict_does_not_harm_the_commits_beside_it(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        outcomes = await asyncio.gather(
            *(store.commit([Put(b"k%d" % n, b"")], [RevisionIs(b"absent", n % 2)]) for n in range(40)),
            return_exceptions=True,
        )
        assert [isinstance(outcome, int) for outcome in outcomes] == [n % 2 == 0 for n in range(40)]
        assert await store.count(b"k") == 20

    with_store(body)


def test_a_read_sees_each_write_that_was_answered_before(with_store: Runner) -> None:
    async def write_and_read(store: Store, number: int) -> None:
        key = b"k%d" % number
        for value in (b"1", b"2", b"3"):
            revision = await store.commit([Put(key, value)])
            record = await store.get(key)
            page = await store.scan(key + b"", None, 1)
            assert record is not None
            assert (record.value, record.revision) == (value, revision)
            assert page.records == (record,)
            assert await store.revision() >= revision

    async def body(store: Store) -> None:
        await asyncio.gather(*(write_and_read(store, 10 + number) for number in range(40)))

    with_store(body)


def test_a_caller_who_goes_away_harms_nobody(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        tasks = [asyncio.create_task(store.commit([Put(b"a%02d" % n, b""), Put(b"b%02d" % n, b"")])) for n in range(60)]
        losers = [asyncio.create_task(store.commit([Put(b"c", b"")], [RevisionIs(b"d", 1)])) for _ in range(4)]
        await asyncio.sleep(0)  # all of them have asked, none has been answered
        for task in [*tasks[::2], *losers[::2]]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, *losers, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes[::2]} == {asyncio.CancelledError}
        assert {type(outcome) for outcome in outcomes[1:60:2]} == {int}
        assert {type(outcome) for outcome in outcomes[61::2]} == {RevisionConflict}
        await store.commit([Put(b"last", b"")])
        a, b = await scanned(store, b"a"), await scanned(store, b"b")
        assert [key[1:] for key in a] == [key[1:] for key in b]
        assert {b"a%02d" % number for number in range(1, 60, 2)} <= set(a)
        assert await store.count(b"a") == len(a)

    with_store(body)


# Watches.


def test_a_watch_gives_what_came_before_and_what_comes(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        one = await store.commit([Put(b"a1", b""), Put(b"b1", b""), Put(b"a0", b"")])
        two = await store.commit([Delete(b"a1"), Delete(b"a9")])
        changes = store.watch(b"a", 0)
        assert await take(changes, 3) == [
            Change(one, b"a1", False),
            Change(one, b"a0", False),
            Change(two, b"a1", True),
        ]
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await store.commit([Put(b"b2", b"")])
        assert not following.done()
        three = await store.commit([Put(b"a2", b"")])
        assert await following == Change(three, b"a2", False)

    with_store(body)


def test_a_watch_starts_after_the_revision_it_names(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        one = await store.commit([Put(b"a", b"")])
        two = await store.commit([Put(b"b", b"")])
        assert await anext(store.watch(b"", one)) == Change(two, b"b", False)

    with_store(body)


def test_all_watchers_see_all_changes_in_the_same_order(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        watches = [asyncio.ensure_future(take(store.watch(b"k", 0), 100)) for _ in range(3)]
        await asyncio.gather(*(store.commit([Put(b"k%d" % number, b"")]) for number in range(100)))
        first, *others = await asyncio.gather(*watches)
        assert all(other == first for other in others)
        assert [change.revision for change in first] == sorted({change.revision for change in first})
        for change in first:
            record = await store.get(change.key)
            assert record is not None
            assert record.revision == change.revision

    with_store(body)


def test_a_commit_that_conflicts_is_no_change(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        with pytest.raises(RevisionConflict):
            await store.commit([Put(b"a", b"")], [RevisionIs(b"a", 7)])
        revision = await store.commit([Put(b"b", b"")])
        assert await anext(store.watch(b"", 0)) == Change(revision, b"b", False)

    with_store(body)


def test_a_revision_that_the_store_has_not_reached_is_refused(with_store: Runner) -> None:
    # The caller remembers another life of the store, before a backup was put back: waiting would be for ever.
    async def body(store: Store) -> None:
        with pytest.raises(Compacted):
            await anext(store.watch(b"", await store.revision() + 1))

    with_store(body)


def test_a_watcher_who_raises_gets_his_own_exception(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b"")])
        changes = store.watch(b"", 0)
        await anext(changes)
        with pytest.raises(KeyError):
            await changes.athrow(KeyError("mine"))

    with_store(body)


# The end.


def test_closing_finishes_what_waits_and_ends_the_watches(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        watched = asyncio.ensure_future(_all(store.watch(b"", 0)))
        commits = [asyncio.ensure_future(store.commit([Put(b"k%d" % number, b"")])) for number in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert len(set(await asyncio.gather(*commits))) == 20
        assert len(await watched) == 20

    with_store(body)


async def _all(changes: AsyncGenerator[Change, None]) -> list[Change]:
    return [change async for change in changes]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda store: store.get(b"k"), id="get"),
        pytest.param(lambda store: store.scan(b"k"), id="scan"),
        pytest.param(lambda store: store.commit([Put(b"k", b"")]), id="commit"),
        pytest.param(lambda store: store.count(b"k"), id="count"),
        pytest.param(lambda store: store.revision(), id="revision"),
        pytest.param(lambda store: anext(store.watch(b"", 0)), id="watch"),
    ],
)
def test_use_after_close_is_our_own_fault(with_store: Runner, call: Callable[[Store], Awaitable[object]]) -> None:
    async def body(store: Store) -> None:
        await store.close()
        with pytest.raises(RuntimeError, match="closed"):
            await call(store)

    with_store(body)


@pytest.mark.parametrize("engine", [pytest.param(engine, id=engine.name) for engine in ENGINES if engine.durable])
def test_what_was_there_is_there_when_it_is_opened_again(engine: Engine, tmp_path: Path) -> None:

    async def body() -> None:
        store = await engine.open(tmp_path)
        kept = await store.commit([Put(b"kept", b"1"), Put(b"gone", b"1")])
        last = await store.commit([Delete(b"gone")])
        await store.close()
        store = await engine.open(tmp_path)
        record = await store.get(b"kept")
        assert record is not None
        assert (record.value, record.revision) == (b"1", kept)
        assert await store.get(b"gone") is None
        assert (await store.count(b"k"), await store.count(b"g")) == (1, 0)
        assert await store.revision() == last
        following = await store.commit([Put(b"new", b"")])
        assert following > last
        assert await anext(store.watch(b"", last)) == Change(following, b"new", False)
        await store.close()

    run(body())


# Summaries.


class Listing(Summary):
    """A summary that anybody can read: the revision, and every record as it was put."""

    key = b"the summary"

    def of(self, records: Iterable[tuple[bytes, bytes]], revision: int) -> bytes:
        return repr((revision, sorted(records))).encode()

    def after(self, before: bytes | None, replacements: Iterable[Replacement], revision: int) -> bytes:
        if before is None:
            raise StoreCorruptError("the summary is gone")
        records = dict(ast.literal_eval(before.decode())[1])
        for replacement in replacements:
            assert records.pop(replacement.key, None) == replacement.before
            if replacement.after is not None:
                records[replacement.key] = replacement.after
        return self.of(records.items(), revision)


async def check_summary(store: Store) -> None:
    record = await store.get(Listing.key)
    assert record is not None
    records = [(one.key, one.value) for one in (await store.scan(b"")).records if one.key != Listing.key]
    assert record.value == Listing().of(records, await store.revision())


async def summarised(store: Store) -> None:
    await store.commit([Put(b"a", b"1"), Put(b"b", b"1")])
    await store.summarise(Listing())
    await check_summary(store)


def test_a_summary_follows_every_commit(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await summarised(store)
        await store.commit([Put(b"a", b"2"), Delete(b"b"), Put(b"c", b"1"), Delete(b"no")])
        await check_summary(store)
        await store.commit([Delete(b"no")])
        await check_summary(store)
        with pytest.raises(RevisionConflict):
            await store.commit([Put(b"a", b"3")], [RevisionIs(b"a", 0)])
        await check_summary(store)

    with_store(body)


def test_a_summary_follows_commits_that_wait_together(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await summarised(store)
        await asyncio.gather(
            *(
                store.commit([Put(b"k%d" % (number % 7), b"%d" % number), Delete(b"k%d" % (number % 3 + 7))])
                for number in range(50)
            )
        )
        await check_summary(store)

    with_store(body)


def test_the_summary_is_reported_to_nobody(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await summarised(store)
        async with contextlib.aclosing(store.watch(b"", await store.revision())) as changes:
            revision = await store.commit([Put(b"z", b"")])
            second = await store.commit([Put(b"a", b"")])
            assert await take(changes, 2) == [
                Change(revision, b"z", deleted=False),
                Change(second, b"a", deleted=False),
            ]

    with_store(body)


def test_a_summary_that_cannot_be_made_refuses_the_commit(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b"1")])
        revision = await store.revision()
        store.keep_summary(Listing())
        with pytest.raises(StoreCorruptError, match="the summary is gone"):
            await store.commit([Put(b"a", b"2")])
        record = await store.get(b"a")
        assert record is not None
        assert (record.value, await store.revision()) == (b"1", revision)
        await store.summarise(Listing())
        await store.commit([Put(b"a", b"2")])
        await check_summary(store)

    with_store(body)


# Snapshots.


def test_a_snapshot_is_of_one_moment(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b"1"), Put(b"b", b"1")])
        async with store.snapshot() as snapshot:
            await store.commit([Put(b"a", b"2"), Delete(b"b"), Put(b"c", b"1")])
            first = await snapshot.scan(b"", None, 1)
            await store.commit([Put(b"b", b"3")])
            rest = await snapshot.scan(b"", first.next_start)
            records = [*first.records, *rest.records]
            assert [(record.key, record.value) for record in records] == [(b"a", b"1"), (b"b", b"1")]
            assert (await snapshot.get(b"c"), await snapshot.count(b"b")) == (None, 1)
            assert snapshot.revision == (await store.revision()) - 2
            assert await snapshot.damaged_parts() == ()
        with pytest.raises(RuntimeError):
            await snapshot.get(b"a")

    with_store(body)


def test_snapshots_stand_beside_each_other(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b"1")])
        async with store.snapshot() as one:
            await store.commit([Put(b"a", b"2")])
            async with store.snapshot() as other:
                await store.commit([Put(b"a", b"3")])
                seen = [(await reading.get(b"a")) for reading in (one, other, store)]
        assert [record.value for record in seen if record] == [b"1", b"2", b"3"]

    with_store(body)


# All records at once.


def test_all_records_are_replaced_at_once(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        await store.commit([Put(b"a", b"1"), Put(b"b", b"1")])
        revision = await store.replace_all([(b"b", b"2"), (b"c", b"2")], Listing(), least_revision=1_000)
        assert revision == 1_000 == await store.revision()
        assert await scanned(store, b"") == [b"b", b"c", Listing.key]
        assert [await store.count(kind) for kind in (b"a", b"b", b"c")] == [0, 1, 1]
        await check_summary(store)
        assert await store.commit([Put(b"a", b"3")]) == 1_001
        await check_summary(store)
        # Once more, where the least revision is behind the store's own.
        assert await store.replace_all([], Listing(), least_revision=5) == 1_002
        assert await scanned(store, b"") == [Listing.key]

    with_store(body)


def test_who_watches_is_told_that_all_was_replaced(with_store: Runner) -> None:
    async def body(store: Store) -> None:
        first = await store.commit([Put(b"a", b"1")])
        await store.replace_all([(b"a", b"2")], Listing())
        with pytest.raises(Compacted):
            await anext(store.watch(b"", first - 1))

    with_store(body)
