"""Quotas: what each uid may have, through the whole core: kept numbers that follow every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.asynchronous import run
from helpers.core import make_seal
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.access import Access
from secretd.core.grantstore import Grants
from secretd.core.kinds import ATTRIBUTES, OWNER, USED, VALUE
from secretd.core.quota import DEFAULT_QUOTA, Amount
from secretd.core.service import Service
from secretd.crypto import envelope
from secretd.errors import (
    ConflictError,
    QuotaError,
    SecretdError,
    StoreCorruptError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.model import Attributes, Caller, MemoryStatus, Mode, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Delete, Put, Store
from secretd.store.reading import Record
from secretd.store.registry import open_store

ROOT = Caller(0, 0, 1)
ALICE = Caller(1000, 1000, 1)
BOB = Caller(1001, 1001, 1)
VALUE_100 = SecretValue(b"x" * 100)
LONG = SecretValue(b"x" * 10_000)
FEW = Amount(3, 1 << 20)


class Core:
    """A core that serves everybody, under a quota."""

    def __init__(self, store: Store, service: Service, seal: Any) -> None:
        self.store = store
        self.seal = seal
        self._service = service

    async def call(self, request: ops.Request[ops.ReplyT], caller: Caller = ALICE) -> ops.ReplyT:
        return await self._service.call(caller, request)

    async def used(self, caller: Caller = ALICE) -> Amount:
        """Read the kept number, as it stands in the store."""
        record = await self.store.get(USED + caller.uid.to_bytes(4, "big"))
        if record is None:
            return Amount()
        plain = envelope.open_record(self.seal.keyrings, record.key, record.value).plaintext
        return Amount(int.from_bytes(plain[:8], "big"), int.from_bytes(plain[8:], "big"))

    async def counted(self) -> Amount:
        """Count what stands in the store, as the kept number never is."""
        secrets = (await self.store.scan(ATTRIBUTES, ATTRIBUTES, 1_000)).records
        values = (await self.store.scan(VALUE, VALUE, 1_000)).records
        return Amount(len(secrets), sum(len(record.value) for record in (*secrets, *values)))


@asynccontextmanager
async def open_core(root: Path, most: Amount = FEW) -> AsyncIterator[Core]:
    store = await open_store(f"sqlite://{root / 'store'}")
    try:
        seal = make_seal(root, store)
        await seal.open()
        access, grants = Access(lambda *_: True), Grants(store, seal)
        service = Service(Mode.SYSTEM, access, seal, store, grants, MemoryStatus(), most)
        await service.unsealed()
        yield Core(store, service, seal)
        await service.stop()
    finally:
        await store.close()


def attributes(number: int, *, ephemeral: bool = False) -> Attributes:
    return Attributes(Usage(UsageType.CEPH, f"pool-{number}"), "d" * number, ephemeral=ephemeral)


def test_the_default_is_the_one_that_the_limits_name() -> None:
    assert Amount(10_000, 64 << 20) == DEFAULT_QUOTA


@pytest.mark.parametrize("ephemeral", [False, True], ids=["persistent", "ephemeral"])
def test_so_many_secrets_and_no_more(tmp_path: Path, ephemeral: bool) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            made = [await core.call(ops.AllocateId(ephemeral=ephemeral)) for _ in range(FEW.secrets)]
            with pytest.raises(QuotaError, match="3 secrets"):
                await core.call(ops.AllocateId())
            with pytest.raises(QuotaError, match="3 secrets"):
                await core.call(ops.AllocateId(ephemeral=True))
            await core.call(ops.AllocateId(), BOB)
            await core.call(ops.Delete(made[0].secret))
            await core.call(ops.AllocateId())

    run(scenario())


@pytest.mark.parametrize("ephemeral", [False, True], ids=["persistent", "ephemeral"])
def test_so_many_bytes_and_no_more(tmp_path: Path, ephemeral: bool) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path, Amount(100, 5_000)) as core:
            secret = (await core.call(ops.AllocateId(ephemeral=ephemeral))).secret
            await core.call(ops.SetValue(secret, VALUE_100))
            with pytest.raises(QuotaError, match="5,000 bytes"):
                await core.call(ops.SetValue(secret, LONG))
            assert (await core.call(ops.GetValue(secret))).value == VALUE_100

    run(scenario())


def test_root_has_no_quota_and_nothing_is_written_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path, Amount(0, 0)) as core:
            for ephemeral in (False, True):
                secret = (await core.call(ops.AllocateId(ephemeral=ephemeral), ROOT)).secret
                await core.call(ops.SetValue(secret, LONG), ROOT)
                # Root's it stays, whoever changes it.
                await core.call(ops.SetValue(secret, VALUE_100), ALICE)
            for kind in (OWNER, USED):
                assert not (await core.store.scan(kind, kind, 10)).records

    run(scenario())


def test_a_change_by_another_counts_for_the_owner(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = (await core.call(ops.AllocateId())).secret
            await core.call(ops.SetValue(secret, LONG), BOB)
            assert await core.used(ALICE) == await core.counted()
            assert await core.used(BOB) == Amount()

    run(scenario())


def test_who_has_more_than_he_may_can_still_make_it_less(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secrets = [(await core.call(ops.AllocateId())).secret for _ in range(2)]
            await core.call(ops.SetValue(secrets[0], LONG))
        async with open_core(tmp_path, Amount(1, 10)) as core:
            await core.call(ops.SetValue(secrets[0], VALUE_100))
            with pytest.raises(QuotaError):
                await core.call(ops.SetValue(secrets[0], LONG))
            await core.call(ops.Delete(secrets[0]))
            assert await core.used() == await core.counted() != Amount()

    run(scenario())


def test_a_secret_keeps_its_owner_when_it_moves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = (await core.call(ops.AllocateId())).secret
            await core.call(ops.SetValue(secret, VALUE_100))
            await core.call(ops.SetXml(secret, SecretDocument(attributes(1, ephemeral=True))), BOB)
            assert await core.used() == Amount(0, 0)
            await core.call(ops.AllocateId(ephemeral=True))
            await core.call(ops.SetXml(secret, SecretDocument(attributes(1))), BOB)
            assert await core.used() == await core.counted()
            assert await core.used(BOB) == Amount()
            await core.call(ops.AllocateId())
            with pytest.raises(QuotaError):
                await core.call(ops.AllocateId())

    run(scenario())


def test_changes_at_the_same_time_never_pass_the_quota(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path, Amount(20, 1 << 20)) as core:
            calls = [core.call(ops.AllocateId(ephemeral=number % 2 == 0)) for number in range(40)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(outcome, ops.Changed) for outcome in outcomes) == 20
            assert {type(outcome) for outcome in outcomes} == {ops.Changed, QuotaError}
            assert await core.used() == await core.counted()

    run(scenario())


def test_a_change_that_failed_is_not_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            await core.call(ops.SetXml(uuid4(), SecretDocument(attributes(1))))
            for ephemeral in (False, True):
                with pytest.raises(ConflictError):
                    await core.call(ops.SetXml(uuid4(), SecretDocument(attributes(1, ephemeral=ephemeral))))
            assert await core.used() == await core.counted()
            for _ in range(2):
                await core.call(ops.AllocateId(ephemeral=True))

    run(scenario())


def test_a_number_that_was_tampered_with_is_damage(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            await core.call(ops.AllocateId())
            await core.call(ops.AllocateId(), BOB)
            key, other = (USED + caller.uid.to_bytes(4, "big") for caller in (ALICE, BOB))
            record = await core.store.get(other)
            assert record is not None
            await core.store.commit([Put(key, record.value)], [])
            with pytest.raises(StoreCorruptError):
                await core.call(ops.AllocateId())
            await core.call(ops.AllocateId(), BOB)

    run(scenario())


def test_a_number_that_is_gone_is_damage(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = (await core.call(ops.AllocateId())).secret
            await core.store.commit([Delete(USED + ALICE.uid.to_bytes(4, "big"))], [])
            with pytest.raises(StoreCorruptError):
                await core.call(ops.Delete(secret))
            assert (await core.call(ops.GetXml(secret))).document.id == secret

    run(scenario())


class Owners:
    """Which owners are read from the store, in place of those that are known."""

    def __init__(self, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[UUID] = []
        self._get = core.store.get
        monkeypatch.setattr(core.store, "get", self._noted)

    async def _noted(self, key: bytes) -> Record | None:
        if key.startswith(OWNER):
            self.read.append(UUID(bytes=key[len(OWNER) :]))
        return await self._get(key)


async def made(core: Core, number: int) -> UUID:
    """Make a secret with a value, whose owner is known then."""
    secret = UUID(int=number)
    for _ in range(2):
        await core.call(ops.SetValue(secret, VALUE_100))
    return secret


def test_an_owner_is_read_once_while_nothing_is_counted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = await made(core, 1)
            owners = Owners(core, monkeypatch)
            for _ in range(3):
                await core.call(ops.SetValue(secret, VALUE_100), BOB)
            assert owners.read == []
            await core.call(ops.SetValue(secret, LONG))
            await core.call(ops.SetValue(secret, LONG))
            assert owners.read == [secret]

    run(scenario())


@pytest.mark.parametrize("error", [StoreUnavailableError, StoreOutcomeUnknownError])
def test_an_owner_is_read_anew_after_a_change_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[SecretdError]
) -> None:
    async def fail(*_: object) -> int:
        raise error("not now")

    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = await made(core, 1)
            with monkeypatch.context() as patch:
                patch.setattr(core.store, "commit", fail)
                with pytest.raises(error):
                    await core.call(ops.SetValue(secret, VALUE_100))
            owners = Owners(core, monkeypatch)
            await core.call(ops.SetValue(secret, VALUE_100))
            assert owners.read == [secret]

    run(scenario())


def test_an_owner_is_read_anew_under_other_keyrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            secret = await made(core, 1)
            await core.call(storerequests.SealRotate())
            owners = Owners(core, monkeypatch)
            await core.call(ops.SetValue(secret, VALUE_100))
            assert owners.read[:1] == [secret]
            assert await core.used() == await core.counted()

    run(scenario())


def test_so_many_owners_are_known_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path) as core:
            monkeypatch.setattr(limits, "CACHE_SECRETS", 2)
            secrets = [await made(core, number) for number in (1, 2, 3)]
            owners = Owners(core, monkeypatch)
            for secret in reversed(secrets):
                await core.call(ops.SetValue(secret, VALUE_100))
            assert owners.read == [secrets[0]]

    run(scenario())


_SECRETS = st.integers(0, 4).map(lambda number: UUID(int=number))
_REQUESTS: st.SearchStrategy[Callable[[], ops.Request[Any]]] = st.one_of(
    st.builds(
        lambda secret, size: lambda: ops.SetValue(secret, SecretValue(b"x" * size)), _SECRETS, st.integers(1, 5_000)
    ),
    st.builds(
        lambda secret, number, where: lambda: ops.SetXml(secret, SecretDocument(attributes(number, ephemeral=where))),
        _SECRETS,
        st.integers(0, 4),
        st.booleans(),
    ),
    st.builds(lambda secret: lambda: ops.Delete(secret), _SECRETS),
)


@given(requests=st.lists(st.tuples(_REQUESTS, st.sampled_from([ALICE, ALICE, BOB])), max_size=25))
def test_the_kept_numbers_are_those_that_counting_gives(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[Callable[[], ops.Request[Any]], Caller]]
) -> None:
    async def scenario() -> None:
        async with open_core(tmp_path_factory.mktemp("core"), Amount(4, 20_000)) as core:
            for make, caller in requests:
                try:
                    await core.call(make(), caller)
                except SecretdError:
                    continue
            used = [await core.used(caller) for caller in (ALICE, BOB)]
            assert used[0] + used[1] == await core.counted()
            assert all(amount.secrets <= 4 and amount.bytes <= 20_000 for amount in used)

    run(scenario())
