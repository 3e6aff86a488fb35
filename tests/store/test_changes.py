"""The backlog of changes: bounded, and never silent about what it has dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from helpers.asynchronous import run
from secretd import limits
from secretd.store.base import Change, Compacted
from secretd.store.changes import ChangeLog


@pytest.fixture
def backlog(monkeypatch: pytest.MonkeyPatch) -> int:
    small = limits.Limit(8, "changes", source="this test", seen="never")
    monkeypatch.setattr(limits, "WATCH_BACKLOG", small)
    return small


def change(revision: int, key: bytes = b"k") -> Change:
    return Change(revision, key, deleted=False)


async def revisions(changes: AsyncGenerator[Change, None], count: int) -> list[int]:
    return [(await anext(changes)).revision for _ in range(count)]


def test_a_log_knows_nothing_before_the_revision_it_starts_at() -> None:
    async def body() -> None:
        log = ChangeLog(41)
        log.publish(42, (change(42),))
        with pytest.raises(Compacted) as caught:
            await anext(log.watch(b"", 40))
        assert caught.value.oldest == 41
        assert await revisions(log.watch(b"", 41), 1) == [42]

    run(body())


@pytest.mark.parametrize(
    ("changes_each", "oldest"),
    [
        pytest.param(0, 12, id="commits-without-changes-count-too"),
        pytest.param(1, 12, id="one-change-each"),
        pytest.param(4, 18, id="four-changes-each"),
        pytest.param(9, 20, id="a-commit-larger-than-the-backlog"),
    ],
)
@pytest.mark.usefixtures("backlog")
def test_only_the_latest_changes_are_kept(changes_each: int, oldest: int) -> None:
    async def body() -> None:
        log = ChangeLog(0)
        for revision in range(1, 21):
            log.publish(revision, (change(revision),) * changes_each)
        with pytest.raises(Compacted) as caught:
            await anext(log.watch(b"", oldest - 1))
        assert caught.value.oldest == oldest
        kept = (20 - oldest) * changes_each
        assert len(await revisions(log.watch(b"", oldest), kept)) == kept

    run(body())


def test_a_watcher_who_falls_behind_is_told(backlog: int) -> None:
    async def body() -> None:
        log = ChangeLog(0)
        log.publish(1, (change(1), change(1)))
        watch = log.watch(b"", 0)
        assert await revisions(watch, 1) == [1]
        for revision in range(2, backlog + 3):
            log.publish(revision, (change(revision),))
        # The rest of a commit that has begun is still given: it is not half a commit that gets lost.
        assert await revisions(watch, 1) == [1]
        with pytest.raises(Compacted):
            await anext(watch)

    run(body())


def test_a_gap_in_the_revisions_is_told_to_everyone() -> None:
    async def body() -> None:
        log = ChangeLog(0)
        log.publish(1, (change(1),))
        watch = log.watch(b"", 1)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        log.publish(3, (change(3),))
        with pytest.raises(Compacted):
            await waiting
        assert await revisions(log.watch(b"", 2), 1) == [3]

    run(body())


def test_changes_of_other_prefixes_wake_nobody_for_long() -> None:
    async def body() -> None:
        log = ChangeLog(0)
        waiting = asyncio.ensure_future(anext(log.watch(b"a", 0)))
        for revision in range(1, 4):
            log.publish(revision, (change(revision, b"b"),))
            await asyncio.sleep(0)
        assert not waiting.done()
        log.publish(4, (change(4, b"a"),))
        assert (await waiting).revision == 4

    run(body())


def test_the_end_comes_behind_the_last_change() -> None:
    async def body() -> None:
        log = ChangeLog(0)
        log.publish(1, (change(1),))
        log.close()
        assert [item.revision async for item in log.watch(b"", 0)] == [1]

    run(body())
