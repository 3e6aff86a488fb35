"""Deletion at the end of a window: when it happens, what stops it, and what is left; by a clock that a test sets."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.backups import backed_up, restored
from helpers.core import OWNER, Core, HandClock, Told
from helpers.core import in_core as in_any_core
from helpers.rows import put_rows, rows_of
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core import kinds
from secretd.core.kinds import ATTRIBUTES, LATEST, OUT_OF_USE, TOMBSTONE, VALUE
from secretd.core.lifecyclerecords import sealed
from secretd.core.state import Wanted
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import (
    ConflictError,
    NotFoundError,
    OperationInvalidError,
    StoreCorruptError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.lifecycle import Lifecycle, Reference, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretCancelDeletion,
    SecretGetLifecycle,
    SecretScheduleDeletion,
)
from secretd.model import Attributes, Caller, SecretDocument, SecretValue, Usage, UsageType
from secretd.moments import moment_of
from secretd.store.base import Put
from secretd.store.reading import Page

SECRET, OTHER = UUID(int=1), UUID(int=2)
USAGE = Usage(UsageType.CEPH, "client.admin")
SOMEBODY = Caller(uid=4711, gid=4711, pid=1)
DAY_S = 86_400
WINDOW_S = 30 * DAY_S

Test = Callable[[Core], Awaitable[None]]


def in_core(root: Path, test: Test, clock: HandClock) -> None:
    in_any_core(root, test, policy=lambda *_: True, read_clock=clock)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def make(core: Core, *, ephemeral: bool = False, secret: UUID = SECRET, caller: Caller = SOMEBODY) -> None:
    usage = USAGE if secret == SECRET else None
    await core.call(ops.SetXml(secret, SecretDocument(Attributes(usage, ephemeral=ephemeral))), caller)
    await core.call(ops.SetValue(secret, SecretValue(b"value")), caller)


async def scheduled(core: Core, *, ephemeral: bool = False) -> None:
    await make(core, ephemeral=ephemeral)
    await core.call(SecretScheduleDeletion(SECRET))


async def look(core: Core) -> None:
    await core.service.deletions.round()


async def is_there(core: Core, secret: UUID = SECRET) -> bool:
    return secret in [entry.secret for entry in (await core.call(ops.List(archived=True))).entries]


async def is_sound(core: Core) -> None:
    assert (await core.call(storerequests.Check())).problems == ()


async def break_record(core: Core, key: bytes) -> bytes:
    """Break a record, as its author could not, and give what it was."""
    record = await core.store.get(key)
    assert record is not None
    await core.store.commit([Put(key, record.value[:-1] + bytes([record.value[-1] ^ 1]))], [])
    return record.value


def test_it_is_deleted_at_the_end_of_its_window_and_not_before(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        clock.now_s += WINDOW_S - 1
        await look(core)
        assert await is_there(core)
        clock.now_s += 1
        await look(core)
        assert not await is_there(core)
        for request in (ops.GetXml(SECRET), ops.GetValue(SECRET), SecretCancelDeletion(SECRET)):
            with pytest.raises(NotFoundError):
                await core.call(request)
        await is_sound(core)

    in_core(tmp_path, test, clock)


def test_of_it_only_a_tombstone_is_left(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        clock.now_s += WINDOW_S
        await look(core)
        left = [record.key for record in (await core.store.scan(b"")).records]
        assert [key for key in left if SECRET.bytes in key] == [TOMBSTONE + SECRET.bytes]
        # And the usage is free, and nothing is counted to whoever had it.
        assert all(bound.used == 0 for bound in await core.service._quotas.bounds(SOMEBODY.uid))
        await core.call(ops.Define(SecretDocument(Attributes(USAGE))))

    in_core(tmp_path, test, clock)


@pytest.mark.parametrize(
    "request_",
    [
        ops.SetXml(SECRET, SecretDocument(Attributes())),
        ops.SetXml(SECRET, SecretDocument(Attributes(ephemeral=True))),
        ops.Define(SecretDocument(Attributes(), SECRET)),
        ops.SetValue(SECRET, SecretValue(b"value")),
        ops.SetValue(SECRET, SecretValue(b"value"), ephemeral=True),
    ],
)
def test_its_id_is_never_used_again(tmp_path: Path, clock: HandClock, request_: ops.Request[ops.Changed]) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        clock.now_s += WINDOW_S
        await look(core)
        for _ in range(2):
            with pytest.raises(ConflictError, match="this id is not free"):
                await core.call(request_)

    async def later(core: Core) -> None:
        with pytest.raises(ConflictError, match="this id is not free"):
            await core.call(request_)

    in_core(tmp_path, test, clock)
    in_core(tmp_path, later, clock)


def test_an_ephemeral_one_is_deleted_and_leaves_nothing(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core, ephemeral=True)
        clock.now_s += WINDOW_S
        await look(core)
        assert not await is_there(core)
        assert await core.store.count(TOMBSTONE) == 0
        await make(core, ephemeral=True)
        assert await is_there(core)

    in_core(tmp_path, test, clock)


def test_an_archived_one_too(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await make(core)
        await core.call(SecretArchive(SECRET))
        await core.call(SecretScheduleDeletion(SECRET, 7))
        clock.now_s += 7 * DAY_S
        await look(core)
        assert not await is_there(core)
        await is_sound(core)

    in_core(tmp_path, test, clock)


def test_what_was_cancelled_stays(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        await core.call(SecretCancelDeletion(SECRET))
        clock.now_s += 2 * WINDOW_S
        await look(core)
        assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"value"

    in_core(tmp_path, test, clock)


def test_a_later_deadline_counts(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await make(core)
        await core.call(SecretScheduleDeletion(SECRET, 7))
        await core.call(SecretCancelDeletion(SECRET))
        clock.now_s += 1
        await core.call(SecretScheduleDeletion(SECRET, 7))
        clock.now_s += 7 * DAY_S - 1
        await look(core)
        assert await is_there(core)
        clock.now_s += 1
        await look(core)
        assert not await is_there(core)

    in_core(tmp_path, test, clock)


def test_subscribers_are_told(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        told = Told()
        await core.call(ops.Subscribe(), listener=told)
        clock.now_s += WINDOW_S
        await look(core)
        assert await told.until(ops.SecretDeleted, SECRET) == [ops.SecretDeleted(SECRET, USAGE)]

    in_core(tmp_path, test, clock)


def test_the_rounds_go_on_by_themselves(tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DELETION_ROUND_SECONDS", 0.001)

    async def test(core: Core) -> None:
        await scheduled(core)
        told = Told()
        await core.call(ops.Subscribe(), listener=told)
        clock.now_s += WINDOW_S
        await told.until(ops.SecretDeleted, SECRET)

    in_core(tmp_path, test, clock)


def test_the_first_round_after_a_start_finds_what_waits(tmp_path: Path, clock: HandClock) -> None:
    async def before(core: Core) -> None:
        await scheduled(core)
        await make(core, secret=OTHER)
        await core.call(SecretArchive(OTHER))

    async def after(core: Core) -> None:
        await look(core)
        assert not await is_there(core)
        assert await is_there(core, OTHER)

    in_core(tmp_path, before, clock)
    clock.now_s += WINDOW_S
    in_core(tmp_path, after, clock)


def test_more_than_a_page_of_them(tmp_path: Path, clock: HandClock) -> None:
    number = 2 * limits.CHECK_PAGE + 1

    async def before(core: Core) -> None:
        for secret in map(UUID, (f"{n:032x}" for n in range(1, number + 1))):
            await make(core, secret=secret, caller=OWNER)
            await core.call(SecretScheduleDeletion(secret))

    async def after(core: Core) -> None:
        await look(core)
        assert (await core.call(ops.Count(archived=True))).secrets == 0
        assert await core.store.count(TOMBSTONE) == number
        await is_sound(core)

    in_core(tmp_path, before, clock)
    clock.now_s += WINDOW_S
    in_core(tmp_path, after, clock)


class TestWhatIsAgainstIt:
    """It is looked at again in each round, and deleted once nothing is against it any more."""

    @pytest.mark.parametrize(
        "against",
        [Lifecycle(references=(Reference("job", ReferenceKind.ASSOCIATED),)), Lifecycle(protected=True)],
        ids=["referenced", "protected"],
    )
    def test_who_needs_it(
        self, tmp_path: Path, clock: HandClock, against: Lifecycle, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def put(core: Core, lifecycle: Lifecycle) -> None:
            # No request leads here: it is what a daemon of another version may have left.
            homes = core.service._secrets._homes
            state = await homes.find(SECRET)
            assert state is not None
            await homes.persistent.put(state, SECRET, Wanted(state.attributes, lifecycle=lifecycle), 0)

        async def test(core: Core) -> None:
            await scheduled(core)
            due = int(clock.now_s) + WINDOW_S
            await put(core, replace(against, due=due))
            clock.now_s += WINDOW_S
            for _ in range(2):
                caplog.clear()
                with caplog.at_level(logging.WARNING):
                    await look(core)
                assert len([one for one in caplog.messages if "not deleted" in one]) == 1
                assert await is_there(core)
            await put(core, Lifecycle(due=due))
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, test, clock)

    @pytest.mark.parametrize("kind", [ATTRIBUTES, kinds.OWNER])
    def test_what_cannot_be_read(
        self, tmp_path: Path, clock: HandClock, kind: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def before(core: Core) -> None:
            await scheduled(core)

        async def after(core: Core) -> None:
            whole = await break_record(core, kind + SECRET.bytes)
            clock.now_s += WINDOW_S
            for _ in range(2):
                caplog.clear()
                await look(core)
                assert len([one for one in caplog.messages if "not deleted" in one]) == 1
            assert await core.store.count(TOMBSTONE) == 0
            await core.store.commit([Put(kind + SECRET.bytes, whole)], [])

        async def mended(core: Core) -> None:
            await look(core)
            assert not await is_there(core)
            assert await core.store.count(TOMBSTONE) == 1

        in_core(tmp_path, before, clock)
        in_core(tmp_path, after, clock)
        in_core(tmp_path, mended, clock)

    def test_a_deadline_that_cannot_be_read(
        self, tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def before(core: Core) -> None:
            await scheduled(core)
            await break_record(core, OUT_OF_USE + SECRET.bytes)

        async def after(core: Core) -> None:
            await look(core)
            assert any("cannot be read when" in one for one in caplog.messages)
            assert await is_there(core)
            # Who cancels it can have it deleted anew.
            await core.call(SecretCancelDeletion(SECRET))
            await core.call(SecretScheduleDeletion(SECRET))
            clock.now_s += WINDOW_S
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, before, clock)
        clock.now_s += WINDOW_S
        in_core(tmp_path, after, clock)

    def test_a_note_of_one_that_was_cancelled(self, tmp_path: Path, clock: HandClock) -> None:
        async def before(core: Core) -> None:
            await scheduled(core)
            note = await core.store.get(OUT_OF_USE + SECRET.bytes)
            assert note is not None
            await core.call(SecretCancelDeletion(SECRET))
            await core.store.commit([Put(note.key, note.value)], [])

        async def after(core: Core) -> None:
            await look(core)
            assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"value"

        in_core(tmp_path, before, clock)
        clock.now_s += WINDOW_S
        in_core(tmp_path, after, clock)

    def test_a_store_that_cannot_be_looked_through(
        self, tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> Page:
            raise StoreUnavailableError("not now")

        async def test(core: Core) -> None:
            # As if the first round of this start had not come yet.
            core.service.deletions.begin()
            with monkeypatch.context() as patched:
                patched.setattr(core.store, "scan", fail)
                await look(core)
            assert "not all secrets that wait for their deletion are known" in caplog.messages
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, scheduled, clock)
        clock.now_s += WINDOW_S
        in_core(tmp_path, test, clock)

    def test_a_time_that_nobody_can_tell(self, tmp_path: Path, clock: HandClock) -> None:
        async def before(core: Core) -> None:
            await scheduled(core)
            await make(core, secret=OTHER)
            await break_record(core, LATEST)

        async def after(core: Core) -> None:
            await look(core)
            assert await is_there(core)
            with pytest.raises(StoreCorruptError):
                await core.call(SecretScheduleDeletion(OTHER))
            await core.call(SecretCancelDeletion(SECRET))
            assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"value"

        in_core(tmp_path, before, clock)
        clock.now_s += WINDOW_S
        in_core(tmp_path, after, clock)

    def test_a_store_that_lacks_something(self, tmp_path: Path, clock: HandClock) -> None:
        async def test(core: Core) -> None:
            await look(core)
            assert await is_there(core)
            await core.call(storerequests.StoreAccept())
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, scheduled, clock)
        shutil.copytree(tmp_path / "store", tmp_path / "copy")
        in_core(tmp_path, lambda core: make(core, secret=OTHER), clock)
        shutil.rmtree(tmp_path / "store")
        shutil.move(tmp_path / "copy", tmp_path / "store")
        clock.now_s += WINDOW_S
        in_core(tmp_path, test, clock)

    def test_a_commit_that_fails(self, tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test(core: Core) -> None:
            await scheduled(core)
            told = Told()
            await core.call(ops.Subscribe(), listener=told)
            clock.now_s += WINDOW_S

            async def fail(*_: object) -> int:
                raise StoreOutcomeUnknownError("perhaps")

            with monkeypatch.context() as patched:
                patched.setattr(core.store, "commit", fail)
                await look(core)
            await told.until(ops.EventsLost)
            assert await is_there(core)
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, test, clock)


class TestClock:
    def test_one_that_is_set_back_makes_no_window_longer(self, tmp_path: Path, clock: HandClock) -> None:
        first = int(clock.now_s)

        async def test(core: Core) -> None:
            await scheduled(core)

        async def later(core: Core) -> None:
            await make(core, secret=OTHER)
            reply = await core.call(SecretScheduleDeletion(OTHER, 7))
            assert reply.due == moment_of(first + 7 * DAY_S)
            assert (await core.call(SecretGetLifecycle(SECRET))).due == moment_of(first + WINDOW_S)
            clock.now_s = first + WINDOW_S
            await look(core)
            assert not await is_there(core)

        in_core(tmp_path, test, clock)
        clock.now_s -= 365 * DAY_S
        in_core(tmp_path, later, clock)

    def test_the_rounds_keep_the_time_while_somebody_waits(self, tmp_path: Path, clock: HandClock) -> None:
        first = int(clock.now_s)

        async def test(core: Core) -> None:
            await scheduled(core)
            clock.now_s += WINDOW_S - 1
            await look(core)

        async def later(core: Core) -> None:
            await core.call(SecretCancelDeletion(SECRET))
            reply = await core.call(SecretScheduleDeletion(SECRET, 7))
            assert reply.due == moment_of(first + WINDOW_S - 1 + 7 * DAY_S)

        in_core(tmp_path, test, clock)
        clock.now_s = first
        in_core(tmp_path, later, clock)

    def test_nothing_is_written_for_that_more_than_once_an_hour(self, tmp_path: Path, clock: HandClock) -> None:
        async def test(core: Core) -> None:
            await scheduled(core)
            before = await core.store.revision()
            clock.now_s += 3_599
            await look(core)
            assert await core.store.revision() == before
            clock.now_s += 1
            await look(core)
            await look(core)
            assert await core.store.revision() == before + 1

        in_core(tmp_path, test, clock)

    def test_nor_anything_where_nobody_waits(self, tmp_path: Path, clock: HandClock) -> None:
        async def test(core: Core) -> None:
            await make(core)
            await core.call(SecretArchive(SECRET))
            before = await core.store.revision()
            clock.now_s += 365 * DAY_S
            await look(core)
            assert await core.store.revision() == before

        in_core(tmp_path, test, clock)


def test_what_is_kept_of_it_follows_a_rotation(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        await make(core, secret=OTHER)
        await core.call(SecretScheduleDeletion(OTHER, 7))
        clock.now_s += 7 * DAY_S
        await look(core)
        await core.call(storerequests.SealRotate())
        while (await core.call(storerequests.SealStatus())).resealing:
            # A scan goes through the store's thread, so this waits and does not spin.
            await core.store.scan(VALUE)
        await core.call(storerequests.SealRetire())
        await is_sound(core)

    async def later(core: Core) -> None:
        await look(core)
        assert not await is_there(core)
        with pytest.raises(ConflictError):
            await make(core, secret=OTHER)

    in_core(tmp_path, test, clock)
    clock.now_s += WINDOW_S
    in_core(tmp_path, later, clock)


def test_a_backup_has_it_and_what_is_restored_is_looked_after_at_once(tmp_path: Path, clock: HandClock) -> None:
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    copies: list[bytes] = []

    async def test(core: Core) -> None:
        await scheduled(core)
        await make(core, secret=OTHER)
        await core.call(SecretScheduleDeletion(OTHER, 7))
        clock.now_s += 7 * DAY_S
        await look(core)
        copies.append(await backed_up(core))

    async def later(core: Core) -> None:
        await look(core)
        await restored(core, copies[0])
        await is_sound(core)
        with pytest.raises(ConflictError):
            await make(core, secret=OTHER)
        assert await is_there(core)
        clock.now_s += WINDOW_S
        await look(core)
        assert not await is_there(core)

    in_core(tmp_path, test, clock)
    (new / "config").mkdir(mode=0o700)
    shutil.copy(tmp_path / "config" / "root.key", new / "config" / "root.key")
    in_core(new, later, clock)


def test_nothing_is_restored_where_an_id_is_used_up(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        backup = await backed_up(core)
        clock.now_s += WINDOW_S
        await look(core)
        with pytest.raises(OperationInvalidError, match="at the end of its window"):
            await restored(core, backup)

    in_core(tmp_path, test, clock)


def test_a_daemon_that_only_waits_may_end(tmp_path: Path, clock: HandClock) -> None:
    async def test(core: Core) -> None:
        await scheduled(core)
        await look(core)
        assert not core.service.busy

    in_core(tmp_path, test, clock)


class TestCheck:
    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            (OUT_OF_USE + SECRET.bytes, "it is not noted that lists leave a secret out"),
            (LATEST, "records are missing, or are not those that were last written"),
        ],
    )
    def test_a_record_that_is_missing(self, tmp_path: Path, clock: HandClock, key: bytes, problem: str) -> None:
        async def test(core: Core) -> None:
            assert problem in [one.what for one in (await core.call(storerequests.Check())).problems]

        in_core(tmp_path, scheduled, clock)
        rows = rows_of(tmp_path)
        put_rows(tmp_path, {name: row for name, row in rows.items() if name != key})
        in_core(tmp_path, test, clock)

    @pytest.mark.parametrize(
        ("key", "moment", "problem"),
        [
            (OUT_OF_USE + SECRET.bytes, 1, "what is noted of a secret that lists leave out is not what befell it"),
            (OUT_OF_USE + OTHER.bytes, 0, "what is noted of a secret that lists leave out is not what befell it"),
            (OUT_OF_USE + UUID(int=3).bytes, 0, "what is noted of a secret that lists leave out is not what befell it"),
            (TOMBSTONE + SECRET.bytes, 0, "a secret has an id that is used up"),
        ],
    )
    def test_a_record_that_says_what_is_not_so(
        self, tmp_path: Path, clock: HandClock, key: bytes, moment: int, problem: str
    ) -> None:
        async def test(core: Core) -> None:
            await scheduled(core)
            await make(core, secret=OTHER)
            await is_sound(core)
            await core.store.commit([sealed(core.seal.keyrings, key, 1, moment)], [])
            found = await core.call(storerequests.Check())
            assert found.problems == (storerequests.Problem(problem, UUID(bytes=key[1:])),)

        in_core(tmp_path, test, clock)

    def test_a_secret_that_does_not_open_is_told_of_once(self, tmp_path: Path, clock: HandClock) -> None:
        async def test(core: Core) -> None:
            await scheduled(core)
            await core.call(ops.Define(SecretDocument(Attributes())))
            await break_record(core, ATTRIBUTES + SECRET.bytes)
            told = (await core.call(storerequests.Check())).problems
            assert [one for one in told if one.secret == SECRET] == [
                storerequests.Problem("a record does not open", SECRET)
            ]

        in_core(tmp_path, test, clock)

    def test_a_moment_of_another_length(self, tmp_path: Path, clock: HandClock) -> None:
        async def test(core: Core) -> None:
            keyring = core.seal.keyrings[Domain.SHARED]
            await core.store.commit([Put(LATEST, envelope.seal(keyring, LATEST, 1, b"soon"))], [])
            found = await core.call(storerequests.Check())
            assert [one.what for one in found.problems] == ["a record does not open"]

        in_core(tmp_path, test, clock)

    @pytest.mark.parametrize("key", [OUT_OF_USE + SECRET.bytes, TOMBSTONE + OTHER.bytes, LATEST])
    def test_a_record_that_does_not_open(self, tmp_path: Path, clock: HandClock, key: bytes) -> None:
        async def test(core: Core) -> None:
            await make(core, secret=OTHER)
            await core.call(SecretScheduleDeletion(OTHER, 7))
            clock.now_s += 7 * DAY_S
            await look(core)
            await scheduled(core)
            await break_record(core, key)
            found = await core.call(storerequests.Check())
            assert [one.what for one in found.problems] == ["a record does not open"]

        in_core(tmp_path, test, clock)
