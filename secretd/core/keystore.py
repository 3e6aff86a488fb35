"""The keys: kept in the store like secrets, sealed, each under records whose names tell nothing; and in memory.

They are read whole with the grants, and are in force on the same terms.  The bytes of a version stay sealed: what was
read of them last is kept as it stands in the store, and each use opens it.  A key that does not open is answered as one
that is not there, but its id stays taken; ``secretctl check`` tells of it.  A change is in force from the moment it is
on disk.

Source: docs/keys.md; docs/storage-format.md, "Keys".
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from enum import Enum, auto

from secretd import limits
from secretd.core import keyform as form
from secretd.core.changing import Changing
from secretd.core.clock import Clock
from secretd.core.keyform import Key, Tombstone, Version
from secretd.core.keyhome import Kept, KeyHome
from secretd.core.keyrecords import KeyRecords
from secretd.core.kinds import DEFAULT_KEY, KEY, MATERIAL
from secretd.core.sealing import Seal
from secretd.core.standing import Count, ReadAtStart, Take
from secretd.core.versionuses import VersionUses
from secretd.core.walking import records_of
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import (
    BusyError,
    QuotaError,
    SealError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from secretd.keys import KeyId, KeyOrigin
from secretd.model import Digest
from secretd.store.base import Delete, Operation, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record, Snapshot

_DIGEST_LABEL = b"secretd key digest"
_DIGEST_BYTES = 16
_COUNTER_BYTES = 8

_log = logging.getLogger(__name__)


class _Are(Enum):
    """How the keys are."""

    UNREAD = auto()
    UNREADABLE = auto()
    WITHOUT_FORCE = auto()
    IN_FORCE = auto()


class _Default(Enum):
    """Stands for a default key that cannot be read."""

    UNREADABLE = auto()


class _Found:
    """What there is of keys."""

    def __init__(self) -> None:
        self.kept: dict[KeyId, Kept] = {}
        self.order: list[KeyId] = []
        self.taken: set[bytes] = set()
        self.unfinished: dict[bytes, tuple[Tombstone, int]] = {}
        self.default: KeyId | _Default | None = None

    def put(self, kept: Kept) -> None:
        if kept.key.id not in self.kept:
            insort(self.order, kept.key.id)
        self.kept[kept.key.id] = kept
        self.taken.add(kept.name)

    def bury(self, name: bytes, tombstone: Tombstone, counter: int) -> None:
        if self.kept.pop(tombstone.id, None) is not None:
            self.order.remove(tombstone.id)
        self.taken.add(name)
        self.unfinished.pop(name, None)
        if tombstone.versions:
            self.unfinished[name] = tombstone, counter


class KeyStore(KeyHome, ReadAtStart):
    """All keys of one store. There are none until they are read."""

    def __init__(self, store: Store, seal: Seal, changing: Changing, clock: Clock) -> None:
        self.changing = asyncio.Lock()
        self._store = store
        self._seal = seal
        self._change = changing
        self._clock = clock
        self._records = KeyRecords(seal)
        self.version_uses = VersionUses(store, self._records)
        self._are = _Are.UNREAD
        self._found = _Found()
        self._sealed: dict[bytes, bytes] = {}

    # What there is.

    def require_read(self) -> None:
        """Insist that it is known which keys there are."""
        if self._are is _Are.UNREAD:
            raise SealError("the daemon is just reading its keys; try again")
        if self._are is _Are.UNREADABLE:
            raise StoreUnavailableError("the keys could not be read, and are not known: tell the operator")

    def require_in_force(self) -> None:
        """Insist that the keys are those that there are, and in these states."""
        self.require_read()
        if self._are is _Are.WITHOUT_FORCE:
            raise StoreCorruptError(
                "the store lacks changes that were answered, so no key can be used: bring back a newer copy, or accept"
                " the loss with store-accept"
            )

    def find(self, key: KeyId) -> Kept | None:
        """Give the key with this id."""
        return self._found.kept.get(key)

    def is_free(self, key: KeyId) -> bool:
        """Whether nothing has this id, or ever had it: a record that does not open has it too."""
        return self._records.name_of(key) not in self._found.taken

    def since(self, marker: KeyId | None) -> Iterator[Kept]:
        """Give the keys with ids from ``marker`` on, in their order."""
        order = self._found.order
        for place in range(bisect_left(order, marker) if marker is not None else 0, len(order)):
            yield self._found.kept[order[place]]

    def __len__(self) -> int:
        return len(self._found.kept)

    @property
    def default(self) -> KeyId | None:
        """Which key is used where none is named."""
        default = self._found.default
        return None if isinstance(default, _Default) else default

    def may_be_default(self, key: KeyId) -> bool:
        """Whether it is this one, or that cannot be read."""
        return self._found.default in (key, _Default.UNREADABLE)

    @property
    def unfinished(self) -> tuple[KeyId, ...]:
        """The ids of keys that were destroyed, but whose bytes may still be there."""
        return tuple(tombstone.id for tombstone, _ in self._found.unfinished.values())

    def digest(self, kept: Kept) -> Digest:
        """Give the digest by which a change names a key as it is."""
        message = kept.key.id.encode() + kept.counter.to_bytes(_COUNTER_BYTES, "big")
        return Digest(self._seal.keyrings[Domain.SHARED].mac(_DIGEST_LABEL, message)[:_DIGEST_BYTES].hex())

    async def uses(self, kept: Kept) -> int:
        """Say how often the version that seals did so, at most."""
        return await self.version_uses.used(kept.newest)

    # Reading all of it.

    def forget(self) -> None:
        """Know of no key until they are read, as it is while the daemon is sealed."""
        self._are, self._found, self._sealed = _Are.UNREAD, _Found(), {}
        self.version_uses.forget()

    def give_up(self) -> None:
        """Know of no key, as they cannot be read."""
        self._are = _Are.UNREADABLE

    async def read(self, snapshot: Snapshot, count: Count) -> Take:
        """Read all keys, and count their records."""
        found = _Found()
        async for record in records_of(snapshot, KEY, limits.SCAN_RECORDS):
            count(record)
            found.taken.add(record.key[len(KEY) :])
            self._read_into(found, record)
        default = await snapshot.get(DEFAULT_KEY)
        if default is not None:
            count(default)
            found.default = self._read_default(default)

        def take(in_force: bool) -> None:  # as Take has it
            self._found, self._are = found, _Are.IN_FORCE if in_force else _Are.WITHOUT_FORCE

        return take

    def _read_into(self, found: _Found, record: Record) -> None:
        try:
            read = self._records.key_in(record)
        except StoreCorruptError:
            _log.error("a key does not open, and is as if it were not there: secretctl check says more")
            return
        name, counter = record.key[len(KEY) :], envelope.peek(record.value).counter
        if isinstance(read, Tombstone):
            found.bury(name, read, counter)
        else:
            found.put(Kept(read, counter, name))

    def _read_default(self, record: Record) -> KeyId | _Default:
        try:
            return self._records.default_in(record)
        except StoreCorruptError:
            _log.error("which key is the default does not open: each counts as if it were, until one is named")
            return _Default.UNREADABLE

    # Changing it.

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold off all other changes of keys."""
        async with self.changing:
            yield

    async def create(self, key: Key, material: bytes) -> Kept:
        """Keep a new key.

        Raises:
            QuotaError: there are as many as there may be.
            BusyError, StoreError: what Store.commit raises.
        """
        if len(self) >= limits.KEYS:
            raise QuotaError(f"there are {limits.KEYS} keys, which are all there may be")
        kept = Kept(key, envelope.first_counter(), self._records.name_of(key.id))
        await self._make([self._put(kept), *self._put_version(kept, material)], None, kept)
        self.version_uses.begun(kept.newest)
        return kept

    async def replace(self, before: Kept, after: Key) -> Kept:
        """Keep a key otherwise, with the same versions.

        Raises:
            BusyError, StoreError: what Store.commit raises.
        """
        kept = Kept(after, before.counter + 1, before.name)
        await self._make([self._put(kept)], before, kept)
        return kept

    async def rotate(self, before: Kept) -> Kept:
        """Give a key a new version.

        Raises:
            QuotaError: it has as many as it may have.
            BusyError, StoreError: what Store.commit raises.
        """
        key = before.key
        if key.version >= limits.KEY_VERSIONS:
            raise QuotaError(f"the key has {limits.KEY_VERSIONS} versions, which are all that it may have")
        version = Version(await self._clock.now(), envelope.first_counter(), KeyOrigin.GENERATED)
        used = await self.uses(before)
        # Nothing waits in between, so no use is missing; and none is made from here on.
        left = self.version_uses.hold(before.newest)
        newest = replace(key.versions[-1], uses=used)
        after = replace(key, versions=(*key.versions[:-1], newest, version))
        kept = Kept(after, before.counter + 1, before.name)
        changes = [self._put(kept), *self._put_version(kept, os.urandom(limits.KEY_BYTES))]
        try:
            await self._make([*changes, self.version_uses.end(before.newest)], before, kept)
        except BaseException:
            self.version_uses.give_back(before.newest, left)
            raise
        self.version_uses.begun(kept.newest)
        return kept

    async def destroy(self, before: Kept) -> None:
        """Keep nothing of a key but that its id is taken.

        Raises:
            BusyError, StoreError: what Store.commit raises; if it is destroyed, its bytes are removed by ``finish``.
        """
        key = before.key
        tombstone = Tombstone(key.id, await self._clock.now(), key.version)
        counter = before.counter + 1
        changes: list[Operation] = [
            self._put_tombstone(before.name, tombstone, counter),
            self.version_uses.end(before.newest),
        ]

        def take() -> None:
            self._found.bury(before.name, tombstone, counter)

        left = self.version_uses.hold(before.newest)
        try:
            await self._settle(changes, before.name, before.counter, take)
        except BaseException:
            self.version_uses.give_back(before.newest, left)
            raise
        await self.finish(key.id)

    async def finish(self, key: KeyId) -> None:
        """Remove the bytes of a key that was destroyed, as far as they are still there.

        Raises:
            BusyError, StoreError: what Store.commit raises; it can be gone on with.
        """
        name = self._records.name_of(key)
        tombstone, counter = self._found.unfinished[name]
        gone = [MATERIAL + name + number.to_bytes(4, "big") for number in range(1, tombstone.versions + 1)]
        for material in gone:
            self._sealed.pop(material, None)
        for place in range(0, len(gone), limits.COMMIT_OPERATIONS):
            await self._store.commit([Delete(one) for one in gone[place : place + limits.COMMIT_OPERATIONS]])
        finished, after = replace(tombstone, versions=0), counter + 1

        def take() -> None:
            self._found.bury(name, finished, after)

        await self._settle([self._put_tombstone(name, finished, after)], name, counter, take)

    async def set_default(self, key: KeyId | None) -> None:
        """Have this key used where none is named.

        Raises:
            BusyError, StoreError: what Store.commit raises.
        """
        change: Operation = Delete(DEFAULT_KEY)
        if key is not None:
            change = Put(DEFAULT_KEY, self._records.sealed(DEFAULT_KEY, envelope.first_counter(), key.encode()))

        def take() -> None:
            self._found.default = key

        for _ in range(limits.COMMIT_RETRIES):
            record = await self._store.get(DEFAULT_KEY)
            try:
                await self._try([change], [RevisionIs(DEFAULT_KEY, record.revision if record else 0)], take)
            except RevisionConflict:
                continue  # it was sealed anew
            return
        raise _busy()

    # Using them.

    def take_use(self, kept: Kept) -> bool:
        """Count one use of the version that seals; False if that is to be renewed before."""
        return not self.is_due(kept) and self.version_uses.take(kept.newest)

    async def renew(self, kept: Kept) -> None:
        """Give the version that seals more uses, or the key a new one if its time is over or no use is left.

        Raises:
            QuotaError, BusyError, SealError, StoreError: as for ``rotate``, and what Changing.change raises.
        """
        async with self._change.change(), self.hold():
            if self.find(kept.key.id) is not kept:
                return  # somebody else did, or its state is another
            if self.is_due(kept) or not await self.version_uses.reserve(kept.newest):
                await self.rotate(kept)

    async def material(self, kept: Kept, version: int) -> bytes:
        """Give the bytes of a version that there is, for use at once.

        Raises:
            RevisionConflict: the key is no longer as it was.
            StoreCorruptError: they do not open.
        """
        key, said = MATERIAL + kept.named(version), kept.key.versions[version - 1]
        sealed = self._sealed.get(key)
        if sealed is not None:
            with suppress(StoreCorruptError):
                # Else it was sealed anew since, and what sealed it is retired.
                return self._records.material_in(key, sealed, said)
        record = await self._store.get(key)
        if self.find(kept.key.id) is not kept:
            raise RevisionConflict((KEY + kept.name,))
        if record is None:
            raise StoreCorruptError("the bytes of a key are gone; check says more")
        material = self._records.material_in(key, record.value, said)
        if len(self._sealed) >= limits.CACHE_KEY_VERSIONS:
            del self._sealed[next(iter(self._sealed))]
        self._sealed[key] = record.value
        return material

    def is_due(self, kept: Kept) -> bool:
        """Whether its time is over, and it gets a new version by itself before it seals again."""
        # One that has all the versions it may have goes on with the last.
        return self._clock.seen() >= kept.rotates and kept.key.version < limits.KEY_VERSIONS

    def _put(self, kept: Kept) -> Put:
        key = KEY + kept.name
        return Put(key, self._records.sealed(key, kept.counter, form.to_bytes(kept.key)))

    def _put_tombstone(self, name: bytes, tombstone: Tombstone, counter: int) -> Put:
        return Put(KEY + name, self._records.sealed(KEY + name, counter, form.to_bytes(tombstone)))

    def _put_version(self, kept: Kept, material: bytes) -> tuple[Put, Put]:
        key, counter = MATERIAL + kept.newest, kept.key.versions[-1].material
        return Put(key, self._records.sealed(key, counter, material)), self.version_uses.begin(kept.newest)

    async def _make(self, changes: list[Operation], before: Kept | None, after: Kept) -> None:
        await self._settle(changes, after.name, before.counter if before else None, lambda: self._found.put(after))

    async def _settle(
        self, changes: list[Operation], name: bytes, counter: int | None, take: Callable[[], None]
    ) -> None:
        """Make a change of the key whose record has this change counter; None if it has no record yet."""
        # A key that was sealed anew meanwhile has another revision, and is the same key.
        for _ in range(limits.COMMIT_RETRIES):
            record = await self._store.get(KEY + name)
            if (envelope.peek(record.value).counter if record else None) != counter:
                self._catch_up(record, counter)
                break
            try:
                await self._try(changes, [RevisionIs(KEY + name, record.revision if record else 0)], take)
            except RevisionConflict:
                continue
            return
        raise _busy()

    def _catch_up(self, record: Record | None, counter: int | None) -> None:
        """Take in what an earlier change, made unseen, left on disk; but nothing that is older than what is known."""
        if record is not None and envelope.peek(record.value).counter > (counter or 0):
            self._found.taken.add(record.key[len(KEY) :])
            self._read_into(self._found, record)

    async def _try(self, changes: list[Operation], conditions: list[RevisionIs], take: Callable[[], None]) -> None:
        """Make a change, on disk first; ``take`` takes it in here once it is made."""
        try:
            await self._store.commit(changes, conditions)
        except RevisionConflict:
            raise
        except BaseException:
            # Perhaps it was made all the same, and then it is what a start would find that is in force.
            with suppress(StoreError):
                if await self._is_made(changes[0]):
                    take()
            raise
        take()

    async def _is_made(self, change: Operation) -> bool:
        record = await self._store.get(change.key)
        return (record.value if record else None) == (change.value if isinstance(change, Put) else None)


def _busy() -> BusyError:
    return BusyError("the key is not as it was read; nothing was done")
