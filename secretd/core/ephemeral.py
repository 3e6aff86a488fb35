"""Ephemeral secrets: kept in this process's memory only, never in a store or on a disk.

Values are kept sealed under the node's own keyring, so that no opened value lies about, and none can be opened
once the keyring is wiped.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from uuid import UUID

from secretd.core import attributes as form
from secretd.core.keyuses import KeyUses
from secretd.core.quota import Quotas, Sizes
from secretd.core.sealing import Seal
from secretd.core.state import NO_VALUE, Home, SecretState, StatePage, Wanted, next_state
from secretd.crypto import envelope, padding
from secretd.crypto.envelope import Domain
from secretd.model import SecretValue, Usage
from secretd.store.base import RevisionConflict


@dataclass(frozen=True, slots=True)
class _Kept:
    state: SecretState
    sealed_value: bytes | None


class EphemeralSecrets(Home):
    """The secrets in memory."""

    def __init__(self, seal: Seal, quotas: Quotas) -> None:
        self._seal = seal
        self._quotas = quotas
        # By UUID.int: the hash of a UUID, and its order, are calls of Python.
        self._kept: dict[int, _Kept] = {}
        self._ids: list[int] = []
        self._version = 0
        self._by_usage: dict[Usage, UUID] = {}
        self._out_of_use: set[int] = set()

    def at_hand(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id; all are at hand."""
        kept = self._kept.get(secret.int)
        return kept.state if kept else None

    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id."""
        return self.at_hand(secret)

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage."""
        secret = self._by_usage.get(usage)
        return self._kept[secret.int].state if secret is not None else None

    async def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` secrets with ids from ``start`` on."""
        first = bisect_left(self._ids, start.int)
        end = first + most
        states = tuple([self._kept[number].state for number in self._ids[first:end]])
        return StatePage(states, UUID(int=self._ids[end]) if end < len(self._ids) else None)

    async def version(self) -> int | None:
        """Give a number that is higher whenever a page may be another."""
        return self._version

    async def read_value(self, state: SecretState) -> SecretValue:
        """Open the value of a secret that has one."""
        sealed = self._kept[state.id.int].sealed_value
        if sealed is None:
            raise RuntimeError("a secret without a value was asked for it")
        return padding.unpad(envelope.open_record(self._seal.keyrings, state.id.bytes, sealed).plaintext)

    async def put(self, before: SecretState | None, secret: UUID, wanted: Wanted, creator: int) -> SecretState:
        """Keep a secret.

        Raises:
            QuotaError: its owner would have more than he may.
            RevisionConflict: the secret, or who has the usage, is no longer what the change was decided on.
        """
        attributes = form.to_bytes(wanted.attributes, NO_VALUE, wanted.lifecycle)
        sizes = Sizes(len(attributes), len(wanted.value) if wanted.value is not None else None)
        async with self._quotas.change_memory(secret, creator if before is None else None, sizes):
            return self._put(before, secret, wanted)

    async def owner(self, secret: UUID) -> int:
        """Say which uid the secret is counted for."""
        return self._quotas.owner_in_memory(secret)

    def _put(self, before: SecretState | None, secret: UUID, wanted: Wanted) -> SecretState:
        self._expect(secret, before)
        usage, value = wanted.attributes.usage, wanted.value
        if usage is not None and self._by_usage.get(usage, secret) != secret:
            raise RevisionConflict(())
        state = next_state(before, secret, wanted, new_value=value is not None)
        if value is not None:
            keyring = self._seal.keyrings[Domain.NODE]
            sealed: bytes | None = envelope.seal(keyring, secret.bytes, state.value_counter, padding.pad(value))
        else:
            sealed = self._kept[secret.int].sealed_value if before else None
        self._keep(before, _Kept(state, sealed))
        return state

    async def remove(self, state: SecretState, *, buried: int | None = None) -> None:  # noqa: ARG002  # as Home has it
        """Forget a secret and its value, and that its id was used, as nothing in memory is to stay for ever.

        Raises:
            RevisionConflict: the secret is no longer what the change was decided on.
        """
        self._expect(state.id, state)
        self._version += 1
        self._forget_usage(state)
        self._quotas.forget(state.id)
        self._out_of_use.discard(state.id.int)
        del self._kept[state.id.int]
        del self._ids[bisect_left(self._ids, state.id.int)]

    async def reseal(self, uses: KeyUses) -> None:
        """Bring every value under the current keyring version."""
        for number in tuple(self._ids):
            await uses.reserve(1)
            kept = self._kept.get(number)
            if kept is not None and kept.sealed_value is not None:
                sealed = envelope.reseal(self._seal.keyrings, kept.state.id.bytes, kept.sealed_value)
                self._kept[number] = _Kept(kept.state, sealed)

    async def count(self) -> int:
        """Say how many secrets are in memory."""
        return len(self._kept)

    async def is_buried(self, secret: UUID) -> bool:  # noqa: ARG002  # as Home has it
        """Say that no id is used up."""
        return False

    async def count_out_of_use(self) -> int:
        """Say how many of them lists leave out."""
        return len(self._out_of_use)

    @property
    def any(self) -> bool:
        """Whether there is one, said without waiting."""
        return bool(self._kept)

    def _expect(self, secret: UUID, state: SecretState | None) -> None:
        if self.at_hand(secret) != state:
            raise RevisionConflict(())

    def _keep(self, before: SecretState | None, kept: _Kept) -> None:
        self._version += 1
        if before is None:
            insort(self._ids, kept.state.id.int)
        else:
            self._forget_usage(before)
        self._kept[kept.state.id.int] = kept
        if kept.state.lifecycle.out_of_use is None:
            self._out_of_use.discard(kept.state.id.int)
        else:
            self._out_of_use.add(kept.state.id.int)
        if kept.state.attributes.usage is not None:
            self._by_usage[kept.state.attributes.usage] = kept.state.id

    def _forget_usage(self, state: SecretState) -> None:
        if state.attributes.usage is not None:
            del self._by_usage[state.attributes.usage]
