"""Both homes of secrets together: where one is, whether a caller may see it, and whose turn it is to change it.

A secret that the caller may not getattr is answered as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from secretd import limits
from secretd.core.access import Access
from secretd.core.locks import KeyLocks
from secretd.core.sealing import Seal
from secretd.core.state import Home, SecretState, digest_of
from secretd.errors import BusyError, DigestMismatchError, NotFoundError
from secretd.model import Attributes, Caller, Digest, Permission, Usage
from secretd.store.base import RevisionConflict

T = TypeVar("T")


class Homes:
    """The secrets in the store and those in memory.

    Attributes:
        persistent, ephemeral: where they are.
        locks: who changes a secret holds the lock of its id; who gives it a usage, that of the usage after it.
    """

    def __init__(self, access: Access, seal: Seal, persistent: Home, ephemeral: Home) -> None:
        self._access = access
        self._seal = seal
        self.persistent = persistent
        self.ephemeral = ephemeral
        self.locks = KeyLocks()

    def of(self, attributes: Attributes) -> Home:
        """Say where a secret with these attributes is at home."""
        return self.ephemeral if attributes.ephemeral else self.persistent

    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id, whoever may see it."""
        return await self.ephemeral.find(secret) or await self.persistent.find(secret)

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage, whoever may see it."""
        return await self.ephemeral.find_by_usage(usage) or await self.persistent.find_by_usage(usage)

    async def visible(self, caller: Caller, secret: UUID) -> SecretState:
        """Give the secret with this id.

        Raises:
            NotFoundError: there is none, or none that the caller may see.
        """
        # Memory has all it has at hand; so if it has nothing, what the store has at hand counts.
        state = self.ephemeral.at_hand(secret) or self.persistent.at_hand(secret) or await self.find(secret)
        if state is None or not self._access.allows(caller, Permission.GETATTR, state.target):
            raise no_secret()
        return state

    async def remove(self, secret: UUID, *, buried: int | None = None) -> None:
        """Remove a secret, and perhaps bury it, in both homes: a move of unknown outcome may have left it in two."""
        for home in (self.persistent, self.ephemeral):
            state = await home.find(secret)
            if state is not None:
                await home.remove(state, buried=buried)

    async def remove_left_over(self, secret: UUID) -> None:
        """Remove what an earlier move to memory, whose outcome was unknown, left in the store after all."""
        left = await self.persistent.find(secret)
        if left is not None:
            await self.persistent.remove(left)

    def digest(self, state: SecretState) -> Digest:
        """Give the digest by which a change names this state of a secret."""
        return digest_of(self._seal.keyrings, state)

    def check_digest(self, state: SecretState, given: Digest | None) -> None:
        """Check that a secret is still as a change takes it to be.

        Raises:
            DigestMismatchError: it is not.
        """
        if given is not None and given != self.digest(state):
            raise DigestMismatchError("the secret was changed since its digest was read")

    async def settled(self, secret: UUID, attempt: Callable[[], Awaitable[T]]) -> T:
        """Change a secret while nobody else does, and decide anew until no change of the store comes between.

        Raises:
            BusyError: one came between every time.
        """
        async with self.locks.hold(secret):
            for _ in range(limits.COMMIT_RETRIES):
                try:
                    return await attempt()
                except RevisionConflict:
                    continue
        raise unsettled()


def unsettled() -> BusyError:
    """Make the error for a secret that others kept changing."""
    return BusyError("others kept changing this secret; nothing was done, try again")


def no_secret() -> NotFoundError:
    """Make the error for an id that no secret has, as far as the caller may know."""
    return NotFoundError("no secret has this id")
