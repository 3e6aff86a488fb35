"""Lists and counts that are under way when a grant goes: from then on it shows nothing and counts nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.core import OWNER, Core
from helpers.granting import in_core
from secretd import grantrequests as requests
from secretd import limits
from secretd import operations as ops
from secretd.core import listing
from secretd.core.listing import Listing
from secretd.core.persistent import PersistentSecrets
from secretd.core.turns import Turn
from secretd.errors import AccessDeniedError
from secretd.grants import PERMISSIONS_OF, EverySecret, Grant, PermissionSet, Principal, PrincipalKind, Scope, UsageLike
from secretd.model import Attributes, Caller, SecretDocument, Usage, UsageType

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)
TLS, CEPH = UsageLike(UsageType.TLS), UsageLike(UsageType.CEPH)
TLS_BEFORE, CEPH_BEFORE, MADE_AFTER = (1, 2, 3), (4,), 5
THE_END = datetime(2100, 1, 1, tzinfo=UTC)

WALKS = [
    ops.List(),
    ops.List(1),
    ops.List(private=False),
    ops.List(usage_type=UsageType.TLS),
    ops.Count(),
    ops.Count(private=False),
]
"""All ways to walk; a count of all that there is does not, for who sees all."""


class Held:
    """Holds up whoever comes first, and lets all others pass."""

    def __init__(self) -> None:
        self.came, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def first(self) -> None:
        """Wait, if this is who comes first."""
        if not self.came.is_set():
            self.came.set()
            await self.may_go_on.wait()


Place = Callable[[pytest.MonkeyPatch, Held], None]


def while_reading(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    really_merged = listing._merged

    async def merged(*arguments: Any) -> Any:
        await held.first()
        return await really_merged(*arguments)

    monkeypatch.setattr(listing, "_merged", merged)


def after_reading(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    really_merged = listing._merged

    async def merged(*arguments: Any) -> Any:
        read = await really_merged(*arguments)
        await held.first()
        return read

    monkeypatch.setattr(listing, "_merged", merged)


def between_two_turns(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    monkeypatch.setattr(limits, "TURN_MILLISECONDS", -1)
    really_pass_on = Turn.pass_on

    async def pass_on(turn: Turn) -> None:
        await held.first()
        await really_pass_on(turn)

    monkeypatch.setattr(Turn, "pass_on", pass_on)


def while_counting(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    really_count = PersistentSecrets.count

    async def count(home: PersistentSecrets) -> int:
        await held.first()
        return await really_count(home)

    monkeypatch.setattr(PersistentSecrets, "count", count)


def before_a_kept_page(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    really_moment = Listing._moment

    async def moment(of: Listing) -> Any:
        await held.first()
        return await really_moment(of)

    monkeypatch.setattr(Listing, "_moment", moment)


async def grant(core: Core, scope: Scope, name: str = "one", expires: datetime | None = None) -> None:
    principal, permissions = Principal(PrincipalKind.USER, ALICE.uid), PERMISSIONS_OF[PermissionSet.READ_ONLY]
    await core.call(requests.GrantAdd(Grant(name, None, principal, permissions, (scope,), expires), replace=True))


async def define(core: Core, number: int, usage_type: UsageType) -> None:
    usage = Usage(usage_type, f"usage {number}")
    await core.call(ops.SetXml(UUID(int=number), SecretDocument(Attributes(usage, ephemeral=number % 2 == 0))))


async def fill(core: Core) -> None:
    for number in TLS_BEFORE:
        await define(core, number, UsageType.TLS)
    for number in CEPH_BEFORE:
        await define(core, number, UsageType.CEPH)


def shown(listed: ops.Listed) -> list[int]:
    return [entry.secret.int for entry in listed.entries]


def told(reply: ops.Listed | ops.Counted) -> int | list[int]:
    """Give what an answer tells of secrets: how many there are, or which."""
    return reply.secrets if isinstance(reply, ops.Counted) else shown(reply)


async def ends_of(core: Core, held: Held, asked: list[Any], change: Callable[[], Awaitable[None]]) -> list[Any]:
    """Have ALICE's requests wait for each other, change grants, make one more secret; give how the requests end.

    The owner lists it before they go on, so that a page that shows it is kept.
    """
    walks = [asyncio.ensure_future(core.call(one, ALICE)) for one in asked]
    await held.came.wait()
    await change()
    await define(core, MADE_AFTER, UsageType.TLS)
    assert MADE_AFTER in shown(await core.call(ops.List()))
    assert not any(walk.done() for walk in walks)
    held.may_go_on.set()
    return await asyncio.gather(*walks, return_exceptions=True)


PLACES = pytest.mark.parametrize("place", [while_reading, after_reading, between_two_turns])
SCOPES = pytest.mark.parametrize("scope", [EverySecret(), TLS], ids=["all", "some"])


def walks_for(scope: Scope) -> list[Any]:
    return [one for one in WALKS if one != ops.Count() or scope != EverySecret()]


@PLACES
@SCOPES
def test_who_has_no_grant_any_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, scope: Scope
) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await grant(core, scope)
        place(monkeypatch, held := Held())

        async def remove() -> None:
            await core.call(requests.GrantRemove("one"))

        asked = walks_for(scope)
        ends = await ends_of(core, held, asked, remove)
        assert [type(end) for end in ends] == [AccessDeniedError] * len(asked)

    in_core(tmp_path, test)


@PLACES
@SCOPES
@pytest.mark.parametrize("ends_by", ["change", "time"])
def test_who_has_less_now_sees_no_more_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, scope: Scope, ends_by: str
) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await grant(core, CEPH, "left")
        await grant(core, scope, expires=THE_END)
        place(monkeypatch, held := Held())

        async def narrow() -> None:
            if ends_by == "change":
                await core.call(requests.GrantRemove("one"))
            else:
                monkeypatch.setattr("secretd.core.access.time", THE_END.timestamp)

        asked = walks_for(scope)
        ends = await ends_of(core, held, asked, narrow)
        expected: dict[Any, Any] = {ops.List(usage_type=UsageType.TLS): []} | dict.fromkeys(
            (ops.Count(), ops.Count(private=False)), len(CEPH_BEFORE)
        )
        assert [told(end) for end in ends] == [expected.get(one, [*CEPH_BEFORE]) for one in asked]

    in_core(tmp_path, test)


@PLACES
def test_who_keeps_his_grant_sees_what_was_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await grant(core, EverySecret())
        place(monkeypatch, held := Held())

        async def change_another() -> None:
            await grant(core, CEPH, "another")

        _, *waited = await ends_of(
            core, held, [ops.List(private=False)] * 2 + [ops.Count(private=False)], change_another
        )
        assert [told(end) for end in waited] == [[*TLS_BEFORE, *CEPH_BEFORE, MADE_AFTER], MADE_AFTER]

    in_core(tmp_path, test)


@pytest.mark.parametrize(
    ("place", "asked"), [(while_counting, ops.Count()), (before_a_kept_page, ops.List())], ids=["count", "kept-page"]
)
@pytest.mark.parametrize("some_left", [False, True], ids=["none-left", "some-left"])
def test_what_is_kept_is_not_given_to_who_lost_the_grant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, asked: ops.List | ops.Count, some_left: bool
) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await core.call(ops.List())
        await grant(core, EverySecret())
        if some_left:
            await grant(core, CEPH, "left")
        place(monkeypatch, held := Held())

        async def remove() -> None:
            await core.call(requests.GrantRemove("one"))

        (end,) = await ends_of(core, held, [asked], remove)
        if some_left:
            assert told(end) == ([*CEPH_BEFORE] if asked == ops.List() else len(CEPH_BEFORE))
        else:
            assert isinstance(end, AccessDeniedError)

    in_core(tmp_path, test)


@PLACES
def test_a_page_of_who_sees_less_meanwhile_is_kept_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    async def test(core: Core) -> None:
        await fill(core)
        await grant(core, CEPH, "left")
        await grant(core, EverySecret(), expires=THE_END)
        place(monkeypatch, held := Held())
        walk = asyncio.ensure_future(core.call(ops.List(), ALICE))
        await held.came.wait()
        monkeypatch.setattr("secretd.core.access.time", THE_END.timestamp)
        held.may_go_on.set()
        assert shown(await walk) == [*CEPH_BEFORE]
        assert shown(await core.call(ops.List())) == [*TLS_BEFORE, *CEPH_BEFORE]

    in_core(tmp_path, test)
