"""Events at the core's own door: who is told what, in which order, and that nothing is missed without a word."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.asynchronous import run
from helpers.core import OWNER, Core, Told, open_core
from helpers.core import in_core as in_any_core
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.core.access import AnyTarget, Policy, Target
from secretd.core.kinds import ATTRIBUTES
from secretd.errors import (
    InvalidRequestError,
    SecretdError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.fields import fields_of
from secretd.model import Attributes, Caller, Digest, Permission, SecretDocument, SecretValue, Usage, UsageType

SECRET, OTHER, MARK = UUID(int=1), UUID(int=2), UUID(int=99)
VOLUME, CEPH = Usage(UsageType.VOLUME, "/disk"), Usage(UsageType.CEPH, "client.one")
ALICE = Caller(uid=OWNER.uid + 1, gid=1, pid=1)
VALUE = SecretValue(b"c4n4ry value")

Test = Callable[[Core], Awaitable[None]]


def alice_sees_volumes(caller: Caller, permission: Permission, target: AnyTarget) -> bool:
    """Let the owner do everything, and Alice look at what is for a volume."""
    if caller.uid == OWNER.uid:
        return True
    usage = target.attributes.usage if isinstance(target, Target) else None
    seen = target is None or (usage is not None and usage.type is UsageType.VOLUME)
    return seen and permission in {Permission.SEARCH, Permission.GETATTR}


def in_core(root: Path, test: Test, policy: Policy | None = alice_sees_volumes) -> None:
    in_any_core(root, test, policy)


def set_xml(secret: UUID = SECRET, **attributes: Any) -> ops.SetXml:
    return ops.SetXml(secret, SecretDocument(Attributes(**attributes)))


async def subscribed(core: Core, secret: UUID | None = None, caller: Caller = OWNER) -> Told:
    told = Told()
    await core.call(ops.Subscribe(secret), caller, told)
    return told


async def what_was_told(core: Core, told: Told) -> list[ops.Event]:
    """Give what a listener was told by now: by a change that comes last, and is seen by one who subscribed last."""
    last = await subscribed(core, MARK)
    await core.call(set_xml(MARK, usage=Usage(UsageType.VOLUME, "/mark")))
    await core.call(ops.Delete(MARK))
    await last.until(ops.SecretDeleted, MARK)
    await core.call(ops.Unsubscribe(), OWNER, last)
    events, told.events = told.events, []
    return [event for event in events if getattr(event, "secret", None) != MARK]


async def entry_of(core: Core, secret: UUID) -> dict[str, object]:
    (entry,) = [entry for entry in (await core.call(ops.List())).entries if entry.secret == secret]
    return as_entry(entry)


def as_entry(entry: ops.Entry) -> dict[str, object]:
    return {field.name: getattr(entry, field.name) for field in fields_of(ops.Entry)}


@pytest.mark.parametrize("ephemeral", [False, True], ids=["persistent", "ephemeral"])
class TestKinds:
    def test_each_change_is_told_with_the_entry_of_a_list(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            changes: list[tuple[ops.Request[Any], type[ops.Event]]] = [
                (set_xml(ephemeral=ephemeral), ops.SecretDefined),
                (set_xml(usage=VOLUME, ephemeral=ephemeral), ops.SecretChanged),
                (set_xml(usage=VOLUME, ephemeral=ephemeral), ops.SecretChanged),
                (ops.SetValue(SECRET, VALUE), ops.ValueChanged),
                (ops.GenerateValue(SECRET, 8), ops.ValueChanged),
                (set_xml(usage=VOLUME, ephemeral=ephemeral, private=True), ops.SecretChanged),
                (set_xml(usage=VOLUME, ephemeral=not ephemeral, private=True), ops.SecretChanged),
            ]
            for request, kind in changes:
                await core.call(request)
                (event,) = await what_was_told(core, told)
                assert type(event) is kind
                assert isinstance(event, ops.Entry)
                assert as_entry(event) == await entry_of(core, SECRET)
                assert "c4n4ry" not in repr(event)
            await core.call(ops.Delete(SECRET))
            assert await what_was_told(core, told) == [ops.SecretDeleted(SECRET, VOLUME)]

        in_core(tmp_path, test)

    def test_a_secret_that_is_made_with_its_value_is_one_event(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            await core.call(ops.SetValue(SECRET, VALUE, ephemeral=ephemeral))
            (event,) = await what_was_told(core, told)
            assert isinstance(event, ops.SecretDefined)
            assert event.has_value

        in_core(tmp_path, test)

    def test_what_fails_is_no_event(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME, ephemeral=ephemeral))
            told = await subscribed(core)
            failing: list[ops.Request[Any]] = [
                set_xml(OTHER, usage=VOLUME, ephemeral=ephemeral),
                ops.Delete(OTHER),
                ops.Delete(SECRET, Digest("0" * 32)),
                ops.SetValue(OTHER, VALUE, create=False),
            ]
            for request in failing:
                with pytest.raises(SecretdError):
                    await core.call(request)
            assert await what_was_told(core, told) == []

        in_core(tmp_path, test)


class TestSubscriptions:
    def test_one_secret_which_need_not_be_there(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core, SECRET)
            await core.call(set_xml(OTHER))
            await core.call(set_xml(SECRET))
            assert [event.secret for event in await what_was_told(core, told)] == [SECRET]  # type: ignore[attr-defined]

        in_core(tmp_path, test)

    def test_all_and_one_is_told_once(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            for secret in (SECRET, SECRET, None):
                await core.call(ops.Subscribe(secret), OWNER, told)
            await core.call(set_xml(SECRET))
            assert len(await what_was_told(core, told)) == 1
            # One subscription to all ends, that to one secret stays; and without an id all end.
            await core.call(ops.Unsubscribe(OTHER), OWNER, told)
            await core.call(ops.Unsubscribe(SECRET), OWNER, told)
            await core.call(set_xml(SECRET))
            assert len(await what_was_told(core, told)) == 1
            await core.call(ops.Subscribe(SECRET), OWNER, told)
            await core.call(ops.Unsubscribe(), OWNER, told)
            await core.call(set_xml(SECRET))
            assert await what_was_told(core, told) == []

        in_core(tmp_path, test)

    def test_what_was_answered_before_is_not_told(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            first = await subscribed(core)
            # In memory, so that nothing waits: it is told only after the subscription, in a later turn.
            await core.call(set_xml(SECRET, ephemeral=True))
            late = await subscribed(core)
            assert len(await what_was_told(core, first)) == 1
            assert await what_was_told(core, late) == []

        in_core(tmp_path, test)

    def test_their_number_is_bounded(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            for number in range(limits.SUBSCRIBED_SECRETS):
                await core.call(ops.Subscribe(UUID(int=number)), OWNER, told)
            with pytest.raises(InvalidRequestError, match="at most 64 secrets"):
                await core.call(ops.Subscribe(MARK), OWNER, told)
            await core.call(ops.Subscribe(UUID(int=0)), OWNER, told)
            await core.call(ops.Unsubscribe(UUID(int=0)), OWNER, told)
            await core.call(ops.Subscribe(MARK), OWNER, told)

        in_core(tmp_path, test)

    def test_a_listener_that_was_forgotten_is_told_no_more(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told, other = await subscribed(core), await subscribed(core)
            await core.call(set_xml(SECRET, ephemeral=True))
            core.service.forget(told)
            assert len(await what_was_told(core, other)) == 1
            assert told.events == []

        in_core(tmp_path, test)

    def test_one_that_fails_keeps_nobody_else_from_being_told(self, tmp_path: Path) -> None:
        class Broken(Told):
            def tell(self, _: Iterable[ops.Event]) -> None:
                raise RuntimeError("broken")

        async def test(core: Core) -> None:
            reports: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            await core.call(ops.Subscribe(), OWNER, Broken())
            told = await subscribed(core)
            await core.call(set_xml(SECRET))
            assert len(await what_was_told(core, told)) == 1
            assert reports

        in_core(tmp_path, test)


class TestVisibility:
    """Alice sees what is for a volume."""

    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            pytest.param(VOLUME, VOLUME, ops.SecretChanged, id="seen"),
            pytest.param(CEPH, VOLUME, ops.SecretDefined, id="comes-into-sight"),
            pytest.param(VOLUME, CEPH, ops.SecretDeleted, id="goes-out-of-sight"),
            pytest.param(CEPH, CEPH, None, id="never-seen"),
        ],
    )
    def test_a_change(self, tmp_path: Path, before: Usage, after: Usage, kind: type[ops.Event] | None) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=before))
            told = await subscribed(core, caller=ALICE)
            await core.call(set_xml(usage=after))
            assert [type(event) for event in await what_was_told(core, told)] == ([kind] if kind else [])

        in_core(tmp_path, test)

    @pytest.mark.parametrize(("usage", "seen"), [(VOLUME, True), (CEPH, False)])
    def test_the_beginning_and_the_end(self, tmp_path: Path, usage: Usage, seen: bool) -> None:
        async def test(core: Core) -> None:
            told = [await subscribed(core, secret, ALICE) for secret in (None, SECRET)]
            await core.call(set_xml(usage=usage))
            await core.call(ops.Delete(SECRET))
            for one in told:
                kinds = [type(event) for event in await what_was_told(core, one)]
                assert kinds == ([ops.SecretDefined, ops.SecretDeleted] if seen else [])

        in_core(tmp_path, test)

    def test_who_no_longer_sees_a_secret_learns_nothing_of_what_became_of_it(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME))
            told = await subscribed(core, caller=ALICE)
            await core.call(set_xml(usage=CEPH))
            assert await what_was_told(core, told) == [ops.SecretDeleted(SECRET, VOLUME)]

        in_core(tmp_path, test)


class TestOrder:
    def test_events_keep_the_order_of_commits(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            revision = await core.store.revision()
            told = await subscribed(core)
            secrets = [UUID(int=number) for number in range(1, 9)]
            await asyncio.gather(*(core.call(ops.SetValue(secret, VALUE)) for secret in secrets * 8))
            seen = [event.secret for event in await what_was_told(core, told)]  # type: ignore[attr-defined]
            committed: list[UUID] = []
            async with aclosing(core.store.watch(ATTRIBUTES, revision)) as changes:
                async for change in changes:
                    committed.append(UUID(bytes=change.key[len(ATTRIBUTES) :]))
                    if len(committed) == len(secrets) * 8:
                        break
            assert seen == committed

        in_core(tmp_path, test)

    def test_an_answer_comes_before_its_event(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            for request in (set_xml(SECRET), set_xml(OTHER, ephemeral=True), ops.Delete(SECRET), ops.Delete(OTHER)):
                await core.call(request)
                assert told.events == []
                assert len(await what_was_told(core, told)) == 1

        in_core(tmp_path, test)


class TestLosses:
    @pytest.mark.parametrize("failure", [StoreOutcomeUnknownError("perhaps"), RuntimeError("nobody foresaw it")])
    def test_a_change_that_was_perhaps_made_is_a_loss_for_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
    ) -> None:
        async def fail(*_: Any) -> int:
            raise failure

        async def test(core: Core) -> None:
            await core.call(set_xml())
            told = [await subscribed(core), await subscribed(core, OTHER), await subscribed(core, caller=ALICE)]
            for request in (set_xml(description="x"), ops.SetValue(SECRET, VALUE), ops.Delete(SECRET)):
                with monkeypatch.context() as patch:
                    patch.setattr(core.store, "commit", fail)
                    with pytest.raises(type(failure)):
                        await core.call(request)
                for one in told:
                    assert await what_was_told(core, one) == [ops.EventsLost()]

        in_core(tmp_path, test)

    def test_a_change_that_was_surely_not_made_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: Any) -> int:
            raise StoreUnavailableError("surely not")

        async def test(core: Core) -> None:
            told = await subscribed(core)
            with monkeypatch.context() as patch:
                patch.setattr(core.store, "commit", fail)
                with pytest.raises(StoreUnavailableError):
                    await core.call(set_xml())
            assert await what_was_told(core, told) == []

        in_core(tmp_path, test)

    def test_a_change_that_is_given_up_is_a_loss(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            committing = asyncio.Event()
            never: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def commit(*_: Any) -> int:
                committing.set()
                return await never

            monkeypatch.setattr(core.store, "commit", commit)
            change = asyncio.create_task(core.call(set_xml()))
            await committing.wait()
            change.cancel()
            with pytest.raises(asyncio.CancelledError):
                await change
            assert await told.until(ops.EventsLost) == [ops.EventsLost()]

        in_core(tmp_path, test)

    def test_a_backlog_becomes_one_loss(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            told = await subscribed(core)
            # None of them waits, so none is told before the last is made.
            for _ in range(limits.EVENTS_BACKLOG + 3):
                await core.call(set_xml(SECRET, ephemeral=True))
            kinds = [type(event) for event in await what_was_told(core, told)]
            assert kinds == [ops.EventsLost, ops.SecretChanged, ops.SecretChanged]

        in_core(tmp_path, test)

    def test_a_restore_is_one_loss(self, tmp_path: Path) -> None:
        async def copied(core: Core, there: Core) -> list[ops.Event]:
            await core.call(set_xml(usage=VOLUME))
            backup = await core.call(storerequests.Backup())
            assert backup.last
            told = await subscribed(there)
            await there.call(storerequests.Restore(backup.value, last=True))
            return await told.until(ops.EventsLost)

        async def test() -> None:
            async with open_core(tmp_path / "here") as core:
                # The same root key opens it there.
                shutil.copytree(tmp_path / "here" / "config", tmp_path / "there" / "config")
                async with open_core(tmp_path / "there") as there:
                    assert await copied(core, there) == [ops.EventsLost()]
                    assert [entry.secret for entry in (await there.call(ops.List())).entries] == [SECRET]

        run(test())

    def test_a_round_is_bounded_and_nothing_is_left_out(self, tmp_path: Path) -> None:
        class Counting(Told):
            def tell(self, events: Any) -> None:
                rounds.append(len(events))
                super().tell(events)

        rounds: list[int] = []

        async def test(core: Core) -> None:
            told = Counting()
            await core.call(ops.Subscribe(), OWNER, told)
            for number in range(1, 4 * limits.EVENTS_PER_ROUND):
                await core.call(set_xml(UUID(int=number), ephemeral=True))
            await told.until(ops.SecretDefined, UUID(int=4 * limits.EVENTS_PER_ROUND - 1))
            assert sum(rounds) == 4 * limits.EVENTS_PER_ROUND - 1
            assert max(rounds) <= limits.EVENTS_PER_ROUND

        in_core(tmp_path, test)


USAGES = [None, VOLUME, CEPH, Usage(UsageType.VOLUME, "/other")]
IDS = [UUID(int=number) for number in (1, 2, 3)]
CHANGES = st.one_of(
    st.builds(
        lambda secret, usage, ephemeral: set_xml(secret, usage=usage, ephemeral=ephemeral),
        st.sampled_from(IDS),
        st.sampled_from(USAGES),
        st.booleans(),
    ),
    st.builds(lambda secret: ops.SetValue(secret, VALUE), st.sampled_from(IDS)),
    st.builds(ops.Delete, st.sampled_from(IDS)),
)


async def attempt(core: Core, change: ops.Request[Any]) -> None:
    with suppress(SecretdError):
        await core.call(change)


class Mirror:
    """A list that is kept up to date as docs/protocol.md says."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.told = Told()
        self.entries: dict[UUID, ops.Entry] = {}

    async def begin(self, core: Core) -> None:
        await core.call(ops.Subscribe(), self.caller, self.told)
        listed = await core.call(ops.List(), self.caller)
        self.entries = {entry.secret: entry for entry in listed.entries}

    def apply(self, events: Iterable[ops.Event]) -> None:
        for event in events:
            if isinstance(event, ops.SecretDeleted):
                self.entries.pop(event.secret, None)
            elif isinstance(event, ops.Entry):
                self.entries[event.secret] = event

    def shown(self) -> dict[UUID, dict[str, object]]:
        return {secret: as_entry(entry) for secret, entry in self.entries.items()}


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(CHANGES, max_size=6),
    during=st.lists(CHANGES, max_size=6),
    after=st.lists(st.lists(CHANGES, min_size=1, max_size=5), max_size=4),
)
def test_a_list_that_follows_the_events_is_the_list(
    before: list[ops.Request[Any]], during: list[ops.Request[Any]], after: list[list[ops.Request[Any]]]
) -> None:
    async def test(core: Core) -> None:
        mirrors = [Mirror(OWNER), Mirror(ALICE)]
        await asyncio.gather(*(attempt(core, change) for change in before))
        await asyncio.gather(
            *(attempt(core, change) for change in during[:3]),
            *(mirror.begin(core) for mirror in mirrors),
            *(attempt(core, change) for change in during[3:]),
        )
        for changes in after:
            await asyncio.gather(*(attempt(core, change) for change in changes))
        for mirror in mirrors:
            mirror.apply(await what_was_told(core, mirror.told))
            listed = await core.call(ops.List(), mirror.caller)
            assert mirror.shown() == {entry.secret: as_entry(entry) for entry in listed.entries}

    with TemporaryDirectory() as root:
        in_core(Path(root), test)
