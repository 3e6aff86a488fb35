"""The operations on secrets: what each means, in which order it checks, and what it leaves unchanged.

A secret that the caller may not getattr is answered as one that does not exist.  A change is authorised on
the secret as it is and as it would be.  Changes to one secret follow each other; changes to others go on
beside them, and what waits together shares a commit.  If the store finds that a secret was changed after
the change was decided on, it is decided anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn
from uuid import UUID, uuid4

from secretd import limits
from secretd import operations as ops
from secretd.core.access import Access, Target
from secretd.core.events import Events
from secretd.core.generate import generate_value
from secretd.core.homes import Homes, no_secret, unsettled
from secretd.core.lifecycle import require_in_use, require_openable, require_unneeded
from secretd.core.state import SecretState, Wanted, said_of
from secretd.errors import (
    ConflictError,
    DigestMismatchError,
    InvalidRequestError,
    NotFoundError,
    NoValueError,
    OperationInvalidError,
    PrivateError,
    StoreOutcomeUnknownError,
)
from secretd.lifecycle import NOTHING_BEFELL
from secretd.model import Attributes, Caller, Digest, Permission, SecretDocument, SecretValue, Usage
from secretd.store.base import RevisionConflict


@dataclass(frozen=True, slots=True)
class _Change:
    """Who changes which secret, and in which way.

    Attributes:
        caller, secret: who, and which.
        digest: what it must still have.
        sets_value: if it is there, its value is set and nothing else is changed.
        off_disk: it must not be one that is kept on disk, if it is there.
    """

    caller: Caller
    secret: UUID
    digest: Digest | None = None
    sets_value: bool = False
    off_disk: bool = False

    def permission(self, before: SecretState | None) -> Permission:
        """Say what the change needs: to append is to take nothing away. Source: docs/access.md, "Permissions"."""
        appends = before is None or (self.sets_value and not before.has_value)
        return Permission.APPEND if appends else Permission.WRITE


class Secrets:
    """The secrets of both homes, and what may be done with them."""

    def __init__(self, access: Access, homes: Homes, events: Events) -> None:
        self._access = access
        self._homes = homes
        self._persistent = homes.persistent
        self._ephemeral = homes.ephemeral
        self._events = events

    async def allocate_id(self, caller: Caller, request: ops.AllocateId) -> ops.Changed:
        """Allocate an id for a new secret, with neither usage nor value."""
        attributes = Attributes(description=request.description or None, ephemeral=request.ephemeral)
        return await self._change(_Change(caller, uuid4()), lambda _: (attributes, None))

    async def set_xml(self, caller: Caller, request: ops.SetXml) -> ops.Changed:
        """Replace all attributes of a secret.

        Raises:
            InvalidRequestError: the document names another id.
            OperationInvalidError: the secret is private, and the document says it is not.
        """
        if request.document.id not in (None, request.secret):
            raise InvalidRequestError("the document's uuid is not the id of the secret it was sent for")
        wanted = request.document.attributes
        return await self._change(_Change(caller, request.secret, request.digest), lambda _: (wanted, None))

    async def define(self, caller: Caller, request: ops.Define) -> ops.Changed:
        """Define a secret as libvirt does.

        Raises:
            ConflictError: the document changes what a secret is for, or the usage is another secret's.
            OperationInvalidError: the secret is private, and the document says it is not.
        """
        wanted = request.document.attributes

        def decide(before: SecretState | None) -> tuple[Attributes, None]:
            # libvirt compares the usage's id alone (12.8, as it behaves): a volume may become a TLS key of that name.
            if before is not None and _usage_id(before.attributes) != _usage_id(wanted):
                raise ConflictError(
                    "this secret is for another use, or for none; set-xml may change that, define may not"
                )
            return wanted, None

        return await self._change(_Change(caller, request.document.id or uuid4(), request.digest), decide)

    async def set_value(self, caller: Caller, request: ops.SetValue) -> ops.Changed:
        """Set the value of a secret.

        Raises:
            OperationInvalidError: an ephemeral secret was asked for, but this one exists and is not: the
                value would have reached a disk.
        """

        def decide(before: SecretState | None) -> tuple[Attributes, SecretValue]:
            if before is None:
                if not request.create:
                    raise no_secret()
                return Attributes(ephemeral=request.ephemeral), request.value
            return before.attributes, request.value

        change = _Change(caller, request.secret, request.digest, sets_value=True, off_disk=request.ephemeral)
        return await self._change(change, decide)

    async def generate_value(self, caller: Caller, request: ops.GenerateValue) -> ops.Changed:
        """Make a random value and set it. The secret must exist, as the value could otherwise serve nobody.

        Raises:
            InvalidRequestError: the length or the alphabet is not one that generate_value takes.
        """
        value = generate_value(request.length, request.alphabet)

        def decide(before: SecretState | None) -> tuple[Attributes, SecretValue]:
            if before is None:
                raise no_secret()
            return before.attributes, value

        change = _Change(caller, request.secret, request.digest, sets_value=True)
        return await self._change(change, decide)

    async def delete(self, caller: Caller, request: ops.Delete) -> ops.Deleted:
        """Delete a secret, its value and its attributes.

        Raises:
            WrongStateError: it waits for its deletion, and that is not cut short.
            ReferencedError: somebody needs it.
            OperationInvalidError: it is protected.
        """

        async def attempt() -> ops.Deleted:
            state = await self._homes.visible(caller, request.secret)
            self._access.require(caller, Permission.DELETE, state.target)
            self._homes.check_digest(state, request.digest)
            if state.lifecycle is not NOTHING_BEFELL:
                require_openable(state.lifecycle)
                require_unneeded(state.lifecycle, shown=self._access.allows(caller, Permission.READ, state.target))
            with self._events.watching():
                await self._homes.remove(request.secret)
            self._events.changed(state, None, None)
            return ops.Deleted()

        return await self._homes.settled(request.secret, attempt)

    async def get_xml(self, caller: Caller, request: ops.GetXml) -> ops.GotXml:
        """Give the attributes of a secret."""
        state = await self._homes.visible(caller, request.secret)
        self._access.require(caller, Permission.READ, state.target)
        return ops.GotXml(self._homes.digest(state), SecretDocument(state.attributes, state.id))

    async def get_value(self, caller: Caller, request: ops.GetValue) -> ops.GotValue:
        """Reveal the value of a secret.

        Raises:
            PrivateError: the secret is private, and the caller is not elevated.
            NoValueError: it has none.
            WrongStateError: it waits for its deletion.
        """
        # What Homes.settled does, without its two calls more and its lock: nothing is asked for more often.
        for _ in range(limits.COMMIT_RETRIES):
            state = await self._homes.visible(caller, request.secret)
            self._access.require(caller, Permission.READ_SECURE, state.target)
            if state.lifecycle is not NOTHING_BEFELL:
                require_openable(state.lifecycle)
            if state.attributes.private and not caller.elevated:
                raise PrivateError("the secret is private: its value is revealed to no ordinary caller")
            if not state.has_value:
                raise NoValueError("the secret has no value")
            try:
                return ops.GotValue(await self._homes.of(state.attributes).read_value(state))
            except RevisionConflict:
                continue
        raise unsettled()

    async def lookup_by_usage(self, caller: Caller, request: ops.LookupByUsage) -> ops.Found:
        """Find the secret that has a usage."""
        state = await self._homes.find_by_usage(request.usage)
        if state is None or not self._access.allows(caller, Permission.GETATTR, state.target):
            raise NotFoundError("no secret has this usage")
        return ops.Found(state.id, self._homes.digest(state))

    async def lookup_by_id(self, caller: Caller, request: ops.LookupById) -> ops.FoundEntry:
        """Say what a list says of a secret."""
        state = await self._homes.visible(caller, request.secret)
        return ops.FoundEntry(*said_of(state, self._homes.digest(state)))

    async def counts(self) -> tuple[int, int]:
        """Say how many secrets there are, persistent and ephemeral; kept numbers."""
        return await self._persistent.count(), await self._ephemeral.count()

    async def _change(
        self, change: _Change, decide: Callable[[SecretState | None], tuple[Attributes, SecretValue | None]]
    ) -> ops.Changed:
        """Change one secret, or create it.

        ``decide`` gives the attributes it shall have, and its new value if it gets one, from what it is now.
        """

        async def attempt() -> ops.Changed:
            found = await self._homes.find(change.secret)
            before = found if found is not None and self._shows(change, found) else None
            self._authorise_before(change, before)
            wanted, value = decide(before)
            self._authorise_after(change, before, wanted)
            if found is not before or (found is None and await self._persistent.is_buried(change.secret)):
                await self._refuse_new(change.secret, wanted)
            _keep_private(before, wanted)
            lifecycle = before.lifecycle if before else NOTHING_BEFELL
            with self._events.watching():
                state = await self._put(before, change.secret, Wanted(wanted, value, lifecycle), change.caller.uid)
            changed = ops.Changed(change.secret, self._homes.digest(state))
            # Under the secret's lock, and without a wait since the commit: so events keep the order of commits.
            self._events.changed(before, state, changed.digest)
            return changed

        return await self._homes.settled(change.secret, attempt)

    def _shows(self, change: _Change, state: SecretState) -> bool:
        """Whether the secret is there for who changes it; else he is answered as if it were not."""
        if self._access.allows(change.caller, Permission.GETATTR, state.target):
            return True
        # Who may append may do so once to what he cannot see, as he may have made it himself; of what is against it he
        # is told nothing.
        permission = change.permission(state)
        if permission is not Permission.APPEND or not self._access.allows(change.caller, permission, state.target):
            return False
        try:
            self._check_fits(change, state)
        except (DigestMismatchError, OperationInvalidError):
            return False
        return True

    def _check_fits(self, change: _Change, before: SecretState) -> None:
        """Check that the secret is as who changes it takes it to be."""
        self._homes.check_digest(before, change.digest)
        if before.lifecycle is not NOTHING_BEFELL:
            require_in_use(before.lifecycle)
        if change.off_disk and not before.attributes.ephemeral:
            raise OperationInvalidError("the secret exists and is not ephemeral; the value was not set")

    def _authorise_before(self, change: _Change, before: SecretState | None) -> None:
        if before is not None:
            self._access.require(change.caller, change.permission(before), before.target)
            self._check_fits(change, before)
        elif change.digest is not None:
            raise no_secret()

    def _authorise_after(self, change: _Change, before: SecretState | None, wanted: Attributes) -> None:
        usage = before.attributes.usage if before is not None else None
        renames = wanted.usage is not usage and wanted.usage != usage
        # Who looks for a usage believes whoever gave it: one id's scope is none for the names of all others.
        after = Target(None if renames and wanted.usage is not None else change.secret, wanted)
        self._access.require(change.caller, change.permission(before), after)
        if not wanted.ephemeral and (before is None or not change.sets_value):
            self._access.require(change.caller, Permission.SAVE, after)
        if renames and before is not None and before.has_value:
            # A new usage opens the old value to whoever may read by that usage, so it is as good as reading it.
            self._access.require(change.caller, Permission.READ_SECURE, before.target)

    async def _refuse_new(self, secret: UUID, wanted: Attributes) -> NoReturn:
        """Refuse to make what is there: whoever might have made it learns that it is, and nothing more."""
        if wanted.usage is not None:
            await self._check_usage_free(secret, wanted.usage)
        raise ConflictError("this id is not free")

    async def _put(self, before: SecretState | None, secret: UUID, wanted: Wanted, creator: int) -> SecretState:
        usage = wanted.attributes.usage
        if usage is None or (before is not None and usage == before.attributes.usage):
            return await self._put_at_home(before, secret, wanted, creator)
        # Held last and one at most, so two changes never wait for each other in a ring.
        async with self._homes.locks.hold(usage):
            await self._check_usage_free(secret, usage)
            return await self._put_at_home(before, secret, wanted, creator)

    async def _put_at_home(self, before: SecretState | None, secret: UUID, wanted: Wanted, creator: int) -> SecretState:
        home = self._homes.of(wanted.attributes)
        if before is None or self._homes.of(before.attributes) is home:
            if home is self._ephemeral:
                await self._homes.remove_left_over(secret)
            return await home.put(before, secret, wanted, creator)
        if home is self._persistent:
            return await self._move_to_store(before, wanted)
        return await self._move_to_memory(before, wanted)

    async def _move_to_store(self, before: SecretState, wanted: Wanted) -> SecretState:
        if wanted.value is None and before.has_value:
            wanted = replace(wanted, value=await self._ephemeral.read_value(before))
        # Usually nothing is there: something is, if an earlier move failed and its outcome was unknown.
        left = await self._persistent.find(before.id)
        state = await self._persistent.put(left, before.id, wanted, await self._ephemeral.owner(before.id))
        await self._ephemeral.remove(before)
        return state

    async def _move_to_memory(self, before: SecretState, wanted: Wanted) -> SecretState:
        """Put a secret into memory, and only then remove its records, so that it is never nowhere.

        Who reads asks memory first. If the removal surely failed, the secret stays in the store alone; if that is
        not known, memory has the copy that is sure.
        """
        if wanted.value is None and before.has_value:
            wanted = replace(wanted, value=await self._persistent.read_value(before))
        state = await self._ephemeral.put(None, before.id, wanted, await self._persistent.owner(before.id))
        try:
            await self._persistent.remove(before)
        except StoreOutcomeUnknownError:
            raise
        except BaseException:
            await self._ephemeral.remove(state)
            raise
        return state

    async def _check_usage_free(self, secret: UUID, usage: Usage) -> None:
        holder = await self._homes.find_by_usage(usage)
        if holder is not None and holder.id != secret:
            raise ConflictError("another secret has this usage")


def _usage_id(attributes: Attributes) -> str | None:
    return attributes.usage.id if attributes.usage else None


def _keep_private(before: SecretState | None, wanted: Attributes) -> None:
    if before is not None and before.attributes.private and not wanted.private:
        raise OperationInvalidError("a private secret stays private until it is deleted")
