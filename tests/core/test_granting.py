"""Grants in a whole core: given, in force at once, kept, taken back, checked and sealed anew."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Set
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.core import OWNER, Core, Told, open_core
from helpers.granting import (
    ALICE,
    MINE,
    OTHER,
    VALUE,
    assert_none_is_in_force,
    fill,
    fill_and_grant,
    grant,
    grants_in,
    in_core,
    may_read,
)
from helpers.rows import put_rows, rows_of
from secretd import grantrequests as requests
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.kinds import GRANT
from secretd.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidRequestError,
    NoGrantError,
    NotFoundError,
    OperationInvalidError,
    QuotaError,
    ReadOnlyError,
    SealError,
    StoreCorruptError,
)
from secretd.grants import (
    OF_SECRETS,
    PERMISSIONS_OF,
    EverySecret,
    Grant,
    PermissionSet,
    Principal,
    PrincipalKind,
    Scope,
    ThatSecret,
    UsageLike,
)
from secretd.model import Permission, SealState, SecretValue, Usage, UsageType
from secretd.store.base import Put


def test_a_grant_is_in_force_at_once_and_for_what_it_names(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        assert not await may_read(core, MINE)
        await core.call(requests.GrantAdd(grant()))
        assert await may_read(core, MINE)
        assert not await may_read(core, OTHER)
        assert [entry.secret for entry in (await core.call(ops.List(), ALICE)).entries] == [MINE]
        assert (await core.call(ops.Count(), ALICE)).secrets == 1
        with pytest.raises(NotFoundError):
            await core.call(ops.LookupByUsage(Usage(UsageType.CEPH, "other")), ALICE)
        with pytest.raises(AccessDeniedError):
            await core.call(ops.SetValue(MINE, VALUE), ALICE)
        await core.call(requests.GrantRemove("one"))
        assert not await may_read(core, MINE)
        with pytest.raises(AccessDeniedError):
            await core.call(ops.List(), ALICE)

    in_core(tmp_path, test)


def test_a_sealed_daemon_says_so_to_all_for_it_knows_no_grants(tmp_path: Path) -> None:
    async def grant_one(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant()))

    async def ask(core: Core) -> None:
        for request in (ops.GetValue(MINE), ops.Status(), ops.Whoami()):
            with pytest.raises(SealError) as caught:
                await core.call(request, ALICE)
            assert caught.value.message == "the daemon is sealed, so it does not know what was granted to you"
        assert "root key" in str((await core.call(ops.Status())).reason)
        with pytest.raises(ReadOnlyError):
            core.service.admit(replace(OWNER, read_only=True), Permission.DELETE)

    in_core(tmp_path, grant_one)
    (tmp_path / "config" / "root.key").unlink()
    in_core(tmp_path, ask)


def test_an_event_is_told_to_whom_a_grant_lets_see(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await core.call(requests.GrantAdd(grant("one", PermissionSet.READ_ONLY, UsageLike(UsageType.CEPH, "mine"))))
        told = Told()
        await core.call(ops.Subscribe(), ALICE, told)
        await fill(core)
        await core.call(ops.Delete(OTHER))
        await core.call(ops.Delete(MINE))
        events = await told.until(ops.SecretDeleted, MINE)
        assert {getattr(event, "secret", None) for event in events} == {MINE}
        assert [type(event) for event in events] == [ops.SecretDefined, ops.ValueChanged, ops.SecretDeleted]

    in_core(tmp_path, test)


@pytest.mark.parametrize("change", ["given", "replaced", "taken"])
def test_who_sees_others_now_is_told_to_list_anew_and_nobody_else_is(tmp_path: Path, change: str) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant("one")))
        if change != "given":
            await core.call(requests.GrantAdd(grant("two", PermissionSet.READ_ONLY, ThatSecret(OTHER))))
        alice, owner = Told(), Told()
        await core.call(ops.Subscribe(), ALICE, alice)
        await core.call(ops.Subscribe(), OWNER, owner)
        if change == "taken":
            await core.call(requests.GrantRemove("two"))
        else:
            # The owner is anyone, too.
            anyone = Principal(PrincipalKind.ANYONE)
            more = replace(grant("two", PermissionSet.READ_ONLY, EverySecret()), principal=anyone)
            await core.call(requests.GrantAdd(more, replace=True))
        assert await alice.until(ops.EventsLost) == [ops.EventsLost()]
        await core.call(ops.Delete(MINE))
        assert [type(event) for event in await owner.until(ops.SecretDeleted, MINE)] == [ops.SecretDeleted]

    in_core(tmp_path, test)


def test_who_may_not_be_told_of_changes_any_more_is_not(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant("one", PermissionSet.READ_ONLY)))
        alice, owner = Told(), Told()
        await core.call(ops.Subscribe(), ALICE, alice)
        await core.call(ops.Subscribe(), OWNER, owner)
        only_getattr = Grant("one", None, grant().principal, frozenset({Permission.GETATTR}), (EverySecret(),))
        await core.call(requests.GrantAdd(only_getattr, replace=True))
        await core.call(ops.Delete(MINE))
        # Who may be told is judged when he would be: the owner's turn comes after his.
        await owner.until(ops.SecretDeleted, MINE)
        await core.call(requests.GrantAdd(grant("one", PermissionSet.READ_ONLY, EverySecret()), replace=True))
        await core.call(ops.Delete(OTHER))
        events = await alice.until(ops.SecretDeleted, OTHER)
        assert events == [ops.EventsLost(), ops.EventsLost(), ops.SecretDeleted(OTHER, Usage(UsageType.CEPH, "other"))]

    in_core(tmp_path, test)


def test_grants_are_there_after_a_start_and_a_rotation(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant()))
        await core.call(storerequests.SealRotate())
        while (await core.call(storerequests.SealStatus())).resealing:
            await core.store.scan(GRANT)
        await core.call(storerequests.SealRetire())
        await core.call(requests.GrantAdd(grant(of=PermissionSet.DELETE_ONLY), replace=True))
        await core.call(requests.GrantAdd(grant("two")))

    in_core(tmp_path, test)

    async def again(core: Core) -> None:
        assert (await core.call(requests.GrantList())).grants == (grant(of=PermissionSet.DELETE_ONLY), grant("two"))
        assert await may_read(core, MINE)
        assert (await core.call(storerequests.Check())).found == 0

    in_core(tmp_path, again)


def test_names_are_single_and_nothing_readable_stands_in_the_store(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await core.call(requests.GrantAdd(grant("a-c4n4ry-name")))
        with pytest.raises(ConflictError):
            await core.call(requests.GrantAdd(grant("a-c4n4ry-name")))
        assert (await core.call(requests.GrantShow("a-c4n4ry-name"))).grant == grant("a-c4n4ry-name")
        with pytest.raises(NoGrantError):
            await core.call(requests.GrantShow("none"))
        with pytest.raises(NoGrantError):
            await core.call(requests.GrantRemove("none"))
        (record,) = (await core.store.scan(GRANT)).records
        assert b"c4n4ry" not in record.key + record.value

    in_core(tmp_path, test)


def test_a_list_comes_in_pages(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        names = [f"grant-{number}" for number in range(5)]
        for name in names:
            await core.call(requests.GrantAdd(grant(name)))
        page = await core.call(requests.GrantList(limit=2))
        seen = list(page.grants)
        while page.truncated:
            page = await core.call(requests.GrantList(limit=2, marker=page.next_marker))
            seen += page.grants
        assert [each.name for each in seen] == names

    in_core(tmp_path, test)


def test_there_are_so_many_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRANTS", 1)

    async def test(core: Core) -> None:
        await core.call(requests.GrantAdd(grant()))
        with pytest.raises(QuotaError):
            await core.call(requests.GrantAdd(grant("two")))
        await core.call(requests.GrantAdd(grant(), replace=True))

    in_core(tmp_path, test)


@pytest.mark.parametrize(
    ("bound", "most", "scopes"),
    [
        pytest.param("GRANTS_SCOPES", 3, [EverySecret(), ThatSecret(MINE)], id="scopes"),
        pytest.param("GRANTS_PATTERNS_BYTES", 11, [UsageLike(UsageType.CEPH, "caf\u00e9/*")], id="bytes-of-patterns"),
    ],
)
def test_all_together_say_so_much_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, scopes: list[Scope]
) -> None:
    monkeypatch.setattr(limits, bound, most)

    async def test(core: Core) -> None:
        first, second = (
            Grant(name, None, Principal(PrincipalKind.ANYONE), frozenset({Permission.SEARCH}), tuple(scopes))
            for name in ("first", "second")
        )
        await core.call(requests.GrantAdd(first))
        with pytest.raises(QuotaError, match="together"):
            await core.call(requests.GrantAdd(second))
        await core.call(requests.GrantAdd(first, replace=True))
        await core.call(requests.GrantRemove("first"))
        await core.call(requests.GrantAdd(second))

    in_core(tmp_path, test)


def test_one_that_is_over_gives_nothing_and_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        over = Grant(
            "over",
            None,
            Principal(PrincipalKind.ANYONE),
            PERMISSIONS_OF[PermissionSet.ALL],
            (EverySecret(),),
            datetime(2020, 1, 1, tzinfo=UTC),
        )
        with pytest.raises(InvalidRequestError, match="is past"):
            await core.call(requests.GrantAdd(over))
        with monkeypatch.context() as earlier:
            earlier.setattr("secretd.core.granting.time", lambda: 0.0)
            await core.call(requests.GrantAdd(over))
        assert not await may_read(core, MINE)
        await core.call(requests.GrantAdd(grant("pattern", PermissionSet.READ_ONLY, UsageLike(UsageType.CEPH, "m*"))))
        assert await may_read(core, MINE)
        assert not await may_read(core, OTHER)

    in_core(tmp_path, test)


@pytest.mark.parametrize("of", [PermissionSet.ALL, PermissionSet.READ_ONLY], ids=lambda of: of.value)
def test_only_an_administrator_gives_grants_and_sees_them(tmp_path: Path, of: PermissionSet) -> None:
    async def test(core: Core) -> None:
        await core.call(requests.GrantAdd(grant("one", of, EverySecret())))
        refused: tuple[ops.Request[ops.Reply], ...] = (
            requests.GrantAdd(grant("two")),
            requests.GrantList(),
            requests.GrantShow("one"),
            requests.GrantRemove("one"),
        )
        for request in refused:
            with pytest.raises(AccessDeniedError):
                await core.call(request, ALICE)
        admin = Grant("admin", None, Principal(PrincipalKind.GROUP, 7), frozenset({Permission.ADMIN}), (EverySecret(),))
        await core.call(requests.GrantAdd(admin))
        await core.call(requests.GrantRemove("one"), ALICE)
        # He may take what is his, and the owner needs none.
        await core.call(requests.GrantRemove("admin"), ALICE)
        assert (await core.call(requests.GrantList())).grants == ()

    in_core(tmp_path, test)


def test_one_that_does_not_open_gives_nothing_and_is_named_by_a_check(tmp_path: Path) -> None:
    async def damage(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant("one")))
        await core.call(requests.GrantAdd(grant("two", PermissionSet.DELETE_ONLY)))
        one, two = (await core.store.scan(GRANT)).records
        # Each is whole, and under the other's name.
        await core.store.commit([Put(one.key, two.value), Put(two.key, one.value)])

    in_core(tmp_path, damage)

    async def test(core: Core) -> None:
        assert (await core.call(requests.GrantList())).grants == ()
        assert not await may_read(core, MINE)
        assert (await core.call(storerequests.Check())).found == 2

    in_core(tmp_path, test)


async def remove_two(core: Core) -> None:
    await core.call(requests.GrantRemove("two"))


async def narrow_two(core: Core) -> None:
    await core.call(requests.GrantAdd(grant("two"), replace=True))


GRANTS_ARE_OTHERS = storerequests.Problem("grants or keys are missing, or are not those that were last written")


@pytest.mark.parametrize("change", [remove_two, narrow_two])
def test_if_a_record_of_a_removed_or_an_older_one_was_put_back_none_is_in_force(
    tmp_path: Path, change: Callable[[Core], Awaitable[None]]
) -> None:
    fill_and_grant(tmp_path)
    before = grants_in(rows_of(tmp_path))
    in_core(tmp_path, change)
    put_rows(tmp_path, rows_of(tmp_path) | before)

    async def look(core: Core) -> None:
        assert (await core.call(ops.Status())).read_only
        await assert_none_is_in_force(core)
        assert await may_read(core, OTHER, OWNER)
        assert GRANTS_ARE_OTHERS in (await core.call(storerequests.Check())).problems
        with pytest.raises(StoreCorruptError, match="store-accept"):
            await core.call(requests.GrantAdd(grant("three")))
        assert [each.name for each in (await core.call(requests.GrantList())).grants] == ["one", "two"]

    async def mend(core: Core) -> None:
        await core.call(requests.GrantRemove("two"))
        await assert_none_is_in_force(core)
        await core.call(storerequests.StoreAccept())
        await sound(core)

    async def sound(core: Core) -> None:
        assert not (await core.call(ops.Status())).read_only
        assert await may_read(core, MINE)
        assert not await may_read(core, OTHER)
        assert (await core.call(storerequests.Check())).problems == ()

    in_core(tmp_path, look)
    in_core(tmp_path, look)
    in_core(tmp_path, mend)
    in_core(tmp_path, sound)


def test_if_a_record_of_one_was_taken_out_none_is_in_force(tmp_path: Path) -> None:
    fill_and_grant(tmp_path)
    rows = rows_of(tmp_path)
    del rows[next(iter(grants_in(rows)))]
    put_rows(tmp_path, rows)

    async def test(core: Core) -> None:
        await assert_none_is_in_force(core)
        assert GRANTS_ARE_OTHERS in (await core.call(storerequests.Check())).problems

    in_core(tmp_path, test)


@pytest.mark.parametrize("change", [remove_two, narrow_two])
def test_in_an_older_copy_of_the_store_none_is_in_force_until_it_is_accepted(
    tmp_path: Path, change: Callable[[Core], Awaitable[None]]
) -> None:
    fill_and_grant(tmp_path)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    in_core(tmp_path, change)
    shutil.rmtree(tmp_path / "store")
    shutil.move(tmp_path / "copy", tmp_path / "store")

    async def look(core: Core) -> None:
        assert (await core.call(ops.Status())).read_only
        await assert_none_is_in_force(core)

    async def mend(core: Core) -> None:
        await core.call(requests.GrantRemove("two"))
        await look(core)

    async def accept(core: Core) -> None:
        await look(core)
        assert [each.name for each in (await core.call(requests.GrantList())).grants] == ["one"]
        await core.call(storerequests.StoreAccept())
        assert await may_read(core, MINE)
        assert not await may_read(core, OTHER)
        assert (await core.call(storerequests.Check())).problems == ()

    in_core(tmp_path, look)
    in_core(tmp_path, mend)
    in_core(tmp_path, accept)


def test_a_crash_leaves_those_that_were_answered_and_no_doubt(tmp_path: Path) -> None:
    """The lock's owner is another daemon's matter; the copies are as a crash would leave them."""
    said: list[tuple[str, ...]] = []

    def crash(*names: str) -> None:
        for part in ("store", "keyring", "config"):
            shutil.copytree(tmp_path / part, tmp_path / f"crash{len(said)}" / part)
        said.append(names)

    async def change(core: Core) -> None:
        crash()
        await core.call(requests.GrantAdd(grant("one")))
        crash("one")
        await core.call(requests.GrantAdd(grant("one"), replace=True))
        await core.call(requests.GrantAdd(grant("two")))
        crash("one", "two")
        await core.call(requests.GrantRemove("one"))
        crash("two")

    in_core(tmp_path, change)
    for number, names in enumerate(said):

        async def look(core: Core, names: tuple[str, ...] = names) -> None:
            assert not (await core.call(ops.Status())).read_only
            assert tuple(each.name for each in (await core.call(requests.GrantList())).grants) == names
            assert (await core.call(storerequests.Check())).problems == ()

        in_core(tmp_path / f"crash{number}", look)


def test_the_name_of_one_that_does_not_open_can_be_had_again(tmp_path: Path) -> None:
    async def damage(core: Core) -> None:
        await fill(core)
        for name in ("one", "two"):
            await core.call(requests.GrantAdd(grant(name)))
        for record in (await core.store.scan(GRANT)).records:
            await core.store.commit([Put(record.key, record.value[:-1] + bytes([record.value[-1] ^ 1]))])

    in_core(tmp_path, damage)

    async def test(core: Core) -> None:
        does_not_open = storerequests.Problem("a grant does not open")
        assert (await core.call(storerequests.Check())).problems == (does_not_open, does_not_open)
        with pytest.raises(ConflictError, match="damaged"):
            await core.call(requests.GrantAdd(grant("one")))
        await core.call(requests.GrantAdd(grant("one"), replace=True))
        await core.call(requests.GrantRemove("two"))
        with pytest.raises(NoGrantError):
            await core.call(requests.GrantRemove("two"))
        assert await may_read(core, MINE)
        assert (await core.call(storerequests.Check())).problems == ()

    in_core(tmp_path, test)


def test_a_backup_brings_its_grants_back_and_they_are_in_force(tmp_path: Path) -> None:
    (old := tmp_path / "old").mkdir()
    fill_and_grant(old)
    (new := tmp_path / "new").mkdir()
    shutil.copytree(old / "config", new / "config")
    file = bytearray()

    async def keep(core: Core) -> None:
        part = await core.call(storerequests.Backup())
        file.extend(part.value.reveal())
        assert part.last

    async def restore(core: Core) -> None:
        await core.call(requests.GrantAdd(grant("three", PermissionSet.ALL, EverySecret())))
        await core.call(storerequests.Restore(SecretValue(bytes(file)), last=True))
        await look(core)

    async def look(core: Core) -> None:
        assert [each.name for each in (await core.call(requests.GrantList())).grants] == ["one", "two"]
        assert await may_read(core, MINE)
        assert (await core.call(storerequests.Check())).problems == ()

    in_core(old, keep)
    in_core(new, restore)
    in_core(new, look)


@pytest.mark.parametrize(
    ("permissions", "scope", "read_only", "told"),
    [
        pytest.param({Permission.APPEND, Permission.SAVE}, EverySecret(), False, set(), id="append-only"),
        pytest.param({Permission.SEARCH, Permission.GETATTR}, ThatSecret(MINE), False, set(), id="sees-one"),
        pytest.param({Permission.GETATTR}, EverySecret(), False, {"counts"}, id="sees-all"),
        pytest.param({Permission.ADMIN}, EverySecret(), False, {"counts", "bounds", "revision"}, id="administers"),
        pytest.param(OF_SECRETS, EverySecret(), True, {"counts"}, id="all-on-a-read-only-connection"),
    ],
)
def test_status_tells_of_others_secrets_only_who_may_know(
    tmp_path: Path, permissions: Set[Permission], scope: Scope, read_only: bool, told: set[str]
) -> None:
    async def test(core: Core) -> None:
        core.service.watch_bounds(lambda: (ops.Bound("connections", 1, 2),))
        await fill(core)
        given = Grant("one", None, Principal(PrincipalKind.USER, ALICE.uid), frozenset(permissions), (scope,))
        await core.call(requests.GrantAdd(given))
        status = await core.call(ops.Status(), replace(ALICE, read_only=read_only))
        counts = (2, 0) if "counts" in told else (None, None)
        assert (status.persistent, status.ephemeral) == counts
        assert (status.revision is not None) == ("revision" in told)
        bounds = {bound.name for bound in status.bounds}
        his_own = {"your secrets", "your bytes"}
        assert his_own <= bounds
        assert bool(bounds - his_own) == ("bounds" in told)
        # Monitoring needs no more than a grant of something for these.
        assert (status.state, status.read_only) == (SealState.OPEN, False)

    in_core(tmp_path, test)


def test_the_use_of_a_key_for_one_is_counted(tmp_path: Path) -> None:
    async def uses(core: Core) -> int:
        return (await core.call(storerequests.SealStatus())).keyrings[0].uses

    async def test(core: Core) -> None:
        before = await uses(core)
        await core.call(requests.GrantAdd(grant()))
        assert await uses(core) > before

    in_core(tmp_path, test)


def test_a_session_has_none_to_give(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_core(tmp_path) as core:
            with pytest.raises(OperationInvalidError, match="its user alone"):
                await core.call(requests.GrantAdd(grant()))
            assert (await core.call(requests.GrantList())).grants == ()

    asyncio.run(run())
