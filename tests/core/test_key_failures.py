"""Keys whose store fails, is an older one, or is damaged."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from helpers.asynchronous import run
from helpers.backups import DEADLINE_S, backed_up, restored
from helpers.core import Core, in_core, open_core
from helpers.failing_store import FAILURES, Failing
from helpers.keys import CONTEXT, NIGHTLY, OTHER, PLAIN, create, describe, opened, seal
from helpers.rows import Rows, put_rows, rows_of
from secretd import keyrequests as requests
from secretd import limits, storerequests
from secretd.core.kinds import DEFAULT_KEY, KEY, MATERIAL, VERSION_USES
from secretd.errors import (
    BusyError,
    ConflictError,
    NoKeyError,
    OperationInvalidError,
    ReferencedError,
    StoreCorruptError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.keys import Blob, KeyDocument, KeyState
from secretd.model import SecretValue
from secretd.requests import Request
from secretd.store.base import Operation, Put, RevisionIs

LATER = 5
"""So many versions a key has here that is destroyed."""


async def no_problems(core: Core) -> None:
    assert (await core.call(storerequests.Check())).problems == ()


async def states(core: Core) -> dict[str, KeyState]:
    return {one.key: one.state for one in (await core.call(requests.KeyList(archived=True))).entries}


CHANGES: dict[str, tuple[Request[Any], Callable[[Core], Awaitable[bool]]]] = {}
"""Each kind of commit, and whether it was made."""


def change(request: Request[Any]) -> Callable[[Callable[[Core], Awaitable[bool]]], Callable[[Core], Awaitable[bool]]]:
    def register(is_made: Callable[[Core], Awaitable[bool]]) -> Callable[[Core], Awaitable[bool]]:
        CHANGES[is_made.__name__] = request, is_made
        return is_made

    return register


@change(requests.KeyCreate(KeyDocument(OTHER)))
async def creation(core: Core) -> bool:
    return OTHER in await states(core)


@change(requests.KeyDisable(NIGHTLY))
async def disabling(core: Core) -> bool:
    return (await states(core))[NIGHTLY] is KeyState.DISABLED


@change(requests.KeyRotate(NIGHTLY))
async def rotation(core: Core) -> bool:
    return (await describe(core)).version == LATER + 1


@change(requests.KeyDefault(NIGHTLY))
async def default(core: Core) -> bool:
    return (await describe(core)).default


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("made", [True, False], ids=["made", "not-made"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_in_force_is_what_is_on_disk(name: str, made: bool, error: BaseException, tmp_path: Path) -> None:
    request, is_made = CHANGES[name]
    blobs: list[Blob] = []

    async def test(core: Core) -> None:
        await create(core)
        for _ in range(LATER - 1):
            await core.call(requests.KeyRotate(NIGHTLY))
        blobs.append(await seal(core))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core.store, "commit", Failing(core.store.commit, made, error))
            with pytest.raises(type(error)):
                await core.call(request)
        assert await is_made(core) is made
        await no_problems(core)
        if not (made and name == "disabling"):
            assert await opened(core, blobs[0]) == PLAIN
            assert await opened(core, await seal(core)) == PLAIN

    async def after_a_start(core: Core) -> None:
        assert await is_made(core) is made

    in_core(tmp_path, test)
    in_core(tmp_path, after_a_start)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_was_made_unseen_is_seen_when_it_is_asked_for_again(name: str, tmp_path: Path) -> None:
    """The store fails, and then cannot even be read."""
    request, is_made = CHANGES[name]

    async def test(core: Core) -> None:
        await create(core)
        for _ in range(LATER - 1):
            await core.call(requests.KeyRotate(NIGHTLY))

        async def failing(_: bytes) -> NoReturn:
            raise StoreUnavailableError("the disk is away")

        async def commit(changes: Sequence[Operation], conditions: Sequence[RevisionIs] = ()) -> NoReturn:
            patch.setattr(core.store, "get", failing)
            await whole(changes, conditions)
            raise StoreOutcomeUnknownError("perhaps")

        whole = core.store.commit
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core.store, "commit", commit)
            with pytest.raises(StoreOutcomeUnknownError):
                await core.call(request)
        if name != "default":
            with pytest.raises(BusyError, match="nothing was done"):
                await core.call(request)
        else:
            await core.call(request)
        assert await is_made(core)
        await no_problems(core)

    in_core(tmp_path, test)


def test_an_older_record_that_is_put_back_while_a_key_is_used_is_not_taken_in(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await create(core)
        (old,) = (await core.store.scan(KEY)).records
        await core.call(requests.KeyDisable(NIGHTLY))
        await core.store.commit([Put(old.key, old.value)])
        for _ in range(2):
            with pytest.raises(BusyError, match="not as it was read"):
                await core.call(requests.KeyArchive(NIGHTLY))
        assert (await describe(core)).state is KeyState.DISABLED

    in_core(tmp_path, test)


COMMITS = 4
"""How many commits destroy a key here: a tombstone, two times removals, the tombstone again."""


@pytest.mark.parametrize("after", range(COMMITS + 1))
@pytest.mark.parametrize("made", [True, False], ids=["made", "not-made"])
@pytest.mark.parametrize("started", [True, False], ids=["a-start-later", "a-round-later"])
def test_a_destruction_that_is_cut_short_is_gone_on_with(
    after: int, made: bool, started: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMIT_OPERATIONS", 8)
    versions = 12

    async def test(core: Core) -> None:
        await create(core)
        for _ in range(versions - 1):
            await core.call(requests.KeyRotate(NIGHTLY))
        blob = await seal(core)
        await core.call(requests.KeyDisable(NIGHTLY))
        failing = Failing(core.store.commit, made, StoreUnavailableError("the disk is away"), after)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core.store, "commit", failing)
            if after < COMMITS:
                with pytest.raises(StoreUnavailableError):
                    await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))
            else:
                await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))
        await no_problems(core)
        destroyed = after > 0 or made
        assert (NIGHTLY not in await states(core)) is destroyed
        if not started:
            await gone_on_with(core, destroyed, blob)

    async def gone_on_with(core: Core, destroyed: bool, blob: Blob | None) -> None:
        await core.service.deletions.round()
        if not destroyed:
            await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))
        assert await core.store.count(MATERIAL) == await core.store.count(VERSION_USES) == 0
        assert await core.store.count(KEY) == 1
        with pytest.raises(NoKeyError):
            await describe(core)
        with pytest.raises(ConflictError):
            await create(core)
        if blob is not None:
            with pytest.raises(Exception, match="does not open"):
                await opened(core, blob)
        await no_problems(core)

    async def later(core: Core) -> None:
        await gone_on_with(core, after > 0 or made, None)

    in_core(tmp_path, test)
    if started:
        in_core(tmp_path, later)


class TestAnOlderRecord:
    """What was put back does not count, and makes the store one that lacks something."""

    @pytest.fixture
    def rows(self, tmp_path: Path) -> Rows:
        """Give the store as it was before the key was disabled."""

        async def before(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDefault(NIGHTLY))

        async def after(core: Core) -> None:
            await create(core, OTHER)
            await core.call(requests.KeyDefault(OTHER))
            await core.call(requests.KeyDisable(NIGHTLY))

        in_core(tmp_path, before)
        old = rows_of(tmp_path)
        in_core(tmp_path, after)
        return old

    @pytest.mark.parametrize("kind", [KEY, DEFAULT_KEY])
    @pytest.mark.parametrize("gone", [True, False], ids=["gone", "older"])
    def test_is_found_at_a_start(self, rows: Rows, kind: bytes, gone: bool, tmp_path: Path) -> None:
        now = rows_of(tmp_path)
        (key,) = [key for key in rows if key.startswith(kind)]
        if gone:
            del now[key]
        else:
            now[key] = rows[key]
        put_rows(tmp_path, now)

        async def test(core: Core) -> None:
            assert (await core.call(requests.KeyList())).entries
            for request in (
                requests.Encrypt(SecretValue(b"x"), OTHER),
                requests.KeyRotate(OTHER),
                requests.KeyCreate(KeyDocument()),
            ):
                with pytest.raises(StoreCorruptError, match="store-accept"):
                    await core.call(request)
            problems = [one.what for one in (await core.call(storerequests.Check())).problems]
            assert "grants or keys are missing, or are not those that were last written" in problems
            await core.call(storerequests.StoreAccept())
            # What was counted may be among what was lost.
            version = (await describe(core, OTHER)).version
            assert (await core.call(requests.Encrypt(SecretValue(b"x"), OTHER))).version == version + 1

        in_core(tmp_path, test)

    def test_of_a_count_is_found_by_a_check(self, tmp_path: Path) -> None:
        in_core(tmp_path, create_one)
        rows = rows_of(tmp_path)
        (count,) = [key for key in rows if key.startswith(VERSION_USES)]
        del rows[count]
        put_rows(tmp_path, rows)

        async def test(core: Core) -> None:
            assert (await core.call(storerequests.Check())).problems
            assert (await describe(core)).versions[0].uses == limits.VERSION_USES
            await seal(core)
            assert (await describe(core)).version == 2

        in_core(tmp_path, test)


async def create_one(core: Core) -> None:
    await create(core)


def flipped(row: tuple[bytes, int]) -> tuple[bytes, int]:
    value, revision = row
    # In the text of the record: header and tag stay, so its set-hash does.
    return value[:30] + bytes([value[30] ^ 1]) + value[31:], revision


DAMAGED = {
    KEY: "a key does not open",
    MATERIAL: "the bytes of version 1 of the key 'nightly' do not open",
    VERSION_USES: "a record does not open",
    DEFAULT_KEY: "a record does not open",
}


class TestADamagedRecord:
    def damaged(self, root: Path, kind: bytes, test: Callable[[Core], Awaitable[None]]) -> None:
        async def fill(core: Core) -> None:
            await create(core)
            await core.call(requests.KeyDefault(NIGHTLY))

        async def with_problem(core: Core) -> None:
            problems = [one.what for one in (await core.call(storerequests.Check())).problems]
            assert DAMAGED[kind] in problems
            await test(core)

        in_core(root, fill)
        rows = rows_of(root)
        (key,) = [key for key in rows if key.startswith(kind)]
        put_rows(root, {**rows, key: flipped(rows[key])})
        in_core(root, with_problem)

    def test_of_a_key_is_as_if_it_were_not_there_but_its_id_stays_taken(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(NoKeyError):
                await describe(core)
            with pytest.raises(ConflictError):
                await create(core)
            await create(core, OTHER)

        self.damaged(tmp_path, KEY, test)

    def test_of_its_bytes_says_so(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            assert (await describe(core)).version == 1
            with pytest.raises(StoreCorruptError):
                await seal(core)
            await core.call(requests.KeyRotate(NIGHTLY))
            assert await opened(core, await seal(core)) == PLAIN

        self.damaged(tmp_path, MATERIAL, test)

    def test_of_a_count_says_so_and_a_rotation_helps(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(StoreCorruptError):
                await seal(core)

        self.damaged(tmp_path, VERSION_USES, test)

    def test_of_the_default_key_makes_each_count_as_if_it_were(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(ReferencedError, match="default-key"):
                await core.call(requests.KeyArchive(NIGHTLY))
            await create(core, OTHER)
            await core.call(requests.KeyDefault(OTHER))
            await core.call(requests.KeyArchive(NIGHTLY))
            await no_problems(core)

        self.damaged(tmp_path, DEFAULT_KEY, test)


def test_keys_that_cannot_be_read_are_not_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> NoReturn:
        raise StoreUnavailableError("the disk is away")

    async def test(core: Core) -> None:
        await create(core)
        with monkeypatch.context() as patch:
            patch.setattr(core.store, "snapshot", failing)
            await core.service.unsealed()
        for request in (
            requests.KeyList(),
            requests.KeyDescribe(NIGHTLY),
            requests.Encrypt(SecretValue(b"x"), NIGHTLY),
        ):
            with pytest.raises(StoreUnavailableError, match="could not be read"):
                await core.call(request)
        await core.service.unsealed()
        assert await opened(core, await seal(core)) == PLAIN

    in_core(tmp_path, test)


def test_a_store_behind_its_mark_uses_no_key(tmp_path: Path) -> None:
    in_core(tmp_path, create_one)
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "store", old)

    async def test(core: Core) -> None:
        await core.call(requests.KeyDisable(NIGHTLY))

    async def older(core: Core) -> None:
        assert (await describe(core)).state is KeyState.ENABLED
        with pytest.raises(StoreCorruptError, match="no key can be used"):
            await seal(core)

    in_core(tmp_path, test)
    shutil.rmtree(tmp_path / "store")
    shutil.copytree(old, tmp_path / "store")
    in_core(tmp_path, older)


def test_a_restored_store_has_its_keys_and_seals_by_new_versions(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    kept: list[bytes] = []
    blobs: list[Blob] = []

    async def old(core: Core) -> None:
        await create(core)
        await create(core, OTHER)
        await core.call(requests.KeyDefault(OTHER))
        await core.call(requests.KeyDisable(OTHER))
        blobs.append(await seal(core))
        kept.append(await backed_up(core))

    async def new(core: Core) -> None:
        await restored(core, kept[0])
        assert await states(core) == {NIGHTLY: KeyState.ENABLED, OTHER: KeyState.DISABLED}
        assert (await describe(core, OTHER)).default
        assert await opened(core, blobs[0]) == PLAIN
        sealed = await core.call(requests.Encrypt(SecretValue(PLAIN), NIGHTLY, CONTEXT))
        assert sealed.version == 2
        assert await opened(core, sealed.blob) == PLAIN
        await no_problems(core)
        with pytest.raises(OperationInvalidError, match="key"):
            await restored(core, kept[0])

    for root in (here, there):
        root.mkdir(mode=0o700)
    in_core(here, old)
    (there / "config").mkdir(mode=0o700)
    shutil.copy(here / "config" / "root.key", there / "config" / "root.key")
    in_core(there, new)
    in_core(there, no_problems)


def test_keys_outlive_a_rotation_of_the_keyring_and_its_retirement(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await create(core)
            blob, digest = await seal(core), (await describe(core)).digest
            await core.call(storerequests.SealRotate())
            await resealed(core)
            await core.call(storerequests.SealRetire())
            assert await opened(core, blob) == PLAIN
            assert (await describe(core)).digest == digest
            await core.call(requests.KeyRotate(NIGHTLY, digest))
            await no_problems(core)

    run(test())


async def resealed(core: Core) -> None:
    """Wait until no record is sealed by an older version."""
    async with asyncio.timeout(DEADLINE_S):
        while (await core.call(storerequests.SealStatus())).resealing:
            # A scan goes through the store's thread, so this waits and does not spin.
            await core.store.scan(KEY)
