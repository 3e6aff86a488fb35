"""Pages of secrets: over both homes, in order, filtered and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.core import Core, open_core
from secretd import limits
from secretd import operations as ops
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_core(root) as core:
            await test(core)

    asyncio.run(run())


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
        assert (first.entries, first.next_marker) == ((), UUID(int=11))
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
        marker = UUID(int=start) if start is not None else None
        entries = await all_pages(core, ops.List(limit, marker))
        assert [entry.secret.int for entry in entries] == sorted(n for n in homes if n >= (start or 0))
        assert all(entry.ephemeral == homes[entry.secret.int] for entry in entries)

    in_core(tmp_path_factory.mktemp("core"), test)
