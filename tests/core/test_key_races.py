"""Keys that change while they are used or changed, and records that are sealed anew in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.core import Core, in_core
from helpers.keys import CONTEXT, NIGHTLY, OTHER, PLAIN, create, describe, opened, seal
from helpers.rows import put_rows, rows_of
from secretd import keyrequests as requests
from secretd import limits, storerequests
from secretd.core.kinds import DEFAULT_KEY, HEAD, KEY, MATERIAL, VERSION_USES
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import BusyError, DecryptionError, NoKeyError, SealError, StoreCorruptError, WrongStateError
from secretd.keys import Blob, KeyDocument
from secretd.model import SecretValue
from secretd.store.base import Operation, Put, RevisionIs
from secretd.store.reading import Record

Change = Callable[[Core], Awaitable[object]]


@contextmanager
def before_reading(core: Core, kind: bytes, change: Change, times: int = 1) -> Iterator[None]:
    """Have something changed while a record of a kind is read: before the store is asked for it."""
    get, left = core.store.get, times

    async def reading(key: bytes) -> Record | None:
        nonlocal left
        if key.startswith(kind) and left:
            left -= 1
            await change(core)
        return await get(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.store, "get", reading)
        yield


@contextmanager
def sealed_anew(core: Core, kind: bytes, times: int) -> Iterator[None]:
    """Have the record of a kind sealed anew after it was read, before the next commits that need it as it was."""
    commit, left = core.store.commit, times

    async def later(changes: Sequence[Operation], conditions: Sequence[RevisionIs] = ()) -> int:
        nonlocal left
        if left and any(one.key.startswith(kind) for one in conditions):
            left -= 1
            for record in (await core.store.scan(kind)).records:
                await commit([Put(record.key, envelope.reseal(core.seal.keyrings, record.key, record.value))])
        return await commit(changes, conditions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.store, "commit", later)
        yield


async def disable(core: Core) -> None:
    await core.call(requests.KeyDisable(NIGHTLY))


async def rotate(core: Core) -> None:
    await core.call(requests.KeyRotate(NIGHTLY))


async def destroy(core: Core) -> None:
    await disable(core)
    await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))


class TestAKeyThatChangesWhileItsBytesAreRead:
    def used(self, root: Path, use: Callable[[Core, Blob], Awaitable[None]]) -> None:
        blobs: list[Blob] = []

        async def first(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, exportable=True))
            blobs.append(await seal(core))

        # After a start no bytes are at hand.
        in_core(root, first)
        in_core(root, lambda core: use(core, blobs[0]))

    def test_seals_by_its_newest_version(self, tmp_path: Path) -> None:
        async def use(core: Core, _: Blob) -> None:
            with before_reading(core, MATERIAL, rotate):
                sealed = await core.call(requests.Encrypt(SecretValue(PLAIN), NIGHTLY, CONTEXT))
            assert sealed.version == 2
            assert await opened(core, sealed.blob) == PLAIN

        self.used(tmp_path, use)

    def test_is_judged_anew(self, tmp_path: Path) -> None:
        async def use(core: Core, blob: Blob) -> None:
            with before_reading(core, MATERIAL, disable), pytest.raises(WrongStateError, match="disabled"):
                await opened(core, blob)

        self.used(tmp_path, use)

    def test_and_is_gone_opens_nothing(self, tmp_path: Path) -> None:
        async def use(core: Core, blob: Blob) -> None:
            with before_reading(core, MATERIAL, destroy), pytest.raises(DecryptionError):
                await opened(core, blob)

        self.used(tmp_path, use)

    def test_is_exported_as_it_is_then(self, tmp_path: Path) -> None:
        async def use(core: Core, _: Blob) -> None:
            with before_reading(core, MATERIAL, rotate):
                assert (await core.call(requests.KeyExport(NIGHTLY))).version == 2

        self.used(tmp_path, use)

    @pytest.mark.parametrize("what", ["seal", "open", "export"])
    def test_again_and_again_is_busy(self, what: str, tmp_path: Path) -> None:
        async def use(core: Core, blob: Blob) -> None:
            ways = {
                "seal": requests.Encrypt(SecretValue(PLAIN), NIGHTLY),
                "open": requests.Decrypt(blob, None, CONTEXT),
                "export": requests.KeyExport(NIGHTLY),
            }
            with before_reading(core, MATERIAL, rotate, limits.COMMIT_RETRIES), pytest.raises(BusyError, match="kept"):
                await core.call(ways[what])

        self.used(tmp_path, use)


SEALED_ANEW: dict[str, tuple[bytes, Change]] = {
    "a change": (KEY, disable),
    "a rotation": (KEY, rotate),
    "the default": (DEFAULT_KEY, lambda core: core.call(requests.KeyDefault(OTHER))),
    "a reservation": (VERSION_USES, seal),
}


@pytest.mark.parametrize("name", SEALED_ANEW)
class TestARecordThatIsSealedAnewInBetween:
    def made(self, root: Path, name: str, test: Callable[[Core, bytes, Change], Awaitable[None]]) -> None:
        kind, change = SEALED_ANEW[name]

        async def with_keys(core: Core) -> None:
            await create(core)
            await create(core, OTHER)
            await core.call(requests.KeyDefault(NIGHTLY))
            # So that the next use has to reserve.
            core.service._keys.version_uses.forget()
            await test(core, kind, change)
            assert not (await core.call(storerequests.Check())).problems

        in_core(root, with_keys)

    def test_is_the_same_one(self, name: str, tmp_path: Path) -> None:
        async def test(core: Core, kind: bytes, change: Change) -> None:
            with sealed_anew(core, kind, 2):
                await change(core)

        self.made(tmp_path, name, test)

    def test_again_and_again_is_busy(self, name: str, tmp_path: Path) -> None:
        async def test(core: Core, kind: bytes, change: Change) -> None:
            with sealed_anew(core, kind, limits.COMMIT_RETRIES), pytest.raises(BusyError):
                await change(core)
            await change(core)

        self.made(tmp_path, name, test)


def test_a_key_whose_record_is_another_than_was_read_is_left_as_it_is(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await create(core)
        (record,) = (await core.store.scan(KEY)).records
        opened_record = envelope.open_record(core.seal.keyrings, record.key, record.value)
        keyring = core.seal.keyrings[Domain.SHARED]
        other = envelope.seal(keyring, record.key, opened_record.counter + 7, opened_record.plaintext)
        await core.store.commit([Put(record.key, other)])
        with pytest.raises(BusyError, match="not as it was read"):
            await disable(core)

    in_core(tmp_path, test)


def forged(core: Core, record: Record, plaintext: bytes, name: bytes | None = None) -> Put:
    """Seal something that nobody of us would keep there."""
    counter = envelope.peek(record.value).counter
    key = name or record.key
    return Put(key, envelope.seal(core.seal.keyrings[Domain.SHARED], key, counter, plaintext))


FORGED: dict[str, tuple[bytes, bytes, str]] = {
    "a key of another name": (KEY, b"", "a key does not open"),
    "bytes that are too few": (MATERIAL, bytes(31), "the bytes of version 1 of the key 'nightly' do not open"),
    "a count that is none": (VERSION_USES, bytes(7), "a record does not open"),
    "a default that is none": (DEFAULT_KEY, b"x", "a record does not open"),
    "a default that is not there": (DEFAULT_KEY, b"nowhere", "the default key is none that is there"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_check_finds_what_does_not_belong(name: str, tmp_path: Path) -> None:
    kind, plaintext, problem = FORGED[name]

    async def test(core: Core) -> None:
        await create(core)
        await core.call(requests.KeyDefault(NIGHTLY))
        (record,) = (await core.store.scan(kind)).records
        if kind == KEY:
            await create(core, OTHER)
            (other,) = [one for one in (await core.store.scan(KEY)).records if one.key != record.key]
            plaintext_of = envelope.open_record(core.seal.keyrings, other.key, other.value).plaintext
            await core.store.commit([forged(core, record, plaintext_of)])
        else:
            await core.store.commit([forged(core, record, plaintext)])
        problems = [one.what for one in (await core.call(storerequests.Check())).problems]
        assert problem in problems

    in_core(tmp_path, test)


STRAY: dict[str, tuple[bytes, bytes, str]] = {
    "bytes of no key": (MATERIAL, bytes(32) + b"\0\0\0\1", "bytes belong to no key"),
    "bytes of no version": (MATERIAL, b"\0\0\0\2", "bytes belong to no version of their key"),
    "a count of no key": (VERSION_USES, bytes(32) + b"\0\0\0\1", "uses are counted of no version that seals"),
    "a count of no version": (VERSION_USES, b"\0\0\0\2", "uses are counted of no version that seals"),
}


@pytest.mark.parametrize("name", STRAY)
def test_a_check_finds_what_belongs_to_nothing(name: str, tmp_path: Path) -> None:
    kind, tail, problem = STRAY[name]

    async def test(core: Core) -> None:
        await create(core)
        (record,) = (await core.store.scan(kind)).records
        stray = (kind if len(tail) > 4 else record.key[:-4]) + tail
        plaintext = envelope.open_record(core.seal.keyrings, record.key, record.value).plaintext
        await core.store.commit([forged(core, record, plaintext, stray)])
        assert problem in [one.what for one in (await core.call(storerequests.Check())).problems]

    in_core(tmp_path, test)


def test_bytes_that_are_gone_are_told_of(tmp_path: Path) -> None:
    async def first(core: Core) -> None:
        await create(core)

    async def test(core: Core) -> None:
        problems = [one.what for one in (await core.call(storerequests.Check())).problems]
        assert "the bytes of version 1 of the key 'nightly' are gone" in problems
        with pytest.raises(StoreCorruptError, match="gone"):
            await seal(core)

    in_core(tmp_path, first)
    rows = rows_of(tmp_path)
    put_rows(tmp_path, {key: row for key, row in rows.items() if not key.startswith(MATERIAL)})
    in_core(tmp_path, test)


def test_a_store_whose_head_is_gone_is_accepted_without_its_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMIT_OPERATIONS", 8)
    monkeypatch.setattr(limits, "RESEAL_RECORDS", 4)  # of which each has its condition

    async def first(core: Core) -> None:
        for _ in range(10):
            await core.call(requests.KeyCreate(KeyDocument()))
        await create(core)
        await seal(core)

    async def test(core: Core) -> None:
        await core.call(storerequests.StoreAccept())
        assert await core.store.count(VERSION_USES) == 0
        await seal(core)
        assert (await describe(core)).version == 2
        assert not (await core.call(storerequests.Check())).problems

    in_core(tmp_path, first)
    rows = rows_of(tmp_path)
    del rows[HEAD]
    put_rows(tmp_path, rows)
    in_core(tmp_path, test)


def test_while_the_keys_are_not_read_the_daemon_is_just_being_unsealed(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await create(core)
        core.service._keys.forget()
        with pytest.raises(SealError, match="try again"):
            await describe(core)
        await core.service.unsealed()
        await describe(core)

    in_core(tmp_path, test)


def test_so_many_sealed_bytes_are_kept_at_hand_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHE_KEY_VERSIONS", 2)

    async def test(core: Core) -> None:
        await create(core)
        blobs = []
        for _ in range(4):
            blobs.append(await seal(core))
            await rotate(core)
        for blob in (*blobs, *blobs):
            assert await opened(core, blob) == PLAIN
        assert len(core.service._keys._sealed) == 2
        await destroy(core)
        assert not core.service._keys._sealed
        with pytest.raises(NoKeyError):
            await describe(core)

    in_core(tmp_path, test)
