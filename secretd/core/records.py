"""The records of persistent secrets, as they are read: from the store, or from a snapshot of it.

A secret is an attributes record, perhaps a value record, and perhaps a usage record that leads from its usage to its
id.  Each opens for its own key alone; that they belong together is looked at here.

Source: docs/storage-format.md, "What stands in the store".
"""

from __future__ import annotations

from uuid import UUID

from secretd import limits
from secretd.core import attributes as form
from secretd.core.kinds import ATTRIBUTES, USAGE, VALUE
from secretd.core.sealing import Seal
from secretd.core.state import SecretState, StatePage, value_domain
from secretd.crypto import envelope, padding
from secretd.crypto.envelope import Domain
from secretd.errors import StoreCorruptError
from secretd.model import SecretValue, Usage
from secretd.store.base import RevisionConflict
from secretd.store.reading import Reading, Record

_ID_BYTES = 16
_READ_TRIES = 3


class Records:
    """Reads secrets.

    Nothing is remembered here. Who does so has his own of the methods at the end, for what is at hand and what is to
    be remembered; none of them waits, so that what was read is still the newest when they are told of it.
    """

    def __init__(self, reading: Reading, seal: Seal) -> None:
        self._reading = reading
        self._seal = seal

    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id.

        Raises:
            StoreCorruptError: its record does not open.
        """
        return self.at_hand(secret) or await self._read(secret)

    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage.

        The usage record and the secret are two reads, between which both may change; so a disagreement is
        looked at again before it is called damage.

        Raises:
            StoreCorruptError: the records do not open, or do not agree.
        """
        secret = self._led_to(usage)
        for _ in range(_READ_TRIES):
            if secret is None and (secret := await self._follow(usage)) is None:
                return None
            state = self.at_hand(secret) or await self._read(secret)
            if state is not None and state.attributes.usage == usage:
                return state
            secret = None
        raise StoreCorruptError("a usage leads to a secret that does not have it")

    async def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` secrets with ids from ``start`` on."""
        page = await self._reading.scan(ATTRIBUTES, ATTRIBUTES + start.bytes, min(most, limits.SCAN_RECORDS))
        next_start = id_in(page.next_start) if page.next_start is not None else None
        states = tuple(state for record in page.records if (state := self._try_open_attributes(record)) is not None)
        return StatePage(states, next_start, len(page.records) - len(states))

    async def read_value(self, state: SecretState) -> SecretValue:
        """Open the value of a secret that has one.

        The attributes say which value record belongs to them. Another one is damage, unless the attributes
        have changed in the meantime too: then the caller has to judge the newer ones first.

        Raises:
            RevisionConflict: the secret is no longer in this state.
            StoreCorruptError: there is no value record, it does not open, or it is an older or newer one.
        """
        record = self._value_at_hand(state.id) or await self._read_value(state.id)
        if record is not None and _belongs(opened := self._open(record), state):
            return padding.unpad(opened.plaintext)
        if await self._read(state.id) != state:
            raise RevisionConflict((ATTRIBUTES + state.id.bytes,))
        raise StoreCorruptError("the value of a secret is not the one its attributes speak of")

    async def _read(self, secret: UUID) -> SecretState | None:
        record = await self._reading.get(ATTRIBUTES + secret.bytes)
        if record is None:
            return None
        state = self._open_attributes(record, secret)
        self._remember(state)
        return state

    async def _read_value(self, secret: UUID) -> Record | None:
        record = await self._reading.get(VALUE + secret.bytes)
        if record is not None:
            self._remember_value(secret, record)
        return record

    async def _follow(self, usage: Usage) -> UUID | None:
        """Say where a usage leads, as the store has it."""
        record = await self._reading.get(self.usage_key(usage))
        if record is None:
            return None
        secret = UUID(bytes=self._open(record).plaintext)
        self._remember_usage(usage, secret)
        return secret

    def usage_key(self, usage: Usage) -> bytes:
        """Give the key of the record that leads from a usage to its secret."""
        return USAGE + self._seal.keyrings[Domain.SHARED].usage_key(usage)

    def _open(self, record: Record) -> envelope.Opened:
        return envelope.open_record(self._seal.keyrings, record.key, record.value)

    def _open_attributes(self, record: Record, secret: UUID) -> SecretState:
        opened = self._open(record)
        attributes, value_counter, lifecycle = form.from_bytes(opened.plaintext)
        return SecretState(secret, attributes, opened.counter, value_counter, record.revision, lifecycle)

    def _try_open_attributes(self, record: Record) -> SecretState | None:
        try:
            return self._open_attributes(record, id_in(record.key))
        except StoreCorruptError:
            return None

    def at_hand(self, secret: UUID) -> SecretState | None:  # noqa: ARG002  # for who remembers
        """Give the secret with this id, if that is remembered."""
        return None

    def _remember(self, state: SecretState) -> None:
        """Remember a secret that was read just now."""

    def _value_at_hand(self, secret: UUID) -> Record | None:  # noqa: ARG002
        """Give the sealed value of a secret, if that is remembered."""
        return None

    def _remember_value(self, secret: UUID, record: Record) -> None:
        """Remember a sealed value that was read just now."""

    def _led_to(self, usage: Usage) -> UUID | None:  # noqa: ARG002
        """Say where a usage led, if that is remembered."""
        return None

    def _remember_usage(self, usage: Usage, secret: UUID) -> None:
        """Remember where a usage leads."""


def id_in(key: bytes) -> UUID:
    """Give the id that a key of one byte and an id names.

    Raises:
        StoreCorruptError: it is no such key, so nobody of us wrote it.
    """
    if len(key) != 1 + _ID_BYTES:
        raise StoreCorruptError("the store holds a record under a name that no record has")
    return UUID(bytes=key[1:])


def _belongs(opened: envelope.Opened, state: SecretState) -> bool:
    """Whether this is the value record that the attributes speak of."""
    return opened.counter == state.value_counter and opened.domain is value_domain(state.attributes)
