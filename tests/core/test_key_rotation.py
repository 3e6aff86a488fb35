"""How often a version is used, new versions that come by themselves, deletions that wait, and references."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from helpers.core import Core, HandClock, Told, in_core
from helpers.keys import CONTEXT, NIGHTLY, OTHER, PLAIN, create, describe, key_id, opened, seal
from helpers.tree import ROOT
from secretd import keyrequests as requests
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.lifecycle import DAY_S
from secretd.errors import (
    BusyError,
    ConflictError,
    DigestMismatchError,
    InvalidRequestError,
    NoKeyError,
    OperationInvalidError,
    QuotaError,
    ReferencedError,
    StoreUnavailableError,
    WrongStateError,
)
from secretd.keys import KeyDocument, KeyFormat, KeyId, KeyKdf, KeyState, Tag
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import SecretValue
from secretd.moments import moment_of

BEGINNING = 1_800_000_000


class TestUses:
    def test_a_block_serves_its_uses_without_a_commit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "VERSION_USES_BLOCK", 5)

        async def test(core: Core) -> None:
            await create(core)
            revision = await core.store.revision()
            for _ in range(5):
                await seal(core)
            assert await core.store.revision() == revision
            await seal(core)
            assert await core.store.revision() > revision
            (version,) = (await describe(core)).versions
            assert version.uses == 6

        in_core(tmp_path, test)

    def test_a_version_that_is_used_up_is_replaced_before_the_next_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "VERSION_USES_BLOCK", 4)
        monkeypatch.setattr(limits, "VERSION_USES", 8)

        async def test(core: Core) -> None:
            await create(core)
            before = await describe(core)
            blobs = [await seal(core) for _ in range(20)]
            said = await describe(core)
            assert [version.uses for version in said.versions] == [8, 8, 4]
            assert said.digest != before.digest
            assert [await opened(core, blob) for blob in blobs] == [PLAIN] * 20

        in_core(tmp_path, test)

    def test_uses_that_come_together_are_each_counted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "VERSION_USES_BLOCK", 4)
        monkeypatch.setattr(limits, "VERSION_USES", 8)

        async def test(core: Core) -> None:
            await create(core)
            blobs = await asyncio.gather(*(seal(core) for _ in range(21)))
            used = [version.uses for version in (await describe(core)).versions]
            assert sum(used) == 21
            assert max(used) <= 8
            assert len({blob.data for blob in blobs}) == 21

        in_core(tmp_path, test)

    def test_what_was_reserved_is_not_used_again_after_a_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "VERSION_USES_BLOCK", 4)
        monkeypatch.setattr(limits, "VERSION_USES", 8)

        async def first(core: Core) -> None:
            await create(core)
            await seal(core)

        async def again(core: Core) -> None:
            await seal(core)

        async def last(core: Core) -> None:
            assert (await describe(core)).version == 2

        for test in (first, again, again, last):
            in_core(tmp_path, test)

    def test_a_failed_rotation_lets_what_is_left_be_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def failing(*_: object) -> int:
            raise StoreUnavailableError("the disk is away")

        async def test(core: Core) -> None:
            await create(core)
            with monkeypatch.context() as patch:
                patch.setattr(core.store, "commit", failing)
                with pytest.raises(StoreUnavailableError):
                    await core.call(requests.KeyRotate(NIGHTLY))
                assert await opened(core, await seal(core)) == PLAIN
            assert [version.uses for version in (await describe(core)).versions] == [1]

        in_core(tmp_path, test)

    def test_a_key_has_so_many_versions_and_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "KEY_VERSIONS", 3)
        clock = HandClock(BEGINNING)

        async def test(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, rotation=1))
            for _ in range(2):
                await core.call(requests.KeyRotate(NIGHTLY))
            with pytest.raises(QuotaError, match="3 versions"):
                await core.call(requests.KeyRotate(NIGHTLY))
            # Its period is over, and it goes on with the last one.
            clock.now_s += 2 * DAY_S
            assert await opened(core, await seal(core)) == PLAIN
            assert (await describe(core)).version == 3

        in_core(tmp_path, test, read_clock=clock)

    def test_there_are_so_many_keys_and_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "KEYS", 2)

        async def test(core: Core) -> None:
            await create(core)
            await create(core, OTHER)
            with pytest.raises(QuotaError, match="2 keys"):
                await core.call(requests.KeyCreate(KeyDocument()))

        in_core(tmp_path, test)


class TestAPeriod:
    @pytest.mark.parametrize("by", ["use", "round"])
    def test_that_is_over_gives_a_new_version(self, by: str, tmp_path: Path) -> None:
        clock = HandClock(BEGINNING)

        async def test(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, rotation=90))
            blob = await seal(core)
            clock.now_s += 90 * DAY_S - 1
            await seal(core)
            await core.service.deletions.round()
            assert (await describe(core)).version == 1
            clock.now_s += 1
            if by == "use":
                await seal(core)
            else:
                await core.service.deletions.round()
            said = await describe(core)
            assert (said.version, said.rotated) == (2, moment_of(int(clock.now_s)))
            await core.service.deletions.round()
            assert (await describe(core)).version == 2
            assert await opened(core, blob) == PLAIN

        in_core(tmp_path, test, read_clock=clock)

    def test_of_a_key_that_was_made_elsewhere_begins_here(self, tmp_path: Path) -> None:
        """With the file that docs/pbs.md shows, which is of 2020."""
        clock = HandClock(BEGINNING)
        (file,) = re.findall(r"^\{.*\}$", (ROOT / "docs" / "pbs.md").read_text(), re.MULTILINE)

        async def test(core: Core) -> None:
            document = KeyDocument(NIGHTLY, rotation=90)
            await core.call(requests.KeyImport(document, SecretValue(file.encode()), KeyFormat.PBS))
            clock.now_s += 89 * DAY_S
            await seal(core)
            assert [version.created.year for version in (await describe(core)).versions] == [2020]
            clock.now_s += DAY_S
            await seal(core)
            clock.now_s += 89 * DAY_S
            await seal(core)
            assert (await describe(core)).version == 2

        in_core(tmp_path, test, read_clock=clock)

    def test_of_a_key_that_is_not_enabled_gives_none(self, tmp_path: Path) -> None:
        clock = HandClock(BEGINNING)

        async def test(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, rotation=1))
            await core.call(requests.KeyArchive(NIGHTLY))
            clock.now_s += 5 * DAY_S
            await core.service.deletions.round()
            assert (await describe(core)).version == 1

        in_core(tmp_path, test, read_clock=clock)


class TestADeletionThatWaits:
    def test_is_made_at_the_end_of_its_window(self, tmp_path: Path) -> None:
        clock = HandClock(BEGINNING)

        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDisable(NIGHTLY))
            scheduled = await core.call(requests.KeyScheduleDeletion(NIGHTLY, 7))
            assert scheduled.due == moment_of(BEGINNING + 7 * DAY_S)
            clock.now_s += 7 * DAY_S - 1
            await core.service.deletions.round()
            assert (await describe(core)).state is KeyState.PENDING_DELETION
            clock.now_s += 1
            await core.service.deletions.round()
            with pytest.raises(NoKeyError):
                await describe(core)
            with pytest.raises(ConflictError):
                await create(core)
            assert not (await core.call(storerequests.Check())).problems

        in_core(tmp_path, test, read_clock=clock)

    def test_is_not_made_while_somebody_needs_the_key(self, tmp_path: Path) -> None:
        """As no request attaches to it meanwhile, that is looked at behind their back."""
        clock = HandClock(BEGINNING)

        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDefault(NIGHTLY))
            await core.call(requests.KeyDefault(None))
            await core.call(requests.KeyDisable(NIGHTLY))
            await core.call(requests.KeyScheduleDeletion(NIGHTLY, 7))
            keys = core.service._keys
            async with keys.hold():
                await keys.set_default(NIGHTLY)
            clock.now_s += 8 * DAY_S
            await core.service.deletions.round()
            assert (await describe(core)).state is KeyState.PENDING_DELETION
            async with keys.hold():
                await keys.set_default(None)
            await core.service.deletions.round()
            with pytest.raises(NoKeyError):
                await describe(core)

        in_core(tmp_path, test, read_clock=clock)

    @pytest.mark.parametrize("days", [6, 31])
    def test_has_a_window_of_its_own_bounds(self, days: int, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDisable(NIGHTLY))
            with pytest.raises(InvalidRequestError, match="7 to 30 days"):
                await core.call(requests.KeyScheduleDeletion(NIGHTLY, days))

        in_core(tmp_path, test)


class TestReferences:
    def test_keep_a_key_from_deletion_and_active_ones_from_the_archive(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyAttach(NIGHTLY, "sync:offsite", ReferenceKind.ACTIVE))
            with pytest.raises(ReferencedError, match="sync:offsite"):
                await core.call(requests.KeyArchive(NIGHTLY))
            await core.call(requests.KeyAttach(NIGHTLY, "sync:offsite", ReferenceKind.ASSOCIATED))
            await core.call(requests.KeyArchive(NIGHTLY))
            with pytest.raises(WrongStateError):
                await core.call(requests.KeyAttach(NIGHTLY, "sync:other", ReferenceKind.ACTIVE))
            for request in (requests.KeyScheduleDeletion(NIGHTLY), requests.KeyDelete(NIGHTLY, NIGHTLY)):
                with pytest.raises(ReferencedError, match="sync:offsite"):
                    await core.call(request)
            await core.call(requests.KeyDetach(NIGHTLY, "sync:offsite"))
            await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))

        in_core(tmp_path, test)

    def test_of_the_default_key_are_one_more(self, tmp_path: Path) -> None:
        own = Reference("default-key", ReferenceKind.ACTIVE)

        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyAttach(NIGHTLY, "zfs", ReferenceKind.ASSOCIATED))
            await core.call(requests.KeyDefault(NIGHTLY))
            assert (await describe(core)).references == (own, Reference("zfs", ReferenceKind.ASSOCIATED))
            with pytest.raises(ReferencedError, match=r"it is needed by default-key$"):
                await core.call(requests.KeyArchive(NIGHTLY))
            await core.call(requests.KeyDetach(NIGHTLY, "zfs"))
            await core.call(requests.KeyDisable(NIGHTLY))
            for request in (requests.KeyScheduleDeletion(NIGHTLY), requests.KeyDelete(NIGHTLY, NIGHTLY)):
                with pytest.raises(ReferencedError, match="default-key"):
                    await core.call(request)
            await core.call(requests.KeyDefault(None))
            await core.call(requests.KeyArchive(NIGHTLY))
            assert (await describe(core)).references == ()

        in_core(tmp_path, test)

    def test_by_the_daemons_own_name_are_nobody_elses(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDefault(NIGHTLY))
            for request in (
                requests.KeyAttach(NIGHTLY, "default-key"),
                requests.KeyDetach(NIGHTLY, "default-key"),
            ):
                with pytest.raises(InvalidRequestError, match="key-default"):
                    await core.call(request)

        in_core(tmp_path, test)

    def test_are_at_most_so_many(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            for number in range(limits.REFERENCES):
                await core.call(requests.KeyAttach(NIGHTLY, f"sync:{number}"))
            with pytest.raises(QuotaError):
                await core.call(requests.KeyAttach(NIGHTLY, "sync:more"))
            # One that is there can still be changed, and the default has its own.
            await core.call(requests.KeyAttach(NIGHTLY, "sync:1", ReferenceKind.ASSOCIATED))
            await core.call(requests.KeyDefault(NIGHTLY))
            assert len((await describe(core)).references) == limits.REFERENCES + 1

        in_core(tmp_path, test)


class TestAChange:
    def test_takes_the_digest(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            first = (await create(core)).digest
            second = (await core.call(requests.KeyDisable(NIGHTLY, first))).digest
            assert second != first
            for request in (
                requests.KeyEnable(NIGHTLY, first),
                requests.KeyUpdate(NIGHTLY, KeyDocument(), first),
                requests.KeyArchive(NIGHTLY, first),
                requests.KeyAttach(NIGHTLY, "x", ReferenceKind.ACTIVE, first),
                requests.KeyScheduleDeletion(NIGHTLY, 7, first),
                requests.KeyDelete(NIGHTLY, NIGHTLY, first),
            ):
                with pytest.raises(DigestMismatchError):
                    await core.call(request)
            assert (await describe(core)).digest == second
            await core.call(requests.KeyEnable(NIGHTLY, second))

        in_core(tmp_path, test)

    def test_of_what_is_said_replaces_all_of_it_and_keeps_what_stays(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, description="old", rotation=3, exportable=True))
            await core.call(requests.KeyUpdate(NIGHTLY, KeyDocument(tags=(Tag("a", "b"),), exportable=True)))
            assert (await describe(core)).document == KeyDocument(NIGHTLY, tags=(Tag("a", "b"),), exportable=True)
            for document in (KeyDocument(), KeyDocument(OTHER, exportable=True)):
                with pytest.raises(InvalidRequestError, match="stay"):
                    await core.call(requests.KeyUpdate(NIGHTLY, document))

        in_core(tmp_path, test)

    def test_that_destroys_names_the_key_twice(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDisable(NIGHTLY))
            with pytest.raises(InvalidRequestError, match="twice"):
                await core.call(requests.KeyDelete(NIGHTLY, OTHER))

        in_core(tmp_path, test)


class TestAnExport:
    MATERIAL = SecretValue(bytes(range(32)))

    def test_gives_the_bytes_of_an_exportable_key(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(requests.KeyImport(KeyDocument(NIGHTLY, exportable=True), self.MATERIAL))
            first = await core.call(requests.KeyExport(NIGHTLY))
            assert (first.version, first.value) == (1, self.MATERIAL)
            assert len(first.fingerprint) == 3 * 32 - 1
            await core.call(requests.KeyRotate(NIGHTLY))
            second = await core.call(requests.KeyExport(NIGHTLY))
            assert second.version == 2
            assert second.value != self.MATERIAL
            assert (await core.call(requests.KeyExport(NIGHTLY, 1))).value == self.MATERIAL
            with pytest.raises(InvalidRequestError, match="no such version"):
                await core.call(requests.KeyExport(NIGHTLY, 3))

        in_core(tmp_path, test)

    def test_of_another_key_is_refused(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            with pytest.raises(OperationInvalidError, match="not exportable"):
                await core.call(requests.KeyExport(NIGHTLY))

        in_core(tmp_path, test)

    def test_in_a_key_file_can_be_imported_again(self, tmp_path: Path) -> None:
        password = SecretValue(b"correct horse")

        async def test(core: Core) -> None:
            await core.call(requests.KeyImport(KeyDocument(NIGHTLY, exportable=True), self.MATERIAL))
            blob = await seal(core)
            file = await core.call(
                requests.KeyExport(NIGHTLY, None, KeyFormat.PBS, KeyKdf.PBKDF2, password, "a battery staple")
            )
            again = KeyDocument(OTHER, exportable=True)
            await core.call(requests.KeyImport(again, file.value, KeyFormat.PBS, password))
            assert (await core.call(requests.KeyExport(OTHER))).value == self.MATERIAL
            assert (await core.call(requests.KeyExport(OTHER))).fingerprint == file.fingerprint
            # The same bytes, and yet another key.
            renamed = blob.data.replace(b"\x07nightly", b"\x05other")
            with pytest.raises(InvalidRequestError, match="does not open"):
                await opened(core, type(blob)(renamed))
            plain = await core.call(requests.KeyExport(OTHER, None, KeyFormat.PBS))
            assert b"a battery staple" not in plain.value.reveal()
            kept = await core.call(
                requests.KeyExport(OTHER, None, KeyFormat.PBS, KeyKdf.PBKDF2, SecretValue(b"another one"))
            )
            assert b"a battery staple" in kept.value.reveal()

        in_core(tmp_path, test)


class TestARewrap:
    def test_seals_by_the_newest_version_or_another_key_what_the_blob_holds(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await create(core, OTHER)
            old = await seal(core)
            await core.call(requests.KeyRotate(NIGHTLY))
            within = await core.call(requests.Rewrap(old, None, CONTEXT))
            assert (within.key, within.version) == (NIGHTLY, 2)
            beyond = await core.call(requests.Rewrap(old, OTHER, CONTEXT))
            assert (beyond.key, beyond.version) == (OTHER, 1)
            for blob in (old, within.blob, beyond.blob):
                assert await opened(core, blob) == PLAIN
            with pytest.raises(InvalidRequestError, match="does not open"):
                await core.call(requests.Rewrap(old, None, ()))

        in_core(tmp_path, test)


@pytest.mark.parametrize("size", [1, limits.VALUE_BYTES])
def test_what_may_be_sealed_at_most_is_with_the_longest_id(size: int, tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        key = (await core.call(requests.KeyCreate(KeyDocument()))).key
        blob = await seal(core, key, bytes(size))
        assert len(blob.data) <= limits.BLOB_BYTES
        assert await opened(core, blob) == bytes(size)

    in_core(tmp_path, test)


def test_keys_are_counted_for_nobodys_list_of_secrets(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        name: KeyId = key_id("5f3b1c9a-7d2e-4a6b-8c4d-0e1f2a3b4c5d")
        await create(core, name)
        assert (await core.call(ops.List())).entries == ()
        assert (await core.call(ops.Status())).persistent == 0

    in_core(tmp_path, test)


def test_a_password_whose_giver_has_gone_is_not_tried(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        gone = Told()
        gone.gone = True
        await core.call(requests.KeyImport(KeyDocument(NIGHTLY, exportable=True), TestAnExport.MATERIAL))
        password = SecretValue(b"correct horse")
        export = requests.KeyExport(NIGHTLY, None, KeyFormat.PBS, KeyKdf.PBKDF2, password)
        with pytest.raises(BusyError, match="nobody waits"):
            await core.call(export, listener=gone)
        file = await core.call(export)
        with pytest.raises(BusyError, match="nobody waits"):
            await core.call(requests.KeyImport(KeyDocument(OTHER), file.value, KeyFormat.PBS, password), listener=gone)
        with pytest.raises(NoKeyError):
            await describe(core, OTHER)

    in_core(tmp_path, test)
