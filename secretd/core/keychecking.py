"""What a check looks for in the records of keys: that each opens, and that they belong together.

It reveals the ids of keys, which only who may administer the daemon is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from secretd.core.keyform import Key, Tombstone
from secretd.core.keyrecords import KeyRecords
from secretd.core.kinds import DEFAULT_KEY, KEY, MATERIAL, VERSION_USES
from secretd.core.sealing import Seal
from secretd.errors import StoreCorruptError
from secretd.store.reading import Record, Snapshot

_NAME_BYTES = 32


class KeyLooks:
    """Looks at the records of keys in one snapshot."""

    def __init__(self, snapshot: Snapshot, seal: Seal) -> None:
        self._snapshot = snapshot
        self._records = KeyRecords(seal)

    @property
    def looks(self) -> dict[bytes, Callable[[Record], Awaitable[str | None]]]:
        """What looks at a record, by its kind; it says what is wrong with it, or raises StoreCorruptError."""
        return {KEY: self._key, MATERIAL: self._material, VERSION_USES: self._uses, DEFAULT_KEY: self._default}

    async def _key(self, record: Record) -> str | None:
        try:
            read = self._records.key_in(record)
        except StoreCorruptError:
            return "a key does not open"
        if isinstance(read, Tombstone):
            return None
        name = record.key[len(KEY) :]
        for number, version in enumerate(read.versions, 1):
            key = MATERIAL + name + number.to_bytes(4, "big")
            material = await self._snapshot.get(key)
            if material is None:
                return f"the bytes of version {number} of the key '{read.id}' are gone"
            try:
                self._records.material_in(key, material.value, version)
            except StoreCorruptError:
                return f"the bytes of version {number} of the key '{read.id}' do not open"
        return None

    async def _material(self, record: Record) -> str | None:
        read = await self._of(record)
        if isinstance(read, Key):
            # Whether they open its own record's look says.
            return None if 1 <= _version_in(record) <= read.version else "bytes belong to no version of their key"
        # Of one that was just destroyed they are about to be removed.
        left = read.versions if read is not None else 0
        return None if 1 <= _version_in(record) <= left else "bytes belong to no key"

    async def _uses(self, record: Record) -> str | None:
        self._records.count_in(record)
        read = await self._of(record)
        has_it = isinstance(read, Key) and _version_in(record) == read.version
        return None if has_it else "uses are counted of no version that seals"

    async def _default(self, record: Record) -> str | None:
        name = self._records.name_of(self._records.default_in(record))
        found = await self._snapshot.get(KEY + name)
        return None if found is not None else "the default key is none that is there"

    async def _of(self, record: Record) -> Key | Tombstone | None:
        """Give the key that a record of one of its versions belongs to; None if there is none that opens."""
        found = await self._snapshot.get(KEY + record.key[1 : 1 + _NAME_BYTES])
        return self._records.key_in(found) if found is not None else None


def _version_in(record: Record) -> int:
    return int.from_bytes(record.key[1 + _NAME_BYTES :], "big")
