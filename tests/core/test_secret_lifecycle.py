"""What may befall secrets: what each operation allows and refuses, who is told what, and what lists leave out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.core import OWNER, Core, HandClock, Told, in_core
from secretd import limits
from secretd import operations as ops
from secretd.core.access import AnyTarget
from secretd.core.kinds import OUT_OF_USE
from secretd.errors import (
    AccessDeniedError,
    DigestMismatchError,
    InvalidRequestError,
    NotFoundError,
    OperationInvalidError,
    QuotaError,
    ReferencedError,
    SecretdError,
    WrongStateError,
)
from secretd.lifecycle import OutOfUse, Reference, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDeletionScheduled,
    SecretDetach,
    SecretGetLifecycle,
    SecretLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Attributes, Caller, Digest, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.moments import moment_of

SECRET, OTHER = UUID(int=1), UUID(int=2)
USAGE = Usage(UsageType.CEPH, "client.admin")
NO_DIGEST = Digest("0" * 32)
DAY_S = 86_400

HOMES = [pytest.param(False, id="persistent"), pytest.param(True, id="ephemeral")]
"""Where the secret is kept: what befalls it is the same."""

Test = Callable[[Core], Awaitable[None]]


async def make(core: Core, *, ephemeral: bool = False, secret: UUID = SECRET) -> None:
    usage = USAGE if secret == SECRET else None
    await core.call(ops.SetXml(secret, SecretDocument(Attributes(usage, "for backups", ephemeral=ephemeral))))
    await core.call(ops.SetValue(secret, SecretValue(b"value")))


async def befell(core: Core) -> SecretLifecycle:
    return await core.call(SecretGetLifecycle(SECRET))


async def listed(core: Core, *, archived: bool = False) -> list[UUID]:
    found = await core.call(ops.List(archived=archived))
    assert (await core.call(ops.Count(archived=archived))).secrets == len(found.entries)
    # What counts one by one says the same as what keeps a number.
    assert (await core.call(ops.Count(archived=archived, private=False))).secrets == len(found.entries)
    return [entry.secret for entry in found.entries]


CHANGES: dict[str, ops.Request[ops.Changed]] = {
    "set-xml": ops.SetXml(SECRET, SecretDocument(Attributes(USAGE, "other"))),
    "move": ops.SetXml(SECRET, SecretDocument(Attributes(USAGE, "for backups", ephemeral=True))),
    "define": ops.Define(SecretDocument(Attributes(USAGE, "other"), SECRET)),
    "set-value": ops.SetValue(SECRET, SecretValue(b"other")),
    "generate-value": ops.GenerateValue(SECRET, 8),
}


@pytest.mark.parametrize("ephemeral", HOMES)
class TestArchived:
    def test_it_can_be_read_and_is_left_out_of_lists(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await make(core, ephemeral=ephemeral, secret=OTHER)
            await core.call(SecretArchive(SECRET))
            assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"value"
            assert (await core.call(ops.GetXml(SECRET))).document.attributes.description == "for backups"
            assert (await core.call(ops.LookupByUsage(USAGE))).secret == SECRET
            assert await listed(core) == [OTHER]
            assert await listed(core, archived=True) == [SECRET, OTHER]
            assert (await core.call(ops.LookupById(SECRET))).out_of_use is OutOfUse.ARCHIVED
            await core.call(SecretRestore(SECRET))
            assert await listed(core) == [SECRET, OTHER]
            assert (await core.call(ops.LookupById(SECRET))).out_of_use is None

        in_core(tmp_path, test)

    @pytest.mark.parametrize("change", CHANGES)
    def test_it_is_not_changed(self, tmp_path: Path, ephemeral: bool, change: str) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            before = (await core.call(SecretArchive(SECRET))).digest
            with pytest.raises(WrongStateError, match="it is archived"):
                await core.call(CHANGES[change])
            assert (await befell(core)).digest == before

        in_core(tmp_path, test)

    def test_it_can_be_deleted_at_once(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretArchive(SECRET))
            await core.call(ops.Delete(SECRET))
            assert await listed(core, archived=True) == []
            await make(core, ephemeral=ephemeral)
            assert await listed(core) == [SECRET]

        in_core(tmp_path, test)

    def test_it_says_since_when(self, tmp_path: Path, ephemeral: bool) -> None:
        clock = HandClock()

        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            changed = await core.call(SecretArchive(SECRET))
            said = SecretLifecycle(changed.digest, protected=False, archived=moment_of(int(clock.now_s)))
            assert await befell(core) == said

        in_core(tmp_path, test, read_clock=clock)


@pytest.mark.parametrize("ephemeral", HOMES)
class TestPending:
    def test_it_can_be_found_but_not_read(self, tmp_path: Path, ephemeral: bool) -> None:
        clock = HandClock()

        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            scheduled = await core.call(SecretScheduleDeletion(SECRET))
            assert scheduled.due == moment_of(int(clock.now_s) + 30 * DAY_S)
            assert await befell(core) == SecretLifecycle(scheduled.digest, protected=False, due=scheduled.due)
            with pytest.raises(WrongStateError, match="pending deletion"):
                await core.call(ops.GetValue(SECRET))
            assert (await core.call(ops.GetXml(SECRET))).digest == scheduled.digest
            assert (await core.call(ops.LookupByUsage(USAGE))).secret == SECRET
            assert (await core.call(ops.LookupById(SECRET))).out_of_use is OutOfUse.PENDING_DELETION
            assert (await listed(core), await listed(core, archived=True)) == ([], [SECRET])

        in_core(tmp_path, test, read_clock=clock)

    @pytest.mark.parametrize("change", CHANGES)
    def test_it_is_not_changed(self, tmp_path: Path, ephemeral: bool, change: str) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretScheduleDeletion(SECRET))
            with pytest.raises(WrongStateError, match="pending deletion"):
                await core.call(CHANGES[change])

        in_core(tmp_path, test)

    def test_it_is_not_deleted_before(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretScheduleDeletion(SECRET))
            with pytest.raises(WrongStateError, match="pending deletion"):
                await core.call(ops.Delete(SECRET))

        in_core(tmp_path, test)

    def test_it_is_what_it_was_before_once_that_is_cancelled(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretArchive(SECRET))
            archived = (await befell(core)).archived
            await core.call(SecretScheduleDeletion(SECRET, 7))
            cancelled = await core.call(SecretCancelDeletion(SECRET))
            assert await befell(core) == SecretLifecycle(cancelled.digest, protected=False, archived=archived)
            assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"value"
            await core.call(SecretRestore(SECRET))
            assert await listed(core) == [SECRET]

        in_core(tmp_path, test)

    @pytest.mark.parametrize("days", [limits.WINDOW_DAYS_LEAST - 1, limits.WINDOW_DAYS + 1])
    def test_the_window_has_bounds(self, tmp_path: Path, ephemeral: bool, days: int) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            with pytest.raises(InvalidRequestError, match="7 to 30 days"):
                await core.call(SecretScheduleDeletion(SECRET, days))

        in_core(tmp_path, test)

    def test_so_many_wait_and_no_more(self, tmp_path: Path, ephemeral: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "PENDING_SECRETS", 1)

        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await make(core, ephemeral=ephemeral, secret=OTHER)
            await core.call(SecretScheduleDeletion(SECRET))
            with pytest.raises(QuotaError, match="wait for their deletion"):
                await core.call(SecretScheduleDeletion(OTHER))
            await core.call(SecretCancelDeletion(SECRET))
            await core.call(SecretScheduleDeletion(OTHER))

        in_core(tmp_path, test)


@pytest.mark.parametrize("ephemeral", HOMES)
class TestReferences:
    def test_what_is_needed_is_not_deleted(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretAttach(SECRET, "sync:offsite", ReferenceKind.ASSOCIATED))
            await core.call(SecretAttach(SECRET, "job", ReferenceKind.ASSOCIATED))
            for request in (ops.Delete(SECRET), SecretScheduleDeletion(SECRET)):
                with pytest.raises(ReferencedError, match="it is needed by job, sync:offsite"):
                    await core.call(request)
            await core.call(SecretArchive(SECRET))
            await core.call(SecretDetach(SECRET, "job"))
            await core.call(SecretDetach(SECRET, "sync:offsite"))
            await core.call(ops.Delete(SECRET))

        in_core(tmp_path, test)

    def test_what_is_needed_for_new_use_is_not_archived(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretAttach(SECRET, "job"))
            with pytest.raises(ReferencedError, match="it is needed by job"):
                await core.call(SecretArchive(SECRET))
            # To attach it again changes how.
            await core.call(SecretAttach(SECRET, "job", ReferenceKind.ASSOCIATED))
            await core.call(SecretArchive(SECRET))
            assert (await befell(core)).references == (Reference("job", ReferenceKind.ASSOCIATED),)

        in_core(tmp_path, test)

    def test_what_is_so_already_is_no_change(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            attached = await core.call(SecretAttach(SECRET, "job"))
            assert await core.call(SecretAttach(SECRET, "job")) == attached
            protected = await core.call(SecretProtect(SECRET))
            assert await core.call(SecretProtect(SECRET)) == protected
            assert protected.digest != attached.digest

        in_core(tmp_path, test)

    def test_who_is_not_attached_cannot_be_detached(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            with pytest.raises(InvalidRequestError, match="no consumer of that name"):
                await core.call(SecretDetach(SECRET, "job"))

        in_core(tmp_path, test)

    def test_a_change_and_a_move_keep_what_befell_it(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await make(core, ephemeral=ephemeral)
            await core.call(SecretAttach(SECRET, "job"))
            await core.call(SecretProtect(SECRET))
            kept = replace(await befell(core), digest=NO_DIGEST)
            for moves in (ephemeral, not ephemeral, ephemeral):
                attributes = Attributes(USAGE, "other", ephemeral=moves)
                await core.call(ops.SetXml(SECRET, SecretDocument(attributes)))
                await core.call(ops.SetValue(SECRET, SecretValue(b"other")))
                await core.call(ops.Define(SecretDocument(attributes, SECRET)))
                assert replace(await befell(core), digest=NO_DIGEST) == kept

        in_core(tmp_path, test)


@pytest.mark.parametrize("ephemeral", HOMES)
def test_what_is_protected_is_not_deleted(tmp_path: Path, ephemeral: bool) -> None:
    async def test(core: Core) -> None:
        await make(core, ephemeral=ephemeral)
        await core.call(SecretProtect(SECRET))
        for request in (ops.Delete(SECRET), SecretScheduleDeletion(SECRET)):
            with pytest.raises(OperationInvalidError, match="protected"):
                await core.call(request)
        await core.call(SecretUnprotect(SECRET))
        await core.call(ops.Delete(SECRET))

    in_core(tmp_path, test)


ALL: dict[str, Callable[[Digest | None], ops.Request[ops.Reply]]] = {
    "archive": lambda digest: SecretArchive(SECRET, digest),
    "restore": lambda digest: SecretRestore(SECRET, digest),
    "attach": lambda digest: SecretAttach(SECRET, "job", digest=digest),
    "detach": lambda digest: SecretDetach(SECRET, "job", digest),
    "protect": lambda digest: SecretProtect(SECRET, digest),
    "unprotect": lambda digest: SecretUnprotect(SECRET, digest),
    "schedule-deletion": lambda digest: SecretScheduleDeletion(SECRET, 7, digest),
    "cancel-deletion": lambda digest: SecretCancelDeletion(SECRET, digest),
}


@pytest.mark.parametrize("name", ALL)
def test_a_change_names_the_secret_as_it_is(tmp_path: Path, name: str) -> None:
    async def test(core: Core) -> None:
        await make(core)
        with pytest.raises(DigestMismatchError):
            await core.call(ALL[name](NO_DIGEST))

    in_core(tmp_path, test)


def test_each_change_gives_another_digest_and_the_next_can_name_it(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await make(core)
        digest = (await core.call(ops.GetXml(SECRET))).digest
        seen = {digest}
        for name in ("attach", "detach", "protect", "unprotect", "archive", "restore", "schedule-deletion"):
            reply = await core.call(ALL[name](digest))
            assert isinstance(reply, ops.Changed | SecretDeletionScheduled)
            digest = reply.digest
            assert digest not in seen
            seen.add(digest)
            assert digest == (await core.call(ops.GetXml(SECRET))).digest

    in_core(tmp_path, test)


class TestWhoMay:
    """A caller who holds some permissions only, of which the others are the owner's."""

    CALLER = Caller(uid=OWNER.uid + 1, gid=1, pid=1)

    def in_core(self, root: Path, test: Test, *held: Permission) -> None:
        def policy(caller: Caller, permission: Permission, _: AnyTarget) -> bool:
            return caller != self.CALLER or permission in held

        in_core(root, test, policy)

    @pytest.mark.parametrize("name", ALL)
    def test_a_hidden_secret_is_answered_as_absent(self, tmp_path: Path, name: str) -> None:
        async def test(core: Core) -> None:
            await make(core)
            with pytest.raises(NotFoundError) as hidden:
                await core.call(ALL[name](None), self.CALLER)
            await core.call(ops.Delete(SECRET))
            with pytest.raises(NotFoundError) as absent:
                await core.call(ALL[name](None), self.CALLER)
            assert hidden.value.message == absent.value.message

        self.in_core(tmp_path, test, Permission.ARCHIVE, Permission.DELETE)

    @pytest.mark.parametrize("name", ALL)
    def test_who_may_only_see_it_changes_nothing(self, tmp_path: Path, name: str) -> None:
        async def test(core: Core) -> None:
            await make(core)
            with pytest.raises(AccessDeniedError):
                await core.call(ALL[name](None), self.CALLER)

        self.in_core(tmp_path, test, Permission.GETATTR, Permission.READ)

    def test_consumers_are_named_to_who_may_read(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await make(core)
            await core.call(SecretAttach(SECRET, "job"))
            for request in (ops.Delete(SECRET), SecretScheduleDeletion(SECRET), SecretArchive(SECRET)):
                with pytest.raises(ReferencedError) as told:
                    await core.call(request, self.CALLER)
                assert told.value.message == "somebody needs it"
            with pytest.raises(AccessDeniedError):
                await core.call(SecretGetLifecycle(SECRET), self.CALLER)

        self.in_core(tmp_path, test, Permission.GETATTR, Permission.ARCHIVE, Permission.DELETE)

    def test_who_may_append_only_is_told_nothing_of_it(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.SetXml(SECRET, SecretDocument(Attributes())))
            await core.call(SecretArchive(SECRET))
            with pytest.raises(SecretdError) as told:
                await core.call(ops.SetValue(SECRET, SecretValue(b"value")), self.CALLER)
            assert (told.value.code, told.value.message) == ("conflict", "this id is not free")

        self.in_core(tmp_path, test, Permission.APPEND, Permission.SAVE)


def test_each_change_is_told_as_one_of_the_attributes(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        told = Told()
        await make(core)
        await core.call(ops.Subscribe(), listener=told)
        for request, out_of_use in (
            (SecretProtect(SECRET), None),
            (SecretUnprotect(SECRET), None),
            (SecretArchive(SECRET), OutOfUse.ARCHIVED),
            (SecretScheduleDeletion(SECRET), OutOfUse.PENDING_DELETION),
            (SecretCancelDeletion(SECRET), OutOfUse.ARCHIVED),
            (SecretRestore(SECRET), None),
        ):
            await core.call(request)
            (event,) = await told.until(ops.SecretChanged, SECRET)
            assert isinstance(event, ops.SecretChanged)
            found = await core.call(ops.LookupById(SECRET))
            assert (event.out_of_use, event.digest, event.has_value) == (out_of_use, found.digest, True)

    in_core(tmp_path, test)


def test_the_store_says_which_are_left_out(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await make(core)
        assert await core.store.count(OUT_OF_USE) == 0
        for request, number in (
            (SecretArchive(SECRET), 1),
            (SecretScheduleDeletion(SECRET), 1),
            (SecretCancelDeletion(SECRET), 1),
            (SecretRestore(SECRET), 0),
            (SecretScheduleDeletion(SECRET), 1),
        ):
            await core.call(request)
            assert await core.store.count(OUT_OF_USE) == number

    in_core(tmp_path, test)
