"""What a store lost or mixed up, noticed: by the high-water mark at a start, and by a check."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from helpers.core import Core, in_core
from helpers.rows import Rows, put_rows, rows_of
from secretd import operations as ops
from secretd import storerequests
from secretd.core.kinds import ATTRIBUTES, HEAD, USAGE, USES, VALUE
from secretd.errors import BusyError, OperationInvalidError, StoreCorruptError, StoreFullError
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Delete, Put
from secretd.store.sqlite_snapshot import SqliteSnapshot
from secretd.store.sqlite_transaction import Transaction

DEADLINE_S = 30

ONE, TWO = UUID(int=1), UUID(int=2)


async def fill(core: Core) -> None:
    for secret in (ONE, TWO):
        usage = Usage(UsageType.VOLUME, f"/{secret.int}")
        await core.call(ops.SetXml(secret, SecretDocument(Attributes(usage))))
        await core.call(ops.SetValue(secret, SecretValue(b"value")))


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Make a place where a daemon has been, and kept two secrets."""
    in_core(tmp_path, fill)
    return tmp_path


class TestHighWater:
    def put_old_copy_back(self, root: Path) -> None:
        shutil.copytree(root / "store", root / "copy")

        async def go_on(core: Core) -> None:
            await core.call(ops.SetValue(ONE, SecretValue(b"newer")))

        in_core(root, go_on)
        shutil.rmtree(root / "store")
        shutil.move(root / "copy", root / "store")

    def test_an_old_copy_is_read_only_until_it_is_accepted(self, used: Path) -> None:
        self.put_old_copy_back(used)

        async def look(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only
            assert (await core.call(ops.GetValue(ONE))).value.reveal() == b"value"
            changes = (ops.SetValue(ONE, SecretValue(b"x")), ops.AllocateId(), ops.Delete(ONE))
            for request in (*changes, storerequests.SealRotate(), storerequests.SealRetire()):
                with pytest.raises(StoreCorruptError, match="store-accept"):
                    await core.call(request)

        async def accept(core: Core) -> None:
            before = (await core.call(ops.Status())).keyring_version
            await core.call(storerequests.StoreAccept())
            # How often the older version was used may be among what was lost.
            assert (await core.call(ops.Status())).keyring_version != before
            await core.call(ops.SetValue(ONE, SecretValue(b"x")))
            assert not (await core.call(ops.Status())).read_only

        async def after(core: Core) -> None:
            assert not (await core.call(ops.Status())).read_only
            assert (await core.call(ops.GetValue(ONE))).value.reveal() == b"x"

        in_core(used, look)
        in_core(used, look)
        in_core(used, accept)
        in_core(used, after)

    def test_a_mark_that_is_not_authentic_is_noticed(self, used: Path) -> None:
        mark = used / "keyring" / "high-water"
        mark.write_bytes(bytes(len(mark.read_bytes())))

        async def look(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only

        in_core(used, look)

    def test_a_mark_of_which_one_place_was_cut_off_is_enough(self, used: Path) -> None:
        mark = used / "keyring" / "high-water"
        whole = mark.read_bytes()
        for damaged in (whole[:40] + bytes(40), bytes(40) + whole[40:], whole[:40], whole[:60]):
            mark.write_bytes(damaged)

            async def look(core: Core) -> None:
                assert not (await core.call(ops.Status())).read_only

            in_core(used, look)

    def test_a_missing_mark_is_made_anew(self, used: Path) -> None:
        (used / "keyring" / "high-water").unlink()

        async def look(core: Core) -> None:
            assert not (await core.call(ops.Status())).read_only

        in_core(used, look)
        assert (used / "keyring" / "high-water").exists()

    def test_a_crash_leaves_no_mark_above_the_store(self, used: Path) -> None:
        async def test(core: Core) -> None:
            for number in range(20):
                await core.call(ops.SetValue(ONE, SecretValue(b"%d" % number)))
                shutil.copytree(used / "store", used / f"copy{number}" / "store")
                shutil.copytree(used / "keyring", used / f"copy{number}" / "keyring")
                shutil.copytree(used / "config", used / f"copy{number}" / "config")

        in_core(used, test)
        for number in range(20):
            # The lock's owner is another daemon's matter; the copies are as a crash would leave them.
            async def look(core: Core, number: int = number) -> None:
                assert not (await core.call(ops.Status())).read_only
                assert (await core.call(ops.GetValue(ONE))).value.reveal() == b"%d" % number

            in_core(used / f"copy{number}", look)


async def remove(core: Core, key: bytes) -> None:
    await core.store.commit([Delete(key)], [])


async def flip(core: Core, key: bytes) -> None:
    record = await core.store.get(key)
    assert record is not None
    await core.store.commit([Put(key, record.value[:-1] + bytes([record.value[-1] ^ 1]))], [])


async def swap(core: Core, one: bytes, two: bytes) -> None:
    first, second = await core.store.get(one), await core.store.get(two)
    assert first is not None
    assert second is not None
    await core.store.commit([Put(one, second.value), Put(two, first.value)], [])


async def usage_keys(core: Core) -> list[bytes]:
    return [record.key for record in (await core.store.scan(USAGE)).records]


Spoil = Callable[[Core], Awaitable[None]]


async def remove_usage(core: Core) -> None:
    await remove(core, (await usage_keys(core))[0])


async def swap_usages(core: Core) -> None:
    await swap(core, *await usage_keys(core))


async def older_value(core: Core) -> None:
    record = await core.store.get(VALUE + ONE.bytes)
    await core.call(ops.SetValue(ONE, SecretValue(b"newer")))
    assert record is not None
    await core.store.commit([Put(VALUE + ONE.bytes, record.value)], [])


DAMAGE = [
    pytest.param(lambda core: remove(core, VALUE + ONE.bytes), ONE, id="a-value-is-missing"),
    pytest.param(lambda core: remove(core, ATTRIBUTES + ONE.bytes), ONE, id="attributes-are-missing"),
    pytest.param(remove_usage, None, id="a-usage-is-missing"),
    pytest.param(lambda core: flip(core, VALUE + ONE.bytes), ONE, id="a-bit-of-a-value"),
    pytest.param(lambda core: flip(core, ATTRIBUTES + ONE.bytes), ONE, id="a-bit-of-attributes"),
    pytest.param(lambda core: swap(core, VALUE + ONE.bytes, VALUE + TWO.bytes), ONE, id="values-swapped"),
    pytest.param(swap_usages, None, id="usages-swapped"),
    pytest.param(older_value, ONE, id="an-older-value"),
]


class TestCheck:
    def test_a_whole_store(self, used: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.SetValue(UUID(int=3), SecretValue(b"x"), ephemeral=True))
            assert await core.call(storerequests.Check()) == storerequests.Checked(2, 2, 2, 0, ())

        in_core(used, test)

    @pytest.mark.parametrize(("spoil", "secret"), DAMAGE)
    def test_damage_is_named(self, used: Path, spoil: Spoil, secret: UUID | None) -> None:
        async def test(core: Core) -> None:
            await spoil(core)
            checked = await core.call(storerequests.Check())
            assert checked.found
            assert secret is None or secret in {problem.secret for problem in checked.problems}
            # What is not damaged stays readable.
            assert (await core.call(ops.Status())).state.value == "open"

        in_core(used, test)

    def test_beside_changes_nothing_is_found(self, used: Path) -> None:
        async def test(core: Core) -> None:
            async def change() -> None:
                for number in range(60):
                    usage = Usage(UsageType.CEPH, str(number)) if number % 2 else None
                    await core.call(ops.SetXml(ONE, SecretDocument(Attributes(usage))))
                    await core.call(ops.SetValue(ONE, SecretValue(b"%d" % number)))
                    await core.call(ops.SetValue(UUID(int=100 + number), SecretValue(b"x")))
                    if number % 3 == 0:
                        await core.call(ops.Delete(UUID(int=100 + number)))

            changing = asyncio.create_task(change())
            while not changing.done():
                assert (await core.call(storerequests.Check())).problems == ()
            await changing

        in_core(used, test)

    def test_beside_it_no_version_is_retired(self, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It reads records as they were when it began, and so by a version that seals nothing any more."""
        whole = SqliteSnapshot._damaged_parts

        async def test(core: Core) -> None:
            async def meanwhile(snapshot: SqliteSnapshot) -> tuple[str, ...]:
                await core.call(storerequests.SealRotate())
                await resealed(core)
                with pytest.raises(BusyError, match="under way"):
                    await core.call(storerequests.SealRetire())
                return await whole(snapshot)

            with monkeypatch.context() as patch:
                patch.setattr(SqliteSnapshot, "_damaged_parts", meanwhile)
                assert (await core.call(storerequests.Check())).problems == ()
            await core.call(storerequests.SealRetire())
            assert (await core.call(storerequests.Check())).problems == ()

        in_core(used, test)


async def resealed(core: Core) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await core.call(storerequests.SealStatus())).resealing:
            await core.store.scan(VALUE)


def lose_head(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "store" / "store.db")) as database, database:
        database.execute("DELETE FROM kv WHERE key = ?", (HEAD,))
        database.execute("DELETE FROM meta WHERE name = ?", (b"count:" + HEAD[:1],))


def of_secret(rows: Rows, secret: UUID) -> set[bytes]:
    return {key for key in rows if key[1:] == secret.bytes}


def go_on(root: Path) -> None:
    async def change(core: Core) -> None:
        attributes = Attributes(Usage(UsageType.VOLUME, f"/{ONE.int}"), description="newer")
        await core.call(ops.SetXml(ONE, SecretDocument(attributes)))
        await core.call(ops.SetValue(ONE, SecretValue(b"newer")))
        await core.call(ops.Delete(TWO))

    in_core(root, change)


async def go_on_soundly(core: Core) -> None:
    assert not (await core.call(ops.Status())).read_only
    await core.call(ops.SetValue(ONE, SecretValue(b"newer")))
    assert (await core.call(storerequests.Check())).found == 0


def without_a_secret(_: Rows, now: Rows) -> Rows:
    return {key: row for key, row in now.items() if key not in of_secret(now, ONE) and key[:1] != USAGE}


def with_a_deleted_one(before: Rows, now: Rows) -> Rows:
    return now | {key: row for key, row in before.items() if key in of_secret(before, TWO) or key[:1] == USAGE}


def with_an_older_state(before: Rows, now: Rows) -> Rows:
    """Put the whole of a secret back as it was: each record opens, and they fit each other."""
    return now | {key: before[key] for key in of_secret(before, ONE)}


def with_fewer_uses(before: Rows, now: Rows) -> Rows:
    return {key: before.get(key, row) if key[:1] == USES else row for key, row in now.items()}


BEHIND_OUR_BACK = [without_a_secret, with_a_deleted_one, with_an_older_state, with_fewer_uses]


class TestSetHash:
    @pytest.mark.parametrize("spoil", BEHIND_OUR_BACK)
    def test_what_fits_together_but_is_not_what_was_written(
        self, used: Path, spoil: Callable[[Rows, Rows], Rows]
    ) -> None:
        before = rows_of(used)
        go_on(used)
        put_rows(used, spoil(before, rows_of(used)))

        async def look(core: Core) -> None:
            assert not (await core.call(ops.Status())).read_only
            found = await core.call(storerequests.Check())
            assert (
                storerequests.Problem("records are missing, or are not those that were last written") in found.problems
            )

        async def laundered(core: Core) -> None:
            """Changes of the same and of other secrets do not make it right."""
            for secret in (ONE, TWO, UUID(int=3)):
                await core.call(ops.SetValue(secret, SecretValue(b"again")))
            assert (await core.call(storerequests.Check())).found

        async def accept(core: Core) -> None:
            await core.call(storerequests.StoreAccept())
            assert (await core.call(storerequests.Check())).found == 0

        in_core(used, look)
        in_core(used, laundered)
        in_core(used, accept)

    def test_an_older_head_does_not_help(self, used: Path) -> None:
        before = rows_of(used)
        go_on(used)
        put_rows(used, before)

        async def look(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only

        in_core(used, look)

    @pytest.mark.parametrize("head", [None, b"", bytes(100), "flipped"])
    def test_a_head_that_is_missing_or_does_not_open(self, used: Path, head: bytes | str | None) -> None:
        rows = rows_of(used)
        value, revision = rows.pop(HEAD)
        if head is not None:
            rows[HEAD] = (head if isinstance(head, bytes) else value[:-1] + bytes([value[-1] ^ 1]), revision)
        put_rows(used, rows)

        async def look(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only
            assert (await core.call(ops.GetValue(ONE))).value.reveal() == b"value"
            with pytest.raises(StoreCorruptError, match="store-accept"):
                await core.call(ops.AllocateId())
            problems = [problem.what for problem in (await core.call(storerequests.Check())).problems]
            assert problems == [f"the store's head {'is missing' if head is None else 'does not open'}"]
            await core.call(storerequests.StoreAccept())
            await core.call(ops.SetValue(ONE, SecretValue(b"x")))
            assert (await core.call(storerequests.Check())).found == 0

        in_core(used, look)

    def test_a_head_that_is_lost_while_the_daemon_runs(self, used: Path) -> None:
        async def test(core: Core) -> None:
            lose_head(used)
            with pytest.raises(StoreCorruptError, match="store-accept"):
                await core.call(ops.SetValue(ONE, SecretValue(b"x")))
            await core.call(storerequests.StoreAccept())
            await go_on_soundly(core)

        in_core(used, test)
        in_core(used, go_on_soundly)

    def test_an_accept_that_failed_can_be_made_again(self, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise StoreFullError("full for a moment")

        async def test(core: Core) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(Transaction, "_make_summary", full)
                with pytest.raises(StoreFullError):
                    await core.call(storerequests.StoreAccept())
            assert (await core.call(ops.Status())).read_only
            await core.call(storerequests.StoreAccept())
            await go_on_soundly(core)

        lose_head(used)
        in_core(used, test)
        in_core(used, go_on_soundly)

    def test_a_revision_that_was_lifted_over_the_mark(self, used: Path) -> None:
        before = rows_of(used)
        go_on(used)
        put_rows(used, before)
        with contextlib.closing(sqlite3.connect(used / "store" / "store.db")) as database, database:
            database.execute("UPDATE meta SET number = 1000 WHERE name = x'7265766973696f6e'")

        async def look(core: Core) -> None:
            assert (await core.call(ops.Status())).read_only

        in_core(used, look)

    def test_where_nothing_is_lacking_there_is_nothing_to_accept(self, used: Path) -> None:
        async def test(core: Core) -> None:
            before = await core.call(ops.Status())
            with pytest.raises(OperationInvalidError, match="lacks nothing"):
                await core.call(storerequests.StoreAccept())
            assert await core.call(ops.Status()) == before

        in_core(used, test)

    def test_to_accept_counts_anew_too(self, used: Path) -> None:
        with contextlib.closing(sqlite3.connect(used / "store" / "store.db")) as database, database:
            database.execute("DELETE FROM kv WHERE key = ? OR key = ?", (ATTRIBUTES + ONE.bytes, VALUE + ONE.bytes))

        async def test(core: Core) -> None:
            numbers = storerequests.Problem("the number of records is not the one that was kept")
            assert numbers in (await core.call(storerequests.Check())).problems
            await core.call(storerequests.StoreAccept())
            assert numbers not in (await core.call(storerequests.Check())).problems
            assert (await core.call(ops.Status())).persistent == 1

        in_core(used, test)

    def test_it_is_right_after_all_that_changes_records(self, used: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.SetXml(ONE, SecretDocument(Attributes(private=True))))
            await core.call(storerequests.SealRotate())
            await resealed(core)
            await core.call(storerequests.SealRetire())
            await core.call(ops.SetXml(TWO, SecretDocument(Attributes(ephemeral=True))))
            await core.call(ops.Delete(ONE))
            assert await core.call(storerequests.Check()) == storerequests.Checked(0, 0, 0, 0, ())

        in_core(used, test)


def test_a_list_goes_on_past_what_does_not_open(used: Path) -> None:
    async def test(core: Core) -> None:
        await flip(core, ATTRIBUTES + ONE.bytes)
        await core.store.commit([Put(ATTRIBUTES + b"odd", b"")], [])
        listed = await core.call(ops.List())
        assert ([entry.secret for entry in listed.entries], listed.damaged) == ([TWO], 2)
        problems = (await core.call(storerequests.Check())).problems
        assert storerequests.Problem("a record does not open", ONE) in problems
        assert storerequests.Problem("a record does not open") in problems

    in_core(used, test)
