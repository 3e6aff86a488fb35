"""Trying a request: the service's own handlers carry it through, up to where it would reveal or change something.

So what a request needs stands nowhere a second time: whatever a handler asks, in whatever order, is what it needs, and
what it raises is what the caller would hear.  Nothing is opened and nothing is kept.  What only doing it would show is
not tried: whether there is room, in the store or in a quota, and whether the store can be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NoReturn
from uuid import UUID

from secretd import operations as ops
from secretd.core.access import Access
from secretd.core.clock import Clock
from secretd.core.derivations import Derivations
from secretd.core.events import Events
from secretd.core.handling import handlers_of
from secretd.core.homes import Homes
from secretd.core.keyform import Key
from secretd.core.keyhome import Kept, KeyHome
from secretd.core.keyservice import key_handlers
from secretd.core.pending import Pending
from secretd.core.sealing import Seal
from secretd.core.secretlifecycle import SecretLifecycles
from secretd.core.secrets import Secrets
from secretd.core.state import Home, SecretState, StatePage, Wanted
from secretd.errors import SecretdError
from secretd.keys import KeyId
from secretd.model import Caller, Digest, Permission, Usage


class _WouldBeDone(Exception):  # noqa: N818  # nothing went wrong
    """The request came to where it would be done."""


class _Untouched(Home):
    """A home whose secrets are found, and neither opened nor changed."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def at_hand(self, secret: UUID) -> SecretState | None:
        return self._home.at_hand(secret)

    async def find(self, secret: UUID) -> SecretState | None:
        return await self._home.find(secret)

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        return await self._home.find_by_usage(usage)

    async def page(self, start: UUID, most: int) -> StatePage:
        return await self._home.page(start, most)

    async def version(self) -> int | None:
        return await self._home.version()

    async def owner(self, secret: UUID) -> int:
        return await self._home.owner(secret)

    async def count(self) -> int:
        return await self._home.count()

    async def count_out_of_use(self) -> int:
        return await self._home.count_out_of_use()

    async def is_buried(self, secret: UUID) -> bool:
        return await self._home.is_buried(secret)

    async def read_value(self, state: SecretState) -> NoReturn:  # noqa: ARG002  # as Home has it
        raise _WouldBeDone

    async def put(
        self,
        before: SecretState | None,  # noqa: ARG002  # as Home has them
        secret: UUID,  # noqa: ARG002
        wanted: Wanted,  # noqa: ARG002
        creator: int,  # noqa: ARG002
    ) -> NoReturn:
        raise _WouldBeDone

    async def remove(self, state: SecretState, *, buried: int | None = None) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone


class _UntouchedKeys(KeyHome):
    """A home whose keys are found, and neither used nor changed; nobody is held off."""

    def __init__(self, home: KeyHome) -> None:
        self._home = home

    def require_read(self) -> None:
        self._home.require_read()

    def require_in_force(self) -> None:
        self._home.require_in_force()

    def find(self, key: KeyId) -> Kept | None:
        return self._home.find(key)

    def is_free(self, key: KeyId) -> bool:
        return self._home.is_free(key)

    def since(self, marker: KeyId | None) -> Iterator[Kept]:
        return self._home.since(marker)

    @property
    def default(self) -> KeyId | None:
        return self._home.default

    def may_be_default(self, key: KeyId) -> bool:
        return self._home.may_be_default(key)

    def digest(self, kept: Kept) -> Digest:
        return self._home.digest(kept)

    def hold(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def uses(self, kept: Kept) -> NoReturn:  # noqa: ARG002  # as KeyHome has them
        raise _WouldBeDone

    async def create(self, key: Key, material: bytes) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def replace(self, before: Kept, after: Key) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def rotate(self, before: Kept) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def destroy(self, before: Kept) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def set_default(self, key: KeyId | None) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    def take_use(self, kept: Kept) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def renew(self, kept: Kept) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone

    async def material(self, kept: Kept, version: int) -> NoReturn:  # noqa: ARG002
        raise _WouldBeDone


class _Untold(Clock):
    """A clock that nobody is told of."""

    def __init__(self, clock: Clock) -> None:  # only what it says is wanted
        self._clock = clock

    async def now(self) -> int:
        return await self._clock.now()

    async def keep(self, apart_s: int = 1) -> NoReturn:  # noqa: ARG002  # as Clock has it
        raise _WouldBeDone


class Trial:
    """Tries requests on the secrets of two homes, and on the keys of one."""

    def __init__(  # noqa: PLR0913, PLR0917  # what handlers are made of
        self,
        seal: Seal,
        persistent: Home,
        ephemeral: Home,
        clock: Clock,
        pending: Pending,
        keys: KeyHome,
        derivations: Derivations,
    ) -> None:
        self._seal = seal
        self._persistent = _Untouched(persistent)
        self._ephemeral = _Untouched(ephemeral)
        self._clock = _Untold(clock)
        self._pending = pending
        self._keys = _UntouchedKeys(keys)
        self._derivations = derivations

    def find_key(self, key: KeyId) -> Key | None:
        """Give the key with this id, whoever may see it."""
        kept = self._keys.find(key)
        return kept.key if kept is not None else None

    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id, whoever may see it."""
        return await self._ephemeral.find(secret) or await self._persistent.find(secret)

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage, whoever may see it."""
        return await self._ephemeral.find_by_usage(usage) or await self._persistent.find_by_usage(usage)

    async def outcome(
        self, access: Access, caller: Caller, permission: Permission | None, request: ops.Request[Any] | None
    ) -> SecretdError | None:
        """Say what would come of a request.

        Args:
            access: who judges it.
            caller: who makes it.
            permission: what he has to hold for something, or with None anything at all, before it is looked at.
            request: one about one secret or key; None for any other, of which there is nothing more to judge.

        Returns:
            What it would be refused with; None if it would be done.
        """
        # Events of its own, which nobody listens to.
        events = Events(access)
        homes = Homes(access, self._seal, self._persistent, self._ephemeral)
        lifecycles = SecretLifecycles(access, homes, events, self._clock, self._pending)
        try:
            access.admit(caller, permission)
            if request is not None:
                handlers = {
                    **handlers_of(Secrets(access, homes, events), lifecycles),
                    **key_handlers(access, self._keys, self._clock, self._derivations),
                }
                await handlers[type(request)](caller, request)
        except _WouldBeDone:
            return None
        except SecretdError as error:
            return error
        return None
