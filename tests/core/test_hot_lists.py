"""Lists from memory: what they give is what the store has, whatever happened to it, and while it happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.core import OWNER, Core, in_core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core import listing
from secretd.core.access import Access, AnyTarget, Target
from secretd.core.keptpages import KeptPages
from secretd.core.kinds import ATTRIBUTES
from secretd.core.listing import Listing, places_of
from secretd.core.persistent import PersistentSecrets
from secretd.core.state import Home
from secretd.errors import NotFoundError
from secretd.model import Attributes, Caller, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Put

LISTS = (ops.List(), ops.List(limit=2), ops.List(limit=4), ops.List(private=True))
HOMES = (None, False, True)

BROKEN = UUID(int=3)


def define(number: int, *, ephemeral: bool = False) -> ops.SetXml:
    usage = Usage(UsageType.CEPH, f"usage {number}") if number % 2 else None
    return ops.SetXml(UUID(int=number), SecretDocument(Attributes(usage, ephemeral=ephemeral, private=number % 3 == 0)))


STEPS: dict[str, Callable[[int], ops.Request[ops.Reply]]] = {
    "define": define,
    "move": lambda number: define(number, ephemeral=True),
    "set-value": lambda number: ops.SetValue(UUID(int=number), SecretValue(b"value")),
    "delete": lambda number: ops.Delete(UUID(int=number)),
    "get-xml": lambda number: ops.GetXml(UUID(int=number)),
    "list": lambda number: LISTS[number % len(LISTS)],
    "seal-rotate": lambda _: storerequests.SealRotate(),
}


async def stored(core: Core, request: ops.List) -> ops.Listed:
    """List what the store and the memory have, as one does who remembers nothing."""
    persistent = PersistentSecrets(core.store, core.seal, core.service._quotas)
    access = Access(lambda *_: True)
    return await Listing(access, core.seal, persistent, core.service._ephemeral).list(OWNER, request)


async def check_lists(core: Core) -> None:
    third = places_of(core.seal).hide(UUID(int=3))
    for request in (*LISTS, ops.List(limit=2, marker=third)):
        for ephemeral in HOMES:
            asked = ops.List(request.limit, request.marker, ephemeral, request.private)
            assert await core.call(asked) == await stored(core, asked)


async def try_to(core: Core, step: str, number: int) -> None:
    with contextlib.suppress(NotFoundError):
        await core.call(STEPS[step](number))


@settings(max_examples=40)
@given(
    rounds=st.lists(
        st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 6)), min_size=1, max_size=6), max_size=8
    ),
    most=st.sampled_from([3, 1_000]),
)
def test_a_list_is_what_the_store_has(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, int]]], most: int
) -> None:
    async def test(core: Core) -> None:
        for steps in rounds:
            # At once: they overtake each other wherever they wait.
            await asyncio.gather(*(try_to(core, *step) for step in steps))
            await check_lists(core)
            await check_lists(core)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CACHE_SECRETS", most)
        in_core(tmp_path_factory.mktemp("core"), test)


def test_once_all_were_read_a_list_asks_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(core: Core) -> None:
        for number in range(1, 6):
            await core.call(define(number, ephemeral=number == 4))
        first = [await core.call(request) for request in LISTS]
        monkeypatch.setattr(core.store, "scan", None)
        monkeypatch.setattr(core.store, "get", None)
        assert [await core.call(request) for request in LISTS] == first

    in_core(tmp_path, test)


def test_a_secret_that_does_not_open_is_told_each_time(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        for number in (1, 2, 4):
            await core.call(define(number))
        await check_lists(core)
        await core.store.commit([Put(ATTRIBUTES + BROKEN.bytes, b"not sealed by anybody")])
        for _ in range(2):
            listed = await core.call(ops.List())
            assert ([entry.secret.int for entry in listed.entries], listed.damaged) == ([1, 2, 4], 1)
        await check_lists(core)

    in_core(tmp_path, test)


def test_a_secret_that_comes_while_a_list_is_made_is_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(core: Core) -> None:
        await core.call(define(1))
        assert len((await core.call(ops.List())).entries) == 1
        commit = core.store.commit
        meanwhile = []

        async def overtaken(*arguments: object) -> int:
            revision = await commit(*arguments)  # type: ignore[arg-type]  # passed on
            # It is on the disk, and nobody was answered.
            meanwhile.append(len((await core.call(ops.List())).entries))
            return revision

        monkeypatch.setattr(core.store, "commit", overtaken)
        for change, before, after in ((define(2), 2, 2), (ops.Delete(UUID(int=1)), 1, 1), (define(2), 1, 1)):
            await core.call(change)
            assert meanwhile.pop() == before
            assert len((await core.call(ops.List())).entries) == after
            await check_lists(core)

    in_core(tmp_path, test)


class TestKeptPages:
    """Whole pages, for as long as nothing changes."""

    @pytest.mark.parametrize("step", ["define", "move", "set-value", "delete"])
    @pytest.mark.parametrize("number", [1, 2], ids=["persistent", "ephemeral"])
    def test_the_same_page_is_given_until_something_changes(self, tmp_path: Path, step: str, number: int) -> None:
        async def test(core: Core) -> None:
            for request in (define(1), define(2, ephemeral=True)):
                await core.call(request)
            first = await core.call(ops.List())
            assert await core.call(ops.List()) is first
            await core.call(STEPS["get-xml"](number))
            assert await core.call(ops.List()) is first
            await core.call(STEPS[step](number))
            assert await core.call(ops.List()) == await stored(core, ops.List())
            assert await core.call(ops.List()) is not first

        in_core(tmp_path, test)

    @pytest.mark.parametrize("overtaking", [define(5), define(6, ephemeral=True), define(1, ephemeral=True)])
    def test_none_is_kept_that_a_change_overtook(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overtaking: ops.SetXml
    ) -> None:
        really_merged = listing._merged

        async def test(core: Core) -> None:
            for request in (define(1), define(2, ephemeral=True)):
                await core.call(request)

            async def merged(homes: tuple[Home, ...], start: UUID, most: int) -> Any:
                found = await really_merged(homes, start, most)
                monkeypatch.setattr(listing, "_merged", really_merged)
                await core.call(overtaking)
                return found

            monkeypatch.setattr(listing, "_merged", merged)
            await core.call(ops.List())
            await check_lists(core)

        in_core(tmp_path, test)

    def test_none_is_shown_to_who_may_not_see_all(self, tmp_path: Path) -> None:
        seen: set[UUID | None] = set()

        def policy(_caller: Caller, _permission: Permission, target: AnyTarget) -> bool:
            return not seen or target is None or (isinstance(target, Target) and target.secret in seen)

        async def test(core: Core) -> None:
            for number in (1, 2):
                await core.call(define(number))
            all_of_them = await core.call(ops.List())
            seen.add(UUID(int=2))
            assert [entry.secret.int for entry in (await core.call(ops.List())).entries] == [2]
            seen.clear()
            assert await core.call(ops.List()) is all_of_them

        in_core(tmp_path, test, policy)

    def test_who_sees_all_is_given_it_whatever_else_he_may(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(define(1))
            reader = replace(OWNER, read_only=True)
            first = await core.call(ops.List(), reader)
            assert await core.call(ops.List()) is first
            await core.store.commit([Put(ATTRIBUTES + BROKEN.bytes, b"not sealed by anybody")])
            for _ in range(2):
                assert (await core.call(ops.List())).damaged == 1
                assert (await core.call(ops.List(), reader)).damaged is None

        in_core(tmp_path, test)

    def test_a_rotation_leaves_no_page_of_the_keyring_before(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(define(2, ephemeral=True))
            first = await core.call(ops.List())
            await core.call(storerequests.SealRotate())
            assert await core.call(ops.List()) == first
            assert await core.call(ops.List()) is not first

        in_core(tmp_path, test)

    def test_they_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "KEPT_PAGES", 2)
        kept, page = KeptPages(), ops.Listed((), truncated=False)
        for limit in (1, 2, 3):
            kept.keep("now", ops.List(limit), page)
        assert [kept.get("now", ops.List(limit)) is page for limit in (1, 2, 3)] == [False, True, True]
        assert kept.get("later", ops.List(3)) is None
        kept.keep("later", ops.List(1), page)
        assert kept.get("now", ops.List(3)) is None
