"""Rotation: a new version seals, every record follows in the background, and old versions are let go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from helpers.core import Core, in_core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.inflight import InFlight
from secretd.core.kinds import ATTRIBUTES, USAGE, VALUE
from secretd.crypto.envelope import peek
from secretd.errors import OperationInvalidError, SealError
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Put

COUNT = 30
DEADLINE_S = 30


def value_of(number: int) -> SecretValue:
    return SecretValue(b"value %d" % number * 20)


async def fill(core: Core) -> None:
    for number in range(1, COUNT + 1):
        usage = Usage(UsageType.CEPH, f"client.{number}")
        attributes = Attributes(usage, private=number % 5 == 0, ephemeral=number % 7 == 0)
        await core.call(ops.SetXml(UUID(int=number), SecretDocument(attributes)))
        await core.call(ops.SetValue(UUID(int=number), value_of(number)))


async def check_all(core: Core) -> None:
    for number in range(1, COUNT + 1):
        state = (await core.call(ops.LookupByUsage(Usage(UsageType.CEPH, f"client.{number}")))).secret
        assert state == UUID(int=number)
        if number % 5:
            assert (await core.call(ops.GetValue(state))).value == value_of(number)


async def resealed(core: Core) -> storerequests.SealReport:
    async with asyncio.timeout(DEADLINE_S):
        while (report := await core.call(storerequests.SealStatus())).resealing:
            # A scan goes through the store's thread, so this waits and does not spin.
            await core.store.scan(VALUE)
    return report


async def versions_in_store(core: Core) -> set[int]:
    return {
        peek(record.value).version
        for kind in (ATTRIBUTES, VALUE, USAGE)
        for record in (await core.store.scan(kind)).records
    }


async def digests(core: Core) -> list[str]:
    return [entry.digest for entry in (await core.call(ops.List())).entries]


class TestRotation:
    def test_every_record_follows_and_no_digest_changes(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            before = await digests(core)
            assert await versions_in_store(core) == {1}
            assert (await core.call(storerequests.SealRotate())).version == 2
            report = await resealed(core)
            assert await versions_in_store(core) == {2}
            assert report.resealed == (COUNT - COUNT // 7) * 3
            assert report.damaged == 0
            assert await digests(core) == before
            await check_all(core)

        in_core(tmp_path, test)

    def test_changes_go_on_meanwhile(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            rotation = asyncio.create_task(core.call(storerequests.SealRotate()))
            changes = [core.call(ops.SetValue(UUID(int=n), value_of(n))) for n in range(1, COUNT + 1) for _ in range(5)]
            await asyncio.gather(*changes)
            await rotation
            await resealed(core)
            assert await versions_in_store(core) == {2}
            await check_all(core)

        in_core(tmp_path, test)

    def test_it_holds_after_a_restart(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await fill(core)
            for version in (2, 3, 4):
                assert (await core.call(storerequests.SealRotate())).version == version
            await resealed(core)

        async def after(core: Core) -> None:
            assert (await core.call(ops.Status())).keyring_version == 4
            assert await versions_in_store(core) == {4}

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    def test_resealing_that_was_cut_short_goes_on_at_the_next_start(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await fill(core)
            await core.call(storerequests.SealRotate())
            await core.service.stop()
            assert 1 in await versions_in_store(core)

        async def after(core: Core) -> None:
            await resealed(core)
            assert await versions_in_store(core) == {2}

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    def test_without_the_root_key_nothing_is_changed(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            key = tmp_path / "config" / "root.key"
            whole = key.read_bytes()
            key.unlink()
            with pytest.raises(SealError, match="missing"):
                await core.call(storerequests.SealRotate())
            assert (await core.call(ops.Status())).keyring_version == 1
            await check_all(core)
            key.write_bytes(whole)
            key.chmod(0o600)
            assert (await core.call(storerequests.SealRotate())).version == 2

        in_core(tmp_path, test)


class TestRetirement:
    def test_old_versions_are_let_go_once_nothing_needs_them(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await fill(core)
            await core.call(storerequests.SealRotate())
            with pytest.raises(OperationInvalidError, match="older version"):
                await core.call(storerequests.SealRetire())
            await resealed(core)
            assert (await core.call(storerequests.SealRetire())).version == 2
            assert [keyring.versions for keyring in (await core.call(storerequests.SealStatus())).keyrings] == [1, 1]
            await check_all(core)

        async def after(core: Core) -> None:
            for number in range(1, COUNT + 1):
                if number % 7 and number % 5:
                    assert (await core.call(ops.GetValue(UUID(int=number)))).value == value_of(number)

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    def test_a_record_that_does_not_open_holds_it_up(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            key = VALUE + UUID(int=1).bytes
            record = await core.store.get(key)
            assert record is not None
            await core.store.commit([Put(key, record.value[:-1] + bytes([record.value[-1] ^ 1]))], [])
            await core.call(storerequests.SealRotate())
            report = await resealed(core)
            assert report.damaged == 1
            with pytest.raises(OperationInvalidError):
                await core.call(storerequests.SealRetire())

        in_core(tmp_path, test)

    def test_it_waits_for_changes_that_were_under_way(self) -> None:
        async def run() -> None:
            in_flight = InFlight()
            with in_flight.change():
                waiting = asyncio.create_task(in_flight.ended())
                done, _ = await asyncio.wait([waiting], timeout=0)
                assert not done
            with in_flight.change():
                async with asyncio.timeout(DEADLINE_S):
                    await waiting

        asyncio.run(run())


class TestUses:
    async def used(self, core: Core) -> dict[str, int]:
        return {keyring.domain: keyring.uses for keyring in (await core.call(storerequests.SealStatus())).keyrings}

    def test_they_are_counted_and_never_too_low(self, tmp_path: Path) -> None:
        async def first(core: Core) -> None:
            assert await self.used(core) == {"shared": 0, "node": 0}
            await fill(core)
            used = await self.used(core)
            assert used["shared"] >= COUNT * 4
            assert used["node"] >= COUNT // 5

        async def second(core: Core) -> None:
            # What was reserved and perhaps not used counts as used after a restart.
            assert (await self.used(core))["shared"] == limits.KEY_USES_BLOCK

        in_core(tmp_path, first)
        in_core(tmp_path, second)

    def test_a_version_is_rotated_before_it_is_used_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "KEY_USES_BLOCK", 100)
        monkeypatch.setattr(limits, "KEY_USES", 350)

        async def test(core: Core) -> None:
            await fill(core)
            await fill(core)
            report = await core.call(storerequests.SealStatus())
            for keyring in report.keyrings:
                assert keyring.current > 1
                assert keyring.uses <= 350
            await check_all(core)

        in_core(tmp_path, test)
