"""Backup and restore: all of one moment, under load, into another place, or nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.core import Core, open_core
from secretd import limits
from secretd import operations as ops
from secretd.core.adoption import Adoption
from secretd.core.kinds import ATTRIBUTES, HEAD, VALUE
from secretd.core.sealing import Foreign, Seal
from secretd.crypto.envelope import Domain
from secretd.errors import (
    BusyError,
    InvalidRequestError,
    OperationInvalidError,
    SealError,
    SecretdError,
    StoreError,
    StoreFullError,
)
from secretd.model import Attributes, Caller, SealState, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Delete, Put
from secretd.store.sqlite import SqliteStore
from secretd.store.sqlite_database import Database
from secretd.store.sqlite_transaction import Transaction
from secretd.store.summary import Replacement, Summary

COUNT = 40
BEGINNING = SecretValue(b"secretd backup")
OTHER_USER = Caller(uid=4711, gid=4711, pid=1)
DEADLINE_S = 30


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_core(root, policy=lambda *_: True) as core:
            await test(core)

    asyncio.run(run())


def value_of(number: int) -> SecretValue:
    return SecretValue(b"the plain value %d " % number * 20)


async def fill(core: Core) -> None:
    for number in range(1, COUNT + 1):
        usage = Usage(UsageType.VOLUME, f"/a/plain/path/{number}")
        caller = OTHER_USER if number % 3 else Caller(0, 0, 1)
        attributes = Attributes(usage, description="a plain description", private=number % 5 == 0)
        await core.call(ops.SetXml(UUID(int=number), SecretDocument(attributes)), caller)
        await core.call(ops.SetValue(UUID(int=number), value_of(number)), caller)


async def backed_up(core: Core) -> bytes:
    part = await core.call(ops.Backup())
    parts = [part]
    while not part.last:
        part = await core.call(ops.Backup(part.backup))
        parts.append(part)
    return b"".join(part.value.reveal() for part in parts)


async def restored(core: Core, data: bytes, *, dry_run: bool = False, size: int = 50_000) -> ops.RestoreTaken:
    pieces = [SecretValue(data[start : start + size]) for start in range(0, len(data), size)]
    name = None
    for piece in pieces[:-1]:
        name = (await core.call(ops.Restore(piece, name, dry_run=dry_run))).restore
    return await core.call(ops.Restore(pieces[-1], name, last=True, dry_run=dry_run))


async def fill_parts(core: Core) -> None:
    """Keep so much that a backup has more parts than one."""
    for number in range(1, 5):
        await core.call(ops.SetValue(UUID(int=number), SecretValue(b"x" * 60_000)))


async def everything(core: Core) -> dict[UUID, tuple[object, ...]]:
    found: dict[UUID, tuple[object, ...]] = {}
    for entry in (await core.call(ops.List())).entries:
        document = (await core.call(ops.GetXml(entry.secret))).document
        value = None if entry.private else (await core.call(ops.GetValue(entry.secret))).value.reveal()
        found[entry.secret] = (entry, document, value)
    return found


async def assert_sound(core: Core) -> None:
    assert (await core.call(ops.Check())).problems == ()
    assert not (await core.call(ops.Status())).read_only


async def assert_untouched(core: Core) -> None:
    assert (await core.call(ops.List())).entries == ()
    await assert_sound(core)


@pytest.fixture
def backup(tmp_path: Path) -> tuple[bytes, dict[UUID, tuple[object, ...]]]:
    """Fill a daemon's place, and give a backup of it and what it held."""
    kept: list[object] = []

    async def test(core: Core) -> None:
        await fill(core)
        kept.extend([await backed_up(core), await everything(core)])

    in_core(tmp_path / "old", test)
    return kept[0], kept[1]  # type: ignore[return-value]


def new_place(tmp_path: Path, name: str = "new") -> Path:
    """Make a place in another layout, with the old root key and nothing else."""
    root = tmp_path / "another" / "layout" / name
    (root / "config").mkdir(parents=True, mode=0o700)
    shutil.copy(tmp_path / "old" / "config" / "root.key", root / "config" / "root.key")
    return root


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
                    await core.call(ops.SealRotate())

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
                    await core.call(ops.Restore(SecretValue(bytes(limits.VALUE_BYTES))))

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
                with pytest.raises((InvalidRequestError, SealError)):
                    await restored(core, bytes(spoiled), size=limits.VALUE_BYTES)
            await assert_untouched(core)

        in_core(new_place(tmp_path), test)

    def test_another_root_key(self, tmp_path: Path, backup: tuple[bytes, object]) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(SealError):
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
            name = (await core.call(ops.Restore(SecretValue(backup[0][:50_000])))).restore
            await core.call(ops.AllocateId(ephemeral=ephemeral))
            with pytest.raises(OperationInvalidError, match="no secret yet"):
                await core.call(ops.Restore(SecretValue(backup[0][50_000:]), name, last=True))

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
            part = await core.call(ops.Backup())
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


class TestParts:
    def test_an_unknown_name(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for request in (ops.Backup(UUID(int=1)), ops.Restore(SecretValue(b"x"), UUID(int=1))):
                with pytest.raises(InvalidRequestError, match="begin anew"):
                    await core.call(request)

        in_core(tmp_path, test)

    def test_too_many_at_once(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for _ in range(limits.BACKUPS):
                await core.call(ops.Restore(BEGINNING))
            with pytest.raises(BusyError):
                await core.call(ops.Restore(BEGINNING))

        in_core(tmp_path, test)

    def test_too_many_at_the_same_moment(self, tmp_path: Path) -> None:
        """Also those count that are at a part just now."""

        async def test(core: Core) -> None:
            await fill_parts(core)
            begun = await asyncio.gather(*(core.call(ops.Backup()) for _ in range(60)), return_exceptions=True)
            parts = [part for part in begun if isinstance(part, ops.BackupPart)]
            assert [type(other) for other in begun if other not in parts] == [BusyError] * (60 - limits.BACKUPS)
            assert not any(part.last for part in parts)
            assert snapshots(core) == limits.BACKUPS

        in_core(tmp_path, test)

    def test_beside_a_backup_no_version_is_retired(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill_parts(core)
            part = await core.call(ops.Backup())
            await core.call(ops.SealRotate())
            async with asyncio.timeout(DEADLINE_S):
                while (await core.call(ops.SealStatus())).resealing:
                    await core.store.scan(VALUE)
                with pytest.raises(BusyError, match="under way"):
                    await core.call(ops.SealRetire())
                while not part.last:
                    part = await core.call(ops.Backup(part.backup))
                assert part.damaged == 0
            await core.call(ops.SealRetire())
            await assert_sound(core)

        in_core(tmp_path, test)

    def test_a_part_that_ends_after_the_stop_is_not_kept(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill_parts(core)
            at_it = asyncio.ensure_future(core.call(ops.Backup()))
            await asyncio.sleep(0)
            assert not at_it.done()
            await core.service._backups.stop()
            assert not (await at_it).last
            async with asyncio.timeout(DEADLINE_S):
                while snapshots(core):
                    await core.store.scan(VALUE)

        in_core(tmp_path, test)

    @pytest.mark.parametrize("bound", ["BACKUP_IDLE_SECONDS", "BACKUP_SECONDS"])
    def test_what_nobody_goes_on_with_or_lasts_too_long_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
    ) -> None:
        async def test(core: Core) -> None:
            await fill_parts(core)
            backup, restore = (
                await core.call(ops.Backup()),
                await core.call(
                    ops.Restore(BEGINNING, dry_run=True),
                ),
            )
            assert not backup.last
            async with asyncio.timeout(DEADLINE_S):
                for name in (ops.Backup(backup.backup), ops.Restore(BEGINNING, restore.restore)):
                    await _until_refused(core, name)

        monkeypatch.setattr(limits, bound, 0)
        in_core(tmp_path, test)


def snapshots(core: Core) -> int:
    assert isinstance(core.store, SqliteStore)
    return core.store._database.snapshots


async def _until_refused(core: Core, request: ops.Request[ops.Reply]) -> None:
    while True:
        await core.store.scan(ATTRIBUTES)
        try:
            await core.call(request)
        except InvalidRequestError:
            return


class _Crash(Exception):  # noqa: N818  # it stands for the end of the process
    pass


class TestCrash:
    """A restore that a crash cut short: a start finds all of it, or nothing."""

    def crash(self, root: Path, data: bytes) -> None:
        async def test(core: Core) -> None:
            with pytest.raises((_Crash, SecretdError)):
                await restored(core, data)

        in_core(root, test)

    def test_before_the_store_has_the_records(
        self, tmp_path: Path, backup: tuple[bytes, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = new_place(tmp_path)

        def end(*_: object) -> None:
            raise _Crash

        with monkeypatch.context() as patch:
            patch.setattr(Adoption, "end", end)
            patch.setattr("secretd.store.sqlite_database.Database.replace_all", end)
            self.crash(root, backup[0])
        assert (root / "keyring" / "restoring").exists()
        in_core(root, assert_untouched)
        assert not (root / "keyring" / "restoring").exists()

    @pytest.mark.parametrize("written", range(4))
    def test_after_the_store_has_the_records(
        self, tmp_path: Path, backup: tuple[bytes, object], monkeypatch: pytest.MonkeyPatch, written: int
    ) -> None:
        root = new_place(tmp_path)
        whole = Adoption._write
        left = [written]

        def write(self: Adoption, shared: bytes, node: bytes) -> None:
            if left[0] == 3:
                whole(self, shared, node)
            elif left[0]:
                (self._directory / "node").write_bytes(node)
                if left[0] == 2:
                    (self._directory / "node.copy").write_bytes(node)
            raise SealError("no more")

        with monkeypatch.context() as patch:
            patch.setattr(Adoption, "_write", write)
            self.crash(root, backup[0])

        async def look(core: Core) -> None:
            assert await everything(core) == backup[1]
            # The keys of the backup may go on to seal elsewhere.
            assert (await core.call(ops.Status())).keyring_version == 2
            await assert_sound(core)

        in_core(root, look)
        in_core(root, look)

    def test_a_daemon_whose_files_could_not_be_written_goes_on_when_they_can(
        self, tmp_path: Path, backup: tuple[bytes, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise SealError("full for a moment")

        async def test(core: Core) -> None:
            # So that version 2, the restored keyring's too, has uses reserved here.
            await core.call(ops.SealRotate())
            await core.call(ops.SetValue(UUID(int=99), SecretValue(b"x")))
            await core.call(ops.Delete(UUID(int=99)))
            with monkeypatch.context() as patch:
                patch.setattr(Adoption, "_write", full)
                with pytest.raises(SealError):
                    await restored(core, backup[0])
                with pytest.raises(SealError, match="restart"):
                    await core.call(ops.List())
            assert (await core.seal.open()).state is SealState.OPEN
            await core.service.unsealed()
            assert await everything(core) == backup[1]
            await core.call(ops.AllocateId())
            keyrings = (await core.call(ops.SealStatus())).keyrings
            assert [keyring.current for keyring in keyrings] == [2, 2]
            # What is reserved is in this store, and not only remembered from the one before.
            assert all(keyring.uses >= 0 for keyring in keyrings)
            await assert_sound(core)

        in_core(new_place(tmp_path), test)


class TestCancelled:
    def test_a_restore_is_finished_though_nobody_waits_for_it(
        self, tmp_path: Path, backup: tuple[bytes, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = new_place(tmp_path)
        at_commit, go_on = threading.Event(), threading.Event()
        whole = Transaction._make_summary

        def wait(transaction: Transaction) -> None:
            whole(transaction)
            at_commit.set()
            go_on.wait(DEADLINE_S)

        async def look(core: Core) -> None:
            assert await everything(core) == backup[1]
            assert not (root / "keyring" / "restoring").exists()
            await assert_sound(core)

        async def test(core: Core) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(Transaction, "_make_summary", wait)
                asking = asyncio.ensure_future(restored(core, backup[0]))
                assert await asyncio.to_thread(at_commit.wait, DEADLINE_S)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                # Nor does it end half-way with the daemon.
                busy = [core.service.busy]
                asyncio.get_running_loop().call_soon(go_on.set)
                await core.service.stop()
            assert [*busy, core.service.busy] == [True, False]
            assert await everything(core) == backup[1]

        in_core(root, test)
        in_core(root, look)
