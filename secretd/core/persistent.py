"""Persistent secrets: sealed records in the store. docs/storage-format.md has the records.

A secret is an attributes record, perhaps a value record, and perhaps a usage record that leads from its usage
to its id.  They are written in one commit, on condition that the attributes record is still the one the
change was decided on, so a change is whole or not at all.
"""

from __future__ import annotations

from uuid import UUID

from secretd import limits
from secretd.core import attributes as form
from secretd.core.quota import Quotas, Sizes
from secretd.core.sealing import Seal
from secretd.core.state import Home, SecretState, StatePage, next_state, value_domain
from secretd.crypto import envelope, padding
from secretd.crypto.envelope import Domain
from secretd.errors import StoreCorruptError
from secretd.model import Attributes, SecretValue, Usage
from secretd.store.base import Delete, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record

ATTRIBUTES = b"a"
VALUE = b"v"
USAGE = b"u"

_READ_TRIES = 3


class PersistentSecrets(Home):
    """The secrets in the store."""

    def __init__(self, store: Store, seal: Seal, quotas: Quotas) -> None:
        self._store = store
        self._seal = seal
        self._quotas = quotas

    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id.

        Raises:
            StoreCorruptError: its record does not open.
        """
        record = await self._store.get(ATTRIBUTES + secret.bytes)
        return self._open_attributes(record) if record is not None else None

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage.

        The usage record and the secret are two reads, between which both may change; so a disagreement is
        looked at again before it is called damage.

        Raises:
            StoreCorruptError: the records do not open, or do not agree.
        """
        key = self.usage_key(usage)
        for _ in range(_READ_TRIES):
            record = await self._store.get(key)
            if record is None:
                return None
            secret = UUID(bytes=self._open(record).plaintext)
            state = await self.find(secret)
            if state is not None and state.attributes.usage == usage:
                return state
        raise StoreCorruptError("a usage leads to a secret that does not have it")

    async def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` secrets with ids from ``start`` on."""
        page = await self._store.scan(ATTRIBUTES, ATTRIBUTES + start.bytes, min(most, limits.SCAN_RECORDS))
        next_start = UUID(bytes=page.next_start[len(ATTRIBUTES) :]) if page.next_start is not None else None
        return StatePage(tuple(self._open_attributes(record) for record in page.records), next_start)

    async def read_value(self, state: SecretState) -> SecretValue:
        """Open the value of a secret that has one.

        The attributes say which value record belongs to them. Another one is damage, unless the attributes
        have changed in the meantime too: then the caller has to judge the newer ones first.

        Raises:
            RevisionConflict: the secret is no longer in this state.
            StoreCorruptError: there is no value record, it does not open, or it is an older or newer one.
        """
        record = await self._store.get(VALUE + state.id.bytes)
        if record is not None and self._belongs(record, state):
            return padding.unpad(self._open(record).plaintext)
        if await self.find(state.id) != state:
            raise RevisionConflict((ATTRIBUTES + state.id.bytes,))
        raise StoreCorruptError("the value of a secret is not the one its attributes speak of")

    async def put(
        self, before: SecretState | None, secret: UUID, wanted: Attributes, value: SecretValue | None, creator: int
    ) -> SecretState:
        """Keep a secret, whole or not at all.

        Raises:
            QuotaError: its owner would have more than he may.
            RevisionConflict: the secret, or who has the usage, is no longer what the change was decided on.
            StoreError: what Store.commit raises.
        """
        if value is None and before is not None and before.has_value:
            value = await self._value_to_move(before, wanted)
        state = next_state(before, secret, wanted, new_value=value is not None)
        puts = [Put(ATTRIBUTES + secret.bytes, self._seal_attributes(state))]
        if value is not None:
            puts.append(Put(VALUE + secret.bytes, self._seal_value(state, value)))
        changes, conditions = self._move_usage(before, state)
        conditions.append(RevisionIs(ATTRIBUTES + secret.bytes, before.revision if before else 0))
        sizes = Sizes(len(puts[0].value), len(puts[1].value) if value is not None else None)
        async with self._quotas.change_store(secret, creator if before is None else None, sizes) as charge:
            revision = await self._store.commit([*puts, *changes, *charge.changes], [*conditions, *charge.conditions])
        return SecretState(state.id, state.attributes, state.counter, state.value_counter, revision)

    async def remove(self, state: SecretState) -> None:
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
        condition = RevisionIs(ATTRIBUTES + state.id.bytes, state.revision)
        async with self._quotas.change_store(state.id, None, None) as charge:
            await self._store.commit([*deletes, *charge.changes], [condition, *charge.conditions])

    async def owner(self, secret: UUID) -> int:
        """Say which uid the secret is counted for.

        Raises:
            StoreCorruptError: the record that says so does not open.
        """
        return await self._quotas.owner_in_store(secret)

    async def count(self) -> int:
        """Say how many secrets are in the store."""
        return await self._store.count(ATTRIBUTES)

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

    def usage_key(self, usage: Usage) -> bytes:
        """Give the key of the record that leads from a usage to its secret."""
        return USAGE + self._seal.keyrings[Domain.SHARED].usage_key(usage)

    def _seal_attributes(self, state: SecretState) -> bytes:
        plaintext = form.to_bytes(state.attributes, state.value_counter)
        return self._seal_record(Domain.SHARED, ATTRIBUTES + state.id.bytes, state.counter, plaintext)

    def _seal_value(self, state: SecretState, value: SecretValue) -> bytes:
        domain = value_domain(state.attributes)
        return self._seal_record(domain, VALUE + state.id.bytes, state.value_counter, padding.pad(value))

    def _seal_record(self, domain: Domain, name: bytes, counter: int, plaintext: bytes) -> bytes:
        return envelope.seal(self._seal.keyrings[domain], name, counter, plaintext)

    def _open(self, record: Record) -> envelope.Opened:
        return envelope.open_record(self._seal.keyrings, record.key, record.value)

    def _open_attributes(self, record: Record) -> SecretState:
        opened = self._open(record)
        attributes, value_counter = form.from_bytes(opened.plaintext)
        secret = UUID(bytes=record.key[len(ATTRIBUTES) :])
        return SecretState(secret, attributes, opened.counter, value_counter, record.revision)

    def _belongs(self, record: Record, state: SecretState) -> bool:
        """Whether this is the value record that the attributes speak of, by its header, which the seal binds."""
        header = envelope.peek(record.value)
        return header.counter == state.value_counter and header.domain is value_domain(state.attributes)
