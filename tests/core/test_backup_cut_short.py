"""Backups and restores that nobody goes on with, that a crash cuts short, or that somebody gives up."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from uuid import UUID

import pytest

from helpers.backups import (
    BEGINNING,
    DEADLINE_S,
    assert_sound,
    assert_untouched,
    everything,
    fill_parts,
    in_core,
    make_backup,
    new_place,
    restored,
)
from helpers.core import Core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.adoption import Adoption
from secretd.core.kinds import ATTRIBUTES, VALUE
from secretd.errors import (
    BusyError,
    InvalidRequestError,
    SealError,
    SecretdError,
)
from secretd.model import SealState, SecretValue
from secretd.store.sqlite import SqliteStore
from secretd.store.sqlite_transaction import Transaction


@pytest.fixture
def backup(tmp_path: Path) -> tuple[bytes, dict[UUID, tuple[object, ...]]]:
    """Fill a daemon's place, and give a backup of it and what it held."""
    return make_backup(tmp_path)


class TestParts:
    def test_an_unknown_name(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for request in (storerequests.Backup(UUID(int=1)), storerequests.Restore(SecretValue(b"x"), UUID(int=1))):
                with pytest.raises(InvalidRequestError, match="begin anew"):
                    await core.call(request)

        in_core(tmp_path, test)

    def test_too_many_at_once(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for _ in range(limits.BACKUPS):
                await core.call(storerequests.Restore(BEGINNING))
            with pytest.raises(BusyError):
                await core.call(storerequests.Restore(BEGINNING))

        in_core(tmp_path, test)

    def test_too_many_at_the_same_moment(self, tmp_path: Path) -> None:
        """Also those count that are at a part just now."""

        async def test(core: Core) -> None:
            await fill_parts(core)
            begun = await asyncio.gather(
                *(core.call(storerequests.Backup()) for _ in range(60)), return_exceptions=True
            )
            parts = [part for part in begun if isinstance(part, storerequests.BackupPart)]
            assert [type(other) for other in begun if other not in parts] == [BusyError] * (60 - limits.BACKUPS)
            assert not any(part.last for part in parts)
            assert snapshots(core) == limits.BACKUPS

        in_core(tmp_path, test)

    def test_beside_a_backup_no_version_is_retired(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill_parts(core)
            part = await core.call(storerequests.Backup())
            await core.call(storerequests.SealRotate())
            async with asyncio.timeout(DEADLINE_S):
                while (await core.call(storerequests.SealStatus())).resealing:
                    await core.store.scan(VALUE)
                with pytest.raises(BusyError, match="under way"):
                    await core.call(storerequests.SealRetire())
                while not part.last:
                    part = await core.call(storerequests.Backup(part.backup))
                assert part.damaged == 0
            await core.call(storerequests.SealRetire())
            await assert_sound(core)

        in_core(tmp_path, test)

    def test_a_part_that_ends_after_the_stop_is_not_kept(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill_parts(core)
            at_it = asyncio.ensure_future(core.call(storerequests.Backup()))
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
                await core.call(storerequests.Backup()),
                await core.call(
                    storerequests.Restore(BEGINNING, dry_run=True),
                ),
            )
            assert not backup.last
            async with asyncio.timeout(DEADLINE_S):
                for name in (storerequests.Backup(backup.backup), storerequests.Restore(BEGINNING, restore.restore)):
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
            await core.call(storerequests.SealRotate())
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
            keyrings = (await core.call(storerequests.SealStatus())).keyrings
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
