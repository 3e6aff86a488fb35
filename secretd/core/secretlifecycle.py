"""The operations on what befalls secrets: each is a rule of core/lifecycle.py, applied to one secret.

What befell a secret is part of its attributes' record, so each change gives it another digest, and is told as a change
of its attributes.  A change that changes nothing is none.

Source: docs/keys.md, "Secrets have the same".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secretd import operations as ops
from secretd.core import lifecycle as rules
from secretd.core.access import Access
from secretd.core.clock import Clock
from secretd.core.events import Events
from secretd.core.homes import Homes
from secretd.core.pending import Pending
from secretd.core.state import SecretState, Wanted
from secretd.lifecycle import Lifecycle, Reference
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
from secretd.model import Caller, Permission
from secretd.moments import moment_of

_Change = (
    SecretArchive
    | SecretRestore
    | SecretAttach
    | SecretDetach
    | SecretProtect
    | SecretUnprotect
    | SecretScheduleDeletion
    | SecretCancelDeletion
)

_TIMED = (SecretArchive, SecretScheduleDeletion)
"""What needs to know what time it is."""


@dataclass(frozen=True, slots=True)
class _Before:
    """What a rule goes by: what befell the secret, the time, and whether the caller may see who needs the secret."""

    lifecycle: Lifecycle
    now: int
    shown: bool


class SecretLifecycles:
    """What befalls the secrets of both homes."""

    def __init__(self, access: Access, homes: Homes, events: Events, clock: Clock, pending: Pending) -> None:
        self._access = access
        self._homes = homes
        self._events = events
        self._clock = clock
        self._pending = pending

    async def get(self, caller: Caller, request: SecretGetLifecycle) -> SecretLifecycle:
        """Say what befell a secret."""
        state = await self._homes.visible(caller, request.secret)
        self._access.require(caller, Permission.READ, state.target)
        befell = state.lifecycle
        return SecretLifecycle(
            self._homes.digest(state),
            befell.protected,
            None if befell.archived is None else moment_of(befell.archived),
            None if befell.due is None else moment_of(befell.due),
            befell.references,
        )

    async def archive(self, caller: Caller, request: SecretArchive) -> ops.Changed:
        """Take a secret out of new use.

        Raises:
            WrongStateError, ReferencedError: the rule's.
        """
        return await self._change(
            caller, request, lambda before: rules.archive(before.lifecycle, before.now, shown=before.shown)
        )

    async def restore(self, caller: Caller, request: SecretRestore) -> ops.Changed:
        """Bring an archived secret back into use.

        Raises:
            WrongStateError: the rule's.
        """
        return await self._change(caller, request, lambda before: rules.restore(before.lifecycle))

    async def attach(self, caller: Caller, request: SecretAttach) -> ops.Changed:
        """Note that a consumer needs a secret.

        Raises:
            InvalidRequestError: the consumer's name is not one.
            WrongStateError, QuotaError: the rule's.
        """
        reference = Reference(request.consumer, request.kind)
        return await self._change(caller, request, lambda before: rules.attach(before.lifecycle, reference))

    async def detach(self, caller: Caller, request: SecretDetach) -> ops.Changed:
        """Note that a consumer needs a secret no more.

        Raises:
            WrongStateError, InvalidRequestError: the rule's.
        """
        return await self._change(caller, request, lambda before: rules.detach(before.lifecycle, request.consumer))

    async def protect(self, caller: Caller, request: SecretProtect) -> ops.Changed:
        """Keep a secret from deletion.

        Raises:
            WrongStateError: the rule's.
        """
        return await self._change(caller, request, lambda before: rules.protect(before.lifecycle, protected=True))

    async def unprotect(self, caller: Caller, request: SecretUnprotect) -> ops.Changed:
        """Let a secret be deleted again.

        Raises:
            WrongStateError: the rule's.
        """
        return await self._change(caller, request, lambda before: rules.protect(before.lifecycle, protected=False))

    async def schedule_deletion(self, caller: Caller, request: SecretScheduleDeletion) -> SecretDeletionScheduled:
        """Have a secret deleted after some days.

        Raises:
            QuotaError: as many wait for their deletion as may.
            InvalidRequestError, WrongStateError, ReferencedError, OperationInvalidError: the rule's.
        """

        def rule(before: _Before) -> Lifecycle:
            after = rules.schedule(before.lifecycle, before.now, request.days, shown=before.shown)
            self._pending.require_room()
            return after

        state = await self._settle(caller, request, rule)
        if state.lifecycle.due is None:
            raise RuntimeError("a deletion was scheduled, and is not")
        return SecretDeletionScheduled(state.id, self._homes.digest(state), moment_of(state.lifecycle.due))

    async def cancel_deletion(self, caller: Caller, request: SecretCancelDeletion) -> ops.Changed:
        """Have a secret not deleted after all.

        Raises:
            WrongStateError: the rule's.
        """
        return await self._change(caller, request, lambda before: rules.cancel(before.lifecycle))

    async def _change(self, caller: Caller, request: _Change, rule: Callable[[_Before], Lifecycle]) -> ops.Changed:
        state = await self._settle(caller, request, rule)
        return ops.Changed(state.id, self._homes.digest(state))

    async def _settle(self, caller: Caller, request: _Change, rule: Callable[[_Before], Lifecycle]) -> SecretState:
        """Have a rule say what befell a secret from now on, and give the secret as it is then."""

        async def attempt() -> SecretState:
            state = await self._homes.visible(caller, request.secret)
            self._access.require(caller, _permission(request), state.target)
            self._homes.check_digest(state, request.digest)
            shown = self._access.allows(caller, Permission.READ, state.target)
            # Of what nobody can tell the time of, only what needs it is refused: a deletion can be cancelled.
            now = await self._clock.now() if isinstance(request, _TIMED) else 0
            after = rule(_Before(state.lifecycle, now, shown))
            return state if after == state.lifecycle else await self._put(caller, state, after)

        return await self._homes.settled(request.secret, attempt)

    async def _put(self, caller: Caller, before: SecretState, lifecycle: Lifecycle) -> SecretState:
        home = self._homes.of(before.attributes)
        with self._events.watching():
            if lifecycle.due is not None:
                # First, so that a deadline that is there was counted from a moment that is kept.
                await self._clock.keep()
            state = await home.put(before, before.id, Wanted(before.attributes, lifecycle=lifecycle), caller.uid)
        self._pending.note(state)
        self._events.changed(before, state, self._homes.digest(state))
        return state


def _permission(request: _Change) -> Permission:
    permission = ops.BY_REQUEST[type(request)].permission
    if permission is None:
        raise RuntimeError("anybody may change what befell a secret")
    return permission
