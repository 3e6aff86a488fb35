"""The cache: a hot read asks no store, and no read ever sees less than was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.core import Core, in_core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.cache import SecretCache
from secretd.core.kinds import VALUE as VALUE_KIND
from secretd.core.state import SecretState
from secretd.crypto import envelope
from secretd.crypto.keyring import Keyring
from secretd.errors import NotFoundError, StoreFullError, StoreOutcomeUnknownError
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import RevisionConflict
from secretd.store.reading import Page, Record

ID = UUID(int=7)
USAGE = Usage(UsageType.CEPH, "client.admin")
OTHER = Usage(UsageType.CEPH, "client.other")
VALUE = SecretValue(b"correct horse battery staple")


def describe(usage: Usage | None) -> ops.SetXml:
    return ops.SetXml(ID, SecretDocument(Attributes(usage)))


def test_a_hot_read_asks_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(core: Core) -> None:
        await core.call(describe(USAGE))
        await core.call(ops.SetValue(ID, VALUE))
        reads: list[ops.Request[ops.Reply]] = [ops.GetValue(ID), ops.GetXml(ID), ops.LookupByUsage(USAGE)]
        cold = [await core.call(request) for request in reads]
        monkeypatch.setattr(core.store, "get", None)
        monkeypatch.setattr(Keyring, "usage_key", None)
        assert [await core.call(request) for request in reads] == cold

    in_core(tmp_path, test)


def test_a_read_sees_every_change_that_was_answered(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        for number in range(3):
            value = SecretValue(b"value %d" % number)
            await core.call(ops.SetValue(ID, value))
            assert (await core.call(ops.GetValue(ID))).value == value
            await core.call(describe(USAGE if number % 2 else OTHER))
            found = await core.call(ops.LookupByUsage(USAGE if number % 2 else OTHER))
            assert found.secret == ID
            with pytest.raises(NotFoundError):
                await core.call(ops.LookupByUsage(OTHER if number % 2 else USAGE))
            assert (await core.call(ops.GetXml(ID))).digest == found.digest
        await core.call(ops.Delete(ID))
        for request in (ops.GetValue(ID), ops.GetXml(ID), ops.LookupByUsage(OTHER)):
            with pytest.raises(NotFoundError):
                await core.call(request)

    in_core(tmp_path, test)


def test_rotated_and_resealed_secrets_are_read_and_changed_on(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await core.call(describe(USAGE))
        await core.call(ops.SetValue(ID, VALUE))
        for _ in range(2):
            assert (await core.call(ops.GetValue(ID))).value == VALUE
            await core.call(storerequests.SealRotate())
            # Read again before it is sealed anew, and again after the old key is gone.
            assert (await core.call(ops.GetValue(ID))).value == VALUE
            while (await core.call(storerequests.SealStatus())).resealing:
                await core.store.scan(VALUE_KIND)
            await core.call(storerequests.SealRetire())
            assert (await core.call(ops.GetValue(ID))).value == VALUE
            assert (await core.call(ops.LookupByUsage(USAGE))).secret == ID
            await core.call(ops.SetValue(ID, VALUE))

    in_core(tmp_path, test)


def test_a_value_is_kept_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []

    def keep(_cache: SecretCache, _secret: UUID, record: Record) -> None:
        kept.append(record.value)

    monkeypatch.setattr(SecretCache, "keep_value", keep)

    async def test(core: Core) -> None:
        await core.call(ops.SetValue(ID, VALUE))
        await core.call(ops.GetValue(ID))

    in_core(tmp_path, test)
    assert len(kept) == 1
    assert VALUE.reveal() not in kept[0]


def test_a_second_list_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(core: Core) -> None:
        for number in range(5):
            await core.call(ops.SetValue(UUID(int=number), VALUE))
        # Sealed anew, so that nothing is kept of what was just made.
        await core.call(storerequests.SealRotate())
        while (await core.call(storerequests.SealStatus())).resealing:
            await core.store.scan(VALUE_KIND)
        first = await core.call(ops.List())
        assert len(first.entries) == 5
        monkeypatch.setattr(envelope, "open_record", None)
        assert await core.call(ops.List()) == first

    in_core(tmp_path, test)


def test_a_list_keeps_nothing_that_was_changed_while_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(core: Core) -> None:
        # Not all can be kept, so that the list has to read.
        monkeypatch.setattr(limits, "CACHE_SECRETS", 1)
        await core.call(describe(USAGE))
        await core.call(ops.SetValue(UUID(int=8), VALUE))
        scan = core.store.scan

        async def overtaken(*arguments: Any) -> Page:
            page = await scan(*arguments)
            monkeypatch.setattr(core.store, "scan", scan)
            await core.call(describe(OTHER))
            # As if others had been read meanwhile, and it had had to go.
            monkeypatch.setattr(limits, "CACHE_SECRETS", 0)
            await core.call(ops.SetValue(UUID(int=9), VALUE))
            monkeypatch.setattr(limits, "CACHE_SECRETS", 2)
            return page

        monkeypatch.setattr(core.store, "scan", overtaken)
        await core.call(ops.List())
        assert (await core.call(ops.GetXml(ID))).document.attributes.usage == OTHER

    in_core(tmp_path, test)


def test_a_list_takes_the_place_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHE_SECRETS", 2)

    def test(cache: SecretCache) -> None:
        for number in (1, 2, 3):
            cache.keep_if_room(state_of(number))
        assert [cache.state(UUID(int=number)) is not None for number in (1, 2, 3)] == [True, True, False]
        newer = SecretState(UUID(int=1), Attributes(), 2, 2)
        cache.keep_state(newer)
        cache.keep_if_room(state_of(1))
        assert cache.state(UUID(int=1)) is newer

    with_cache(tmp_path, test)


def with_cache(root: Path, test: Callable[[SecretCache], None]) -> None:
    async def run(core: Core) -> None:
        test(SecretCache(core.seal))

    in_core(root, run)


def state_of(number: int) -> SecretState:
    return SecretState(UUID(int=number), Attributes(), 1, 1)


def usage_of(number: int) -> Usage:
    return Usage(UsageType.CEPH, str(number))


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHE_SECRETS", 2)
    monkeypatch.setattr(limits, "CACHE_VALUE_BYTES", 20)

    def test(cache: SecretCache) -> None:
        for number in (1, 2, 3):
            cache.keep_state(state_of(number))
            cache.keep_value(UUID(int=number), Record(b"key", bytes(10), 1))
            cache.keep_usage(usage_of(number), UUID(int=number))
            # What is read is not the oldest any more.
            assert cache.state(UUID(int=1)) is not None
            assert cache.value(UUID(int=1)) is not None
        assert [cache.state(UUID(int=number)) is not None for number in (1, 2, 3)] == [True, False, True]
        assert [cache.value(UUID(int=number)) is not None for number in (1, 2, 3)] == [True, False, True]
        assert [cache.usage(usage_of(number)) is not None for number in (1, 2, 3)] == [False, True, True]

    with_cache(tmp_path, test)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(RevisionConflict(()), True, id="conflict"),
        pytest.param(StoreFullError("full"), True, id="surely-not-applied"),
        pytest.param(StoreOutcomeUnknownError("perhaps"), False, id="perhaps-applied"),
        pytest.param(asyncio.CancelledError(), False, id="cancelled"),
    ],
)
def test_a_secret_whose_change_may_still_come_is_not_kept(tmp_path: Path, error: BaseException, kept: bool) -> None:
    def keep(cache: SecretCache) -> bool:
        cache.keep_state(state_of(7))
        cache.keep_value(ID, Record(b"key", bytes(10), 1))
        assert (cache.state(ID) is None) == (cache.value(ID) is None)
        return cache.state(ID) is not None

    def fail(cache: SecretCache, error: BaseException) -> None:
        with cache.change(ID):
            assert not keep(cache)
            raise error

    def change(cache: SecretCache, error: BaseException) -> None:
        with pytest.raises(type(error)):
            fail(cache, error)

    def test(cache: SecretCache) -> None:
        assert keep(cache)
        change(cache, error)
        assert keep(cache) == kept
        # A failure that is known says nothing of the change before it.
        change(cache, RevisionConflict(()))
        assert keep(cache) == kept
        with cache.change(ID):
            pass
        assert cache.state(ID) is None
        assert keep(cache)

    with_cache(tmp_path, test)
