"""Backup and restore: all of one moment, under load, into another place, or nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.backups import (
    COUNT,
    OTHER_USER,
    assert_sound,
    assert_untouched,
    backed_up,
    everything,
    fill,
    in_core,
    make_backup,
    new_place,
    restored,
    value_of,
)
from helpers.core import Core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.kinds import HEAD, VALUE
from secretd.core.sealing import Foreign, Seal
from secretd.crypto.envelope import Domain
from secretd.errors import (
    InvalidRequestError,
    OperationInvalidError,
    SealError,
    StoreError,
    StoreFullError,
)
from secretd.model import Attributes, SecretDocument, SecretValue
from secretd.store.base import Delete, Put
from secretd.store.sqlite_database import Database
from secretd.store.summary import Replacement, Summary


@pytest.fixture
def backup(tmp_path: Path) -> tuple[bytes, dict[UUID, tuple[object, ...]]]:
    """Fill a daemon's place, and give a backup of it and what it held."""
    return make_backup(tmp_path)


class TestRoundTrip:
    def test_all_comes_back_elsewhere(self, tmp_path: Path, backup: tuple[bytes, dict[UUID, object]]) -> None:
        data, held = backup
        root = new_place(tmp_path)

        async def bring_back(core: Core) -> None:
            taken = await restored(core, data)
            assert (taken.secrets, taken.damaged) == (COUNT, 0)
            await look(core)

        async def look(core: Core) -> None:
            assert await everything(core) == held
            await assert_sound(core)

        async def go_on(core: Core) -> None:
            await look(core)
            await core.call(ops.SetValue(UUID(int=1), SecretValue(b"newer")), OTHER_USER)
            await core.call(ops.Delete(UUID(int=2)), OTHER_USER)
            await core.call(ops.SetXml(UUID(int=5), SecretDocument(Attributes(private=True))))
            await assert_sound(core)

        in_core(root, bring_back)
        in_core(root, look)
        in_core(root, go_on)

    def test_nothing_of_it_is_in_the_clear(self, backup: tuple[bytes, object]) -> None:
        assert b"plain" not in backup[0]

    def test_the_keys_are_others_afterwards(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        async def test(core: Core) -> None:
            await restored(core, backup[0])
            assert (await core.call(ops.Status())).keyring_version == 2

        in_core(new_place(tmp_path), test)

    def test_a_restored_store_can_be_backed_up_and_restored(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        again: list[bytes] = []

        async def first(core: Core) -> None:
            await restored(core, backup[0])
            again.append(await backed_up(core))

        async def second(core: Core) -> None:
            await restored(core, again[0])
            assert await everything(core) == backup[1]
            await assert_sound(core)

        in_core(new_place(tmp_path), first)
        in_core(new_place(tmp_path, "newer"), second)

    def test_a_dry_run_changes_nothing(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        async def on_nothing(core: Core) -> None:
            assert (await restored(core, backup[0], dry_run=True)).secrets == COUNT
            await assert_untouched(core)

        async def beside_secrets(core: Core) -> None:
            assert (await restored(core, backup[0], dry_run=True)).secrets == COUNT
            assert await everything(core) == backup[1]

        in_core(new_place(tmp_path), on_nothing)
        in_core(tmp_path / "old", beside_secrets)

    def test_where_the_empty_store_lost_its_head(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        root = new_place(tmp_path)

        async def test(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only
            assert (await restored(core, backup[0], dry_run=True)).secrets == COUNT
            assert (await core.call(ops.Status())).read_only
            await restored(core, backup[0])
            assert await everything(core) == backup[1]
            await assert_sound(core)

        in_core(root, assert_untouched)
        with contextlib.closing(sqlite3.connect(root / "store" / "store.db")) as database, database:
            database.execute("DELETE FROM kv WHERE key = ?", (HEAD,))
            database.execute("DELETE FROM meta WHERE name = ?", (b"count:" + HEAD[:1],))
        in_core(root, test)

    def test_of_nothing(self, tmp_path: Path) -> None:
        data: list[bytes] = []

        async def make(core: Core) -> None:
            data.append(await backed_up(core))

        async def bring_back(core: Core) -> None:
            assert (await restored(core, data[0])).secrets == 0
            await assert_untouched(core)

        in_core(tmp_path / "old", make)
        in_core(new_place(tmp_path), bring_back)

    def test_beside_changes_it_is_of_one_moment(self, tmp_path: Path) -> None:
        """Each round gives all secrets the same number: a backup has one round's, or a round's and the next one's."""
        backups: list[bytes] = []

        async def make(core: Core) -> None:
            async def change() -> None:
                for number in range(6):
                    for secret in range(1, 20):
                        await core.call(ops.SetValue(UUID(int=secret), SecretValue(b"%05d" % number * 1000)))
                    await core.call(storerequests.SealRotate())

            changing = asyncio.create_task(change())
            while not changing.done():
                backups.append(await backed_up(core))
            await changing

        in_core(tmp_path / "old", make)
        assert len(backups) > 1
        for number, data in enumerate(backups[:: -(-len(backups) // 4)]):

            async def look(core: Core, data: bytes = data) -> None:
                await restored(core, data)
                entries = (await core.call(ops.List())).entries
                values = [int((await core.call(ops.GetValue(entry.secret))).value.reveal()[:5]) for entry in entries]
                assert values == sorted(values, reverse=True)
                assert not values or values[0] - values[-1] <= 1
                await assert_sound(core)

            in_core(new_place(tmp_path, str(number)), look)


class TestRefused:
    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda data: data[:-1], id="cut"),
            pytest.param(lambda data: data[:-40], id="without-its-end"),
            pytest.param(lambda data: data[: len(data) // 2], id="half"),
            pytest.param(lambda data: data[:20], id="no-header"),
            pytest.param(lambda data: data[:3], id="no-magic"),
            pytest.param(lambda data: data + b"\0", id="longer"),
            pytest.param(lambda data: data[:-32] + bytes(32), id="no-mac"),
            pytest.param(lambda data: data.replace(b"secretd", b"secrets"), id="something-else"),
            pytest.param(
                lambda data: data.replace(b"secretd backup\0\0\0\0\1", b"secretd backup\0\0\0\0\2"), id="newer"
            ),
        ],
    )
    def test_a_backup_that_is_none(
        self, tmp_path: Path, backup: tuple[bytes, object], spoil: Callable[[bytes], bytes]
    ) -> None:
        async def test(core: Core) -> None:
            for dry_run in (True, False):
                with pytest.raises(InvalidRequestError, match="backup"):
                    await restored(core, spoil(backup[0]), dry_run=dry_run)
            await assert_untouched(core)

        in_core(new_place(tmp_path), test)

    def test_what_does_not_begin_as_a_backup_is_refused_at_once(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            # Once more than restores may be under way: what is refused is not.
            for _ in range(limits.BACKUPS + 1):
                with pytest.raises(InvalidRequestError, match="no backup"):
                    await core.call(storerequests.Restore(SecretValue(bytes(limits.VALUE_BYTES))))

        in_core(tmp_path, test)

    def test_its_keys_are_wiped(
        self, tmp_path: Path, backup: tuple[bytes, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[Foreign] = []
        whole = Seal.open_foreign

        def open_foreign(*arguments: Any) -> Foreign:
            opened.append(whole(*arguments))
            return opened[-1]

        def full(*_: object) -> None:
            raise StoreFullError("full for a moment")

        async def test(core: Core) -> None:
            monkeypatch.setattr(Seal, "open_foreign", open_foreign)
            await restored(core, backup[0], dry_run=True)
            with pytest.raises(InvalidRequestError):
                await restored(core, backup[0][:-1])
            monkeypatch.setattr(Database, "replace_all", full)
            with pytest.raises(StoreFullError):
                await restored(core, backup[0])
            keyrings = [foreign.keyrings[domain] for foreign in opened for domain in Domain]
            assert len(keyrings) == 3 * len(Domain)
            for keyring in keyrings:
                with pytest.raises(SealError):
                    _ = keyring.versions
            await assert_untouched(core)

        in_core(new_place(tmp_path), test)

    def test_a_flipped_bit(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        data = backup[0]

        async def test(core: Core) -> None:
            for position in range(0, len(data), len(data) // 150):
                spoiled = bytearray(data)
                spoiled[position] ^= 1 << position % 8
                with pytest.raises(InvalidRequestError):
                    await restored(core, bytes(spoiled), size=limits.VALUE_BYTES)
            await assert_untouched(core)

        in_core(new_place(tmp_path), test)

    def test_another_root_key(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(InvalidRequestError, match="made under another one"):
                await restored(core, backup[0])
            await assert_untouched(core)

        in_core(tmp_path / "stranger", test)

    @pytest.mark.parametrize("ephemeral", [True, False])
    def test_where_there_are_secrets(self, tmp_path: Path, backup: tuple[bytes, object], ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            kept = await core.call(ops.AllocateId(ephemeral=ephemeral))
            with pytest.raises(OperationInvalidError, match="no secret yet"):
                await restored(core, backup[0])
            assert [entry.secret for entry in (await core.call(ops.List())).entries] == [kept.secret]

        async def meanwhile(core: Core) -> None:
            name = (await core.call(storerequests.Restore(SecretValue(backup[0][:50_000])))).restore
            await core.call(ops.AllocateId(ephemeral=ephemeral))
            with pytest.raises(OperationInvalidError, match="no secret yet"):
                await core.call(storerequests.Restore(SecretValue(backup[0][50_000:]), name, last=True))

        in_core(new_place(tmp_path), test)
        in_core(new_place(tmp_path, "meanwhile"), meanwhile)

    def test_a_store_that_lacks_records_is_not_backed_up(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            core.store.keep_summary(_Frozen())
            await core.store.commit([Delete(VALUE + UUID(int=1).bytes)])
            with pytest.raises(StoreError, match="records are missing"):
                await backed_up(core)

        in_core(tmp_path, test)

    def test_what_does_not_open_is_counted_and_the_rest_comes_back(self, tmp_path: Path) -> None:
        data: list[bytes] = []

        async def make(core: Core) -> None:
            await fill(core)
            key = VALUE + UUID(int=1).bytes
            record = await core.store.get(key)
            assert record is not None
            await core.store.commit([Put(key, record.value[:30] + b"xxxx" + record.value[34:])])
            part = await core.call(storerequests.Backup())
            data.append(part.value.reveal())
            assert (part.last, part.damaged) == (True, 1)

        async def bring_back(core: Core) -> None:
            taken = await restored(core, data[0])
            assert (taken.secrets, taken.damaged) == (COUNT, 1)
            assert (await core.call(ops.GetValue(UUID(int=2)))).value == value_of(2)

        in_core(tmp_path / "old", make)
        in_core(new_place(tmp_path), bring_back)


class _Frozen(Summary):
    """A head that stays as it is, as if the store were changed behind the daemon's back."""

    key = HEAD

    def of(self, _records: Iterable[tuple[bytes, bytes]], _revision: int) -> bytes:
        raise AssertionError

    def after(self, before: bytes | None, _replacements: Iterable[Replacement], _revision: int) -> bytes:
        return before or b""
