"""Persistent secrets: sealed records in the store, and how they change.

All records of a secret that a change touches are written in one commit, on condition that the attributes record is
still the one the change was decided on, so a change is whole or not at all.
"""

from __future__ import annotations

from uuid import UUID

from secretd.core import attributes as form
from secretd.core.cache import SecretCache
from secretd.core.kinds import ATTRIBUTES, OUT_OF_USE, TOMBSTONE, VALUE
from secretd.core.lifecyclerecords import left_out, sealed
from secretd.core.quota import Quotas, Sizes
from secretd.core.records import Records
from secretd.core.sealing import Seal
from secretd.core.state import Home, SecretState, StatePage, Wanted, next_state, value_domain
from secretd.crypto import envelope, padding
from secretd.crypto.envelope import Domain, first_counter
from secretd.model import Attributes, SecretValue, Usage
from secretd.store.base import Delete, Put, RevisionIs, Store
from secretd.store.reading import Record


class PersistentSecrets(Records, Home):
    """The secrets in the store."""

    def __init__(self, store: Store, seal: Seal, quotas: Quotas) -> None:
        super().__init__(store, seal)
        self._store = store
        self._quotas = quotas
        self._cache = SecretCache(seal)

    def at_hand(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id, if it was read before."""
        return self._cache.state(secret)

    async def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` secrets with ids from ``start`` on; what is read is kept if it is surely the newest."""
        kept = self._cache.page(start, most, await self.count())
        if kept is not None:
            return kept
        revision = await self._store.revision()
        page = await super().page(start, most)
        if await self._store.revision() == revision:
            for state in page.states:
                self._cache.keep_if_room(state)
        return page

    async def version(self) -> int | None:
        """Give a number that is higher whenever a page may be another; None if not all is in memory."""
        return self._cache.version(await self.count())

    async def put(self, before: SecretState | None, secret: UUID, wanted: Wanted, creator: int) -> SecretState:
        """Keep a secret, whole or not at all.

        Raises:
            QuotaError: its owner would have more than he may.
            RevisionConflict: the secret, or who has the usage, is no longer what the change was decided on.
            StoreError: what Store.commit raises.
        """
        value = wanted.value
        if value is None and before is not None and before.has_value:
            value = await self._value_to_move(before, wanted.attributes)
        state = next_state(before, secret, wanted, new_value=value is not None)
        puts = [Put(ATTRIBUTES + secret.bytes, self._seal_attributes(state))]
        if value is not None:
            puts.append(Put(VALUE + secret.bytes, self._seal_value(state, value)))
        changes, conditions = self._move_usage(before, state)
        changes += self._leave_out(before, state)
        conditions.append(RevisionIs(ATTRIBUTES + secret.bytes, before.revision if before else 0))
        sizes = Sizes(len(puts[0].value), len(puts[1].value) if value is not None else None)
        async with self._quotas.change_store(secret, creator if before is None else None, sizes) as charge:
            with self._cache.change(secret):
                revision = await self._store.commit(
                    [*puts, *changes, *charge.changes], [*conditions, *charge.conditions]
                )
        state = SecretState(state.id, state.attributes, state.counter, state.value_counter, revision, state.lifecycle)
        self._cache.keep_state(state)
        return state

    async def remove(self, state: SecretState, *, buried: int | None = None) -> None:
        """Delete all records of a secret.

        Raises:
            RevisionConflict: the secret is no longer what the change was decided on.
            StoreError: what Store.commit raises.
        """
        deletes: list[Put | Delete] = [Delete(ATTRIBUTES + state.id.bytes)]
        if state.has_value:
            deletes.append(Delete(VALUE + state.id.bytes))
        if state.attributes.usage is not None:
            deletes.append(Delete(self.usage_key(state.attributes.usage)))
        if left_out(state.lifecycle) is not None:
            deletes.append(Delete(OUT_OF_USE + state.id.bytes))
        if buried is not None:
            deletes.append(sealed(self._seal.keyrings, TOMBSTONE + state.id.bytes, first_counter(), buried))
        condition = RevisionIs(ATTRIBUTES + state.id.bytes, state.revision)
        async with self._quotas.change_store(state.id, None, None) as charge:
            with self._cache.change(state.id):
                await self._store.commit([*deletes, *charge.changes], [condition, *charge.conditions])

    async def owner(self, secret: UUID) -> int:
        """Say which uid the secret is counted for.

        Raises:
            StoreCorruptError: the record that says so does not open.
        """
        return await self._quotas.owner_in_store(secret)

    async def is_buried(self, secret: UUID) -> bool:
        """Say whether this id was that of a secret that was buried; its record need not open for that."""
        return await self._store.get(TOMBSTONE + secret.bytes) is not None

    async def count(self) -> int:
        """Say how many secrets are in the store."""
        return await self._store.count(ATTRIBUTES)

    async def count_out_of_use(self) -> int:
        """Say how many of them lists leave out: each has a record that says so."""
        return await self._store.count(OUT_OF_USE)

    def _remember(self, state: SecretState) -> None:
        self._cache.keep_state(state)

    def _led_to(self, usage: Usage) -> UUID | None:
        return self._cache.usage(usage)

    def _remember_usage(self, usage: Usage, secret: UUID) -> None:
        self._cache.keep_usage(usage, secret)

    def _try_open_attributes(self, record: Record) -> SecretState | None:
        return self._cache.state_at(record) or super()._try_open_attributes(record)

    def _value_at_hand(self, secret: UUID) -> Record | None:
        return self._cache.value(secret)

    def _remember_value(self, secret: UUID, record: Record) -> None:
        self._cache.keep_value(secret, record)

    async def _value_to_move(self, before: SecretState, wanted: Attributes) -> SecretValue | None:
        """Give the value if the change moves it to another sealing domain, so that it is sealed anew."""
        if value_domain(before.attributes) is value_domain(wanted):
            return None
        return await self.read_value(before)

    def _move_usage(
        self, before: SecretState | None, state: SecretState
    ) -> tuple[list[Put | Delete], list[RevisionIs]]:
        """Make the usage records follow a change of usage; the new usage must be nobody's."""
        old = before.attributes.usage if before else None
        new = state.attributes.usage
        if old == new:
            return [], []
        changes: list[Put | Delete] = []
        conditions = []
        if old is not None:
            changes.append(Delete(self.usage_key(old)))
        if new is not None:
            key = self.usage_key(new)
            changes.append(Put(key, self._seal_record(Domain.SHARED, key, state.counter, state.id.bytes)))
            conditions.append(RevisionIs(key, 0))
        return changes, conditions

    def _leave_out(self, before: SecretState | None, state: SecretState) -> list[Put | Delete]:
        """Make the record that a secret is left out of lists follow a change of that."""
        was = left_out(before.lifecycle) if before else None
        now = left_out(state.lifecycle)
        key = OUT_OF_USE + state.id.bytes
        if was == now:
            return []
        return [Delete(key) if now is None else sealed(self._seal.keyrings, key, state.counter, now)]

    def _seal_attributes(self, state: SecretState) -> bytes:
        plaintext = form.to_bytes(state.attributes, state.value_counter, state.lifecycle)
        return self._seal_record(Domain.SHARED, ATTRIBUTES + state.id.bytes, state.counter, plaintext)

    def _seal_value(self, state: SecretState, value: SecretValue) -> bytes:
        domain = value_domain(state.attributes)
        return self._seal_record(domain, VALUE + state.id.bytes, state.value_counter, padding.pad(value))

    def _seal_record(self, domain: Domain, name: bytes, counter: int, plaintext: bytes) -> bytes:
        return envelope.seal(self._seal.keyrings[domain], name, counter, plaintext)
