"""Pages of secrets and their number: over both homes, in order, filtered and bounded."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.core import Core, Told, in_core, open_core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core import listing
from secretd.core.access import EVERYTHING, AnyTarget, Policy, Target
from secretd.core.listing import places_of
from secretd.core.state import Home, SecretState
from secretd.errors import BusyError
from secretd.model import Attributes, Caller, Permission, SecretDocument, SecretValue, Usage, UsageType

COUNTS = [
    ops.Count(ephemeral, private) for ephemeral, private in itertools.product((None, False, True), (None, False, True))
]
"""All that can be counted."""


async def define(core: Core, number: int, **attributes: object) -> UUID:
    secret = UUID(int=number)
    document = SecretDocument(Attributes(**attributes))  # type: ignore[arg-type]  # the tests' own names
    await core.call(ops.SetXml(secret, document))
    return secret


async def all_pages(core: Core, request: ops.List) -> list[ops.Entry]:
    entries: list[ops.Entry] = []
    marker = request.marker
    while True:
        page = await core.call(ops.List(request.limit, marker, request.ephemeral, request.private, request.usage_type))
        entries += page.entries
        assert len(page.entries) <= request.limit
        assert page.truncated == (page.next_marker is not None)
        if not page.truncated:
            return entries
        marker = page.next_marker


def test_an_empty_store(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        assert await core.call(ops.List()) == ops.Listed((), truncated=False)

    in_core(tmp_path, test)


def test_an_entry_says_all_but_the_value(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        usage = Usage(UsageType.TLS, "web")
        secret = await define(core, 7, usage=usage, private=True)
        changed = await core.call(ops.SetValue(secret, SecretValue(b"x")))
        (entry,) = (await core.call(ops.List())).entries
        assert entry == ops.Entry(secret, changed.digest, ephemeral=False, private=True, has_value=True, usage=usage)

    in_core(tmp_path, test)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 12, 13, 1000])
def test_pages_join_to_all_secrets_of_both_homes_in_order(tmp_path: Path, limit: int) -> None:
    async def test(core: Core) -> None:
        ids = [await define(core, number, ephemeral=number % 3 == 0) for number in range(1, 13)]
        assert [entry.secret for entry in await all_pages(core, ops.List(limit))] == ids

    in_core(tmp_path, test)


@pytest.mark.parametrize(
    ("request_made", "numbers"),
    [
        pytest.param(ops.List(ephemeral=True), [2, 4, 6, 8], id="ephemeral"),
        pytest.param(ops.List(ephemeral=False), [1, 3, 5, 7], id="not-ephemeral"),
        pytest.param(ops.List(private=True), [3, 4, 7, 8], id="private"),
        pytest.param(ops.List(private=False), [1, 2, 5, 6], id="not-private"),
        pytest.param(ops.List(ephemeral=True, private=True), [4, 8], id="both"),
        pytest.param(ops.List(usage_type=UsageType.CEPH), [5, 6, 7, 8], id="ceph"),
        pytest.param(ops.List(usage_type=UsageType.NONE), [1, 2, 3, 4], id="no-usage"),
        pytest.param(ops.List(usage_type=UsageType.TLS), [], id="no-match"),
        pytest.param(ops.List(1, private=True), [3, 4, 7, 8], id="paged-and-filtered"),
    ],
)
def test_filters(tmp_path: Path, request_made: ops.List, numbers: list[int]) -> None:
    async def test(core: Core) -> None:
        for number in range(1, 9):
            usage = Usage(UsageType.CEPH, str(number)) if number > 4 else None
            await define(core, number, ephemeral=number % 2 == 0, private=number % 4 in (3, 0), usage=usage)
        assert [entry.secret.int for entry in await all_pages(core, request_made)] == numbers

    in_core(tmp_path, test)


def test_a_page_ends_before_its_message_is_too_long(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        long = "&" * (limits.USAGE_ID_BYTES - 2)
        for number in range(1, 31):
            await define(core, number, usage=Usage(UsageType.VOLUME, f"{long}{number:02}"))
        page = await core.call(ops.List())
        assert page.truncated
        assert 1 <= len(page.entries) < 30
        assert len(await all_pages(core, ops.List())) == 30

    in_core(tmp_path, test)


def test_a_page_examines_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_EXAMINED", 10)

    async def test(core: Core) -> None:
        for number in range(1, 26):
            await define(core, number, private=number == 25)
        first = await core.call(ops.List(private=True))
        assert (first.entries, first.next_marker) == ((), places_of(core.seal).hide(UUID(int=11)))
        assert [entry.secret.int for entry in await all_pages(core, ops.List(private=True))] == [25]

    in_core(tmp_path, test)


@settings(max_examples=25)
@given(
    homes=st.dictionaries(st.integers(1, 40), st.booleans(), max_size=20),
    limit=st.integers(1, 8),
    start=st.none() | st.integers(0, 41),
)
def test_pages_equal_a_sorted_list(
    tmp_path_factory: pytest.TempPathFactory, homes: dict[int, bool], limit: int, start: int | None
) -> None:
    async def test(core: Core) -> None:
        for number, ephemeral in homes.items():
            await define(core, number, ephemeral=ephemeral)
        marker = places_of(core.seal).hide(UUID(int=start)) if start is not None else None
        entries = await all_pages(core, ops.List(limit, marker))
        assert [entry.secret.int for entry in entries] == sorted(n for n in homes if n >= (start or 0))
        assert all(entry.ephemeral == homes[entry.secret.int] for entry in entries)

    in_core(tmp_path_factory.mktemp("core"), test)


def hiding_multiples_of_three(_caller: Caller, permission: Permission, target: AnyTarget) -> bool:
    """Grant everything, but getattr on some."""
    if target is None or permission is not Permission.GETATTR:
        return True
    return isinstance(target, Target) and target.secret is not None and target.secret.int % 3 != 0


def granting_each(_caller: Caller, _permission: Permission, target: AnyTarget) -> bool:
    """Grant everything on each secret, but not once for all that there may be."""
    return target is not EVERYTHING


async def define_some(core: Core) -> None:
    """Make secrets of which each third is ephemeral and some of either kind are private."""
    for number in range(1, 13):
        await define(core, number, ephemeral=number % 3 == 1, private=number % 4 == 0)


async def length(core: Core, count: ops.Count) -> int:
    return len(await all_pages(core, ops.List(ephemeral=count.ephemeral, private=count.private)))


def walk_in_steps(monkeypatch: pytest.MonkeyPatch, most: int) -> list[UUID]:
    """Have what walks through all secrets take so many at a time; give where its steps begin, as it makes them."""
    starts: list[UUID] = []
    really_merged = listing._merged

    async def merged(
        homes: tuple[Home, ...], start: UUID, _most: int
    ) -> tuple[Sequence[SecretState], UUID | None, int]:
        starts.append(start)
        return await really_merged(homes, start, most)

    monkeypatch.setattr(listing, "_merged", merged)
    return starts


def noted_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note, from now on, how many secrets each step of a list reads at most."""
    steps: list[int] = []
    really_merged = listing._merged

    async def merged(homes: tuple[Home, ...], start: UUID, most: int) -> tuple[Sequence[SecretState], UUID | None, int]:
        steps.append(most)
        return await really_merged(homes, start, most)

    monkeypatch.setattr(listing, "_merged", merged)
    return steps


async def turns_meanwhile(work: Coroutine[Any, Any, object]) -> int:
    """Count the turns that others have until something is done."""
    turns = 0
    doing = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    while not doing.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


class TestWhoMayNotSeeAll:
    """Of what he may not see a list tells him nothing, and it takes nobody's time but his own."""

    def test_no_marker_is_an_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "PAGE_EXAMINED", 4)

        async def test(core: Core) -> None:
            ids = {await define(core, number << 100) for number in range(1, 31)}
            markers: list[UUID | None] = [None, *(UUID(int=number << 100) for number in range(1, 31))]
            seen: set[UUID] = set()
            for marker in markers:
                page = await core.call(ops.List(2, marker))
                if page.next_marker is not None:
                    seen.add(page.next_marker)
            assert seen
            assert not seen & ids
            assert [entry.secret.int >> 100 for entry in await all_pages(core, ops.List(2))] == [
                number for number in range(1, 31) if (number << 100) % 3
            ]

        in_core(tmp_path, test, hiding_multiples_of_three)

    def test_a_marker_outlasts_the_daemon_and_its_keys(self, tmp_path: Path) -> None:
        pages: list[ops.Listed] = []

        async def test(core: Core) -> None:
            if not pages:
                for number in range(1, 10):
                    await define(core, number)
                pages.append(await core.call(ops.List(2)))
                await core.call(storerequests.SealRotate())
            rest = await core.call(ops.List(2, pages[0].next_marker))
            assert [entry.secret.int for entry in rest.entries] == [4, 5]

        for _ in range(2):
            in_core(tmp_path, test, hiding_multiples_of_three)

    def test_behind_a_full_page_one_secret_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test(core: Core) -> None:
            for number in range(1, 13):
                await define(core, number, ephemeral=True)
            steps = noted_steps(monkeypatch)
            monkeypatch.setattr(limits, "SCAN_RECORDS", 4)
            assert (await core.call(ops.List(8))).truncated
            assert steps == [4, 4, 1]

        in_core(tmp_path, test)

    @pytest.mark.parametrize(
        ("request_made", "most"),
        [
            pytest.param(ops.List(1), 6, id="one"),
            pytest.param(ops.List(), 1, id="many"),
            pytest.param(ops.List(1, private=False), 1, id="filtered"),
        ],
    )
    def test_a_page_for_few_is_made_in_few_steps(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_made: ops.List, most: int
    ) -> None:
        def hiding_all_but_the_last(_caller: Caller, _permission: Permission, target: AnyTarget) -> bool:
            return target is None or (isinstance(target, Target) and target.secret == UUID(int=400))

        async def define_many(core: Core) -> None:
            for number in range(1, 401):
                await define(core, number, ephemeral=True)

        async def test(core: Core) -> None:
            async with open_core(tmp_path / "makes") as makes:
                await define_many(makes)
                core.service._ephemeral._kept = makes.service._ephemeral._kept
                core.service._ephemeral._ids = makes.service._ephemeral._ids
                steps = noted_steps(monkeypatch)
                (found,) = (await core.call(request_made)).entries
                assert found.secret.int == 400
                assert len(steps) <= most

        in_core(tmp_path, test, hiding_all_but_the_last)

    @pytest.mark.parametrize("request_made", [ops.List(), ops.List(1), ops.Count(), ops.Count(private=False)], ids=repr)
    def test_others_have_their_turn_at_each_secret_that_takes_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_made: ops.Request[ops.Reply]
    ) -> None:
        async def test(core: Core) -> None:
            for number in range(3, 31, 3):
                await define(core, number, ephemeral=True)
            monkeypatch.setattr(limits, "TURN_MILLISECONDS", -1)
            assert await turns_meanwhile(core.call(request_made)) >= 10

        in_core(tmp_path, test, hiding_multiples_of_three)

    @pytest.mark.parametrize("request_made", [ops.List(), ops.Count()], ids=["list", "count"])
    def test_nothing_goes_on_for_who_is_gone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_made: ops.Request[ops.Reply]
    ) -> None:
        judged: list[UUID | None] = []
        listener = Told()

        def policy(_caller: Caller, permission: Permission, target: AnyTarget) -> bool:
            if permission is Permission.GETATTR and isinstance(target, Target):
                judged.append(target.secret)
                listener.gone = len(judged) >= 3
            return target is not EVERYTHING

        async def test(core: Core) -> None:
            for number in range(1, 11):
                await define(core, number, ephemeral=True)
            judged.clear()
            monkeypatch.setattr(limits, "TURN_MILLISECONDS", -1)
            with pytest.raises(BusyError):
                await core.call(request_made, listener=listener)
            assert len(judged) == 3

        in_core(tmp_path, test, policy)


class TestCount:
    @pytest.mark.parametrize("policy", [None, hiding_multiples_of_three], ids=["all", "hiding"])
    @pytest.mark.parametrize("count", COUNTS, ids=lambda count: f"{count.ephemeral}-{count.private}")
    def test_it_is_the_length_of_the_list(self, tmp_path: Path, count: ops.Count, policy: Policy | None) -> None:
        async def test(core: Core) -> None:
            assert await core.call(count) == ops.Counted(0)
            await define_some(core)
            counted = await core.call(count)
            assert counted.secrets == await length(core, count)
            assert 0 < counted.secrets <= 12

        in_core(tmp_path, test, policy)

    def test_it_follows_changes(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            secret = await define(core, 1)
            assert await core.call(ops.Count(ephemeral=False)) == ops.Counted(1)
            await define(core, 1, ephemeral=True)
            assert await core.call(ops.Count(ephemeral=False)) == ops.Counted(0)
            assert await core.call(ops.Count(ephemeral=True)) == ops.Counted(1)
            await core.call(ops.Delete(secret))
            assert await core.call(ops.Count()) == ops.Counted(0)

        in_core(tmp_path, test)

    def test_it_is_a_kept_number_for_who_may_see_everything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test(core: Core) -> None:
            await define_some(core)
            with monkeypatch.context() as patch:
                patch.setattr(listing, "_merged", None)
                assert await core.call(ops.Count()) == ops.Counted(12)
                assert await core.call(ops.Count(ephemeral=True)) == ops.Counted(4)
                assert await core.call(ops.Count(ephemeral=False)) == ops.Counted(8)

        in_core(tmp_path, test)

    @pytest.mark.parametrize(
        ("request_made", "policy", "number"),
        [
            pytest.param(ops.Count(private=False), None, 9, id="filtered"),
            pytest.param(ops.Count(), granting_each, 12, id="perhaps-not-everything"),
            pytest.param(ops.Count(), hiding_multiples_of_three, 8, id="not-everything"),
        ],
    )
    def test_it_walks_where_the_kept_number_will_not_do(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        request_made: ops.Count,
        policy: Policy | None,
        number: int,
    ) -> None:
        walked = walk_in_steps(monkeypatch, 5)

        async def test(core: Core) -> None:
            await define_some(core)
            assert await core.call(request_made) == ops.Counted(number)
            assert [start.int for start in walked] == [0, 6, 11]

        in_core(tmp_path, test, policy)

    def test_others_have_their_turn_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test(core: Core) -> None:
            for number in range(1, 4):
                await define(core, number, ephemeral=True)
            assert await turns_meanwhile(core.call(ops.Count(ephemeral=True, private=False))) == 0
            monkeypatch.setattr(limits, "TURN_MILLISECONDS", -1)
            assert await turns_meanwhile(core.call(ops.Count(ephemeral=True, private=False))) == 3

        in_core(tmp_path, test)
