"""Quotas: how much each uid may have stored, counted without ever walking through the store.

Whoever makes a secret owns it, whoever changes it later.  What root makes is not counted, and has no record of it.

The rules it keeps:

- What a uid has is one kept number, changed in the commit that changes the secret: both or neither.
- Changes to what one uid has follow each other, by a lock, so that they do not make each other fail.
- A quota never stops what does not make more: who is above it, as it was lowered, may still delete and shorten.

Source: docs/storage-format.md, "Owners and quotas"; docs/adr/0009.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from secretd import limits
from secretd.core.kinds import OWNER, USED
from secretd.core.locks import KeyLocks
from secretd.core.owners import OwnerRecords
from secretd.core.sealing import Seal
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain, first_counter
from secretd.errors import QuotaError, StoreCorruptError
from secretd.operations import Bound
from secretd.store.base import Delete, Put, RevisionIs, Store
from secretd.store.reading import Record

FREE_UID = 0
"""Root's: what it makes is not counted."""

_OWNED = struct.Struct(">IQQ")
_USED = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Amount:
    """So many secrets, and so many bytes of sealed records."""

    secrets: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.secrets + other.secrets, self.bytes + other.bytes)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.secrets - other.secrets, self.bytes - other.bytes)


DEFAULT_QUOTA = Amount(limits.QUOTA_SECRETS, limits.QUOTA_BYTES)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes of a secret's sealed records; None for a value that stays as it is."""

    attributes: int
    value: int | None


@dataclass(frozen=True, slots=True)
class Charge:
    """What a commit has to carry, so that the kept number follows."""

    changes: tuple[Put | Delete, ...] = ()
    conditions: tuple[RevisionIs, ...] = ()


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose a secret is, and what of it is counted: the bytes of its sealed attributes and of its sealed value."""

    uid: int
    attributes: int
    value: int

    @property
    def packed(self) -> bytes:
        """The plaintext of the record that says so."""
        return _OWNED.pack(self.uid, self.attributes, self.value)

    @property
    def amount(self) -> Amount:
        """What it adds to what its owner has."""
        return Amount(1, self.attributes + self.value)

    def resized(self, sizes: Sizes) -> Self:
        """Give it with other sizes."""
        return type(self)(self.uid, sizes.attributes, self.value if sizes.value is None else sizes.value)


class Quotas:
    """What every uid has, of both kinds of secret."""

    def __init__(self, store: Store, seal: Seal, most: Amount = DEFAULT_QUOTA) -> None:
        self._store = store
        self._seal = seal
        self.most = most
        self._locks = KeyLocks()
        self._owners = OwnerRecords(store, seal)
        self._in_memory: dict[UUID, Owned] = {}
        self._of_uid: dict[int, Amount] = {}

    async def owner_in_store(self, secret: UUID) -> int:
        """Say whose a persistent secret is; root's if nobody is counted for it.

        Raises:
            StoreCorruptError: its record does not open.
        """
        record = await self._owners.get(secret)
        return FREE_UID if record is None else self.owned(record).uid

    def owner_in_memory(self, secret: UUID) -> int:
        """Say whose an ephemeral secret is; root's if nobody is counted for it."""
        owned = self._in_memory.get(secret)
        return owned.uid if owned else FREE_UID

    @asynccontextmanager
    async def change_store(self, secret: UUID, creator: int | None, sizes: Sizes | None) -> AsyncIterator[Charge]:
        """Count a change of a persistent secret; to be committed inside of it.

        Args:
            secret: its id.
            creator: the uid that makes it; None if it is there already.
            sizes: as it will be; None if it will not be.

        Raises:
            QuotaError: its owner would have more than he may.
            StoreCorruptError: a record does not open.
        """
        record = await self._owners.get(secret) if creator is None else None
        before = self.owned(record) if record is not None else None
        uid = before.uid if before else creator
        if uid is None or uid == FREE_UID:
            with self._owners.change(secret, keep=creator is None and sizes is not None):
                yield Charge()
            return
        after = (before or Owned(uid, 0, 0)).resized(sizes) if sizes else None
        if after == before:
            # As most changes are, for values are padded: nothing is counted anew, and they can share a commit.
            with self._owners.change(secret, keep=True):
                yield Charge()
            return
        async with self._locks.hold(uid):
            used_record = await self._store.get(_used_key(uid))
            used = self.used(used_record)
            now = used - _amount(before) + _amount(after)
            if min(now.secrets, now.bytes) < 0:
                raise StoreCorruptError("a user has more stored than the number that was kept of it says")
            self._check(uid, used, now)
            with self._owners.change(secret):
                yield Charge(
                    (
                        self._change(OWNER + secret.bytes, record, after.packed if after is not None else None),
                        self._change(_used_key(uid), used_record, _USED.pack(now.secrets, now.bytes)),
                    ),
                    (_unchanged(OWNER + secret.bytes, record), _unchanged(_used_key(uid), used_record)),
                )

    @asynccontextmanager
    async def change_memory(self, secret: UUID, creator: int | None, sizes: Sizes) -> AsyncIterator[None]:
        """Count a change of an ephemeral secret; to be made inside of it.

        Args:
            secret, creator, sizes: as for change_store.

        Raises:
            QuotaError: its owner would have more than he may.
            StoreCorruptError: a record does not open.
        """
        before = self._in_memory.get(secret)
        uid = before.uid if before else creator
        if uid is None or uid == FREE_UID:
            yield
            return
        after = (before or Owned(uid, 0, 0)).resized(sizes)
        async with self._locks.hold(uid):
            used = self.used(await self._store.get(_used_key(uid)))
            self._check(uid, used, used - _amount(before) + after.amount)
            yield
            self.forget(secret)
            self._in_memory[secret] = after
            self._of_uid[uid] = self._of_uid.get(uid, Amount()) + after.amount

    def owned(self, record: Record) -> Owned:
        """Read an owner's record.

        Raises:
            StoreCorruptError: it does not open.
        """
        return Owned(*self._unpack(_OWNED, record))

    def used(self, record: Record | None) -> Amount:
        """Read what a uid has in the store; with no record it is nothing.

        Raises:
            StoreCorruptError: the record does not open.
        """
        return Amount(*self._unpack(_USED, record)) if record is not None else Amount()

    async def bounds(self, uid: int) -> tuple[Bound, ...]:
        """Say how much a uid has, of both kinds of secret; nothing of root, who may have any number."""
        if uid == FREE_UID:
            return ()
        has = self.used(await self._store.get(_used_key(uid))) + self._of_uid.get(uid, Amount())
        most = self.most
        return Bound("your secrets", has.secrets, most.secrets), Bound("your bytes", has.bytes, most.bytes)

    def forget(self, secret: UUID) -> None:
        """Count an ephemeral secret no more."""
        owned = self._in_memory.pop(secret, None)
        if owned is not None:
            left = self._of_uid.pop(owned.uid) - owned.amount
            if left.secrets:
                self._of_uid[owned.uid] = left

    def _check(self, uid: int, before: Amount, after: Amount) -> None:
        in_memory = self._of_uid.get(uid, Amount())
        for what, most in (("secrets", self.most.secrets), ("bytes", self.most.bytes)):
            grows = getattr(after, what) > getattr(before, what)
            if grows and getattr(after + in_memory, what) > most:
                raise QuotaError(f"the secret's owner (uid {uid}) may store at most {most:,} {what}")

    def _change(self, key: bytes, record: Record | None, plaintext: bytes | None) -> Put | Delete:
        if plaintext is None:
            return Delete(key)
        counter = envelope.peek(record.value).counter + 1 if record is not None else first_counter()
        return Put(key, envelope.seal(self._seal.keyrings[Domain.SHARED], key, counter, plaintext))

    def _unpack(self, form: struct.Struct, record: Record) -> tuple[int, ...]:
        plaintext = envelope.open_record(self._seal.keyrings, record.key, record.value).plaintext
        if len(plaintext) != form.size:
            raise StoreCorruptError("what a user has stored is in a form this version does not know")
        return form.unpack(plaintext)


def _amount(owned: Owned | None) -> Amount:
    return owned.amount if owned else Amount()


def _used_key(uid: int) -> bytes:
    return USED + uid.to_bytes(4, "big")


def _unchanged(key: bytes, record: Record | None) -> RevisionIs:
    return RevisionIs(key, record.revision if record is not None else 0)
