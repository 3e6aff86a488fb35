"""How often the newest version of each key sealed, counted ahead of use.

AES-GCM with random nonces stays safe below 2^32 uses of one key (NIST SP 800-38D, section 8.3).  As in core/keyuses.py
a block of uses is reserved in the store before the first of it is used: so after a crash the count is too high and
never too low, and a use costs no commit.  A version has a count from its first moment; one whose count is gone seals
nothing any more, as nobody knows how often it did.

Source: docs/keys.md, "Uses, and rotation by itself".
"""

from __future__ import annotations

from secretd import limits
from secretd.core.keyrecords import KeyRecords
from secretd.core.kinds import VERSION_USES
from secretd.core.walking import records_of
from secretd.errors import BusyError
from secretd.store.base import Delete, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record


class VersionUses:
    """The uses of the newest version of each key. A version is named by what its records are named by."""

    def __init__(self, store: Store, records: KeyRecords) -> None:
        self._store = store
        self._records = records
        self._left: dict[bytes, int] = {}

    def take(self, version: bytes) -> bool:
        """Use one that is left, if there is one."""
        left = self._left.get(version)
        if not left:
            return False
        self._left[version] = left - 1
        return True

    def begin(self, version: bytes) -> Put:
        """Give what has to be put with a new version: its first block."""
        return self._put(version, limits.VERSION_USES_BLOCK)

    def begun(self, version: bytes) -> None:
        """Take it that this was put."""
        self._left[version] = int(limits.VERSION_USES_BLOCK)

    def end(self, version: bytes) -> Delete:
        """Give what has to be done when a version seals no more."""
        return Delete(VERSION_USES + version)

    def hold(self, version: bytes) -> int:
        """Let nobody use what is left, until it is given back, and say how much that is."""
        return self._left.pop(version, 0)

    def give_back(self, version: bytes, left: int) -> None:
        """Let what is left be used after all."""
        self._left[version] = left

    async def reserve(self, version: bytes) -> bool:
        """Make sure that something is left; False if the version has no block any more, or no count.

        Raises:
            BusyError: somebody else keeps changing the count.
            StoreError: what Store.commit raises.
        """
        for _ in range(limits.COMMIT_RETRIES):
            if self._left.get(version):
                return True
            record = await self._read(version)
            total = self._records.count_in(record) + limits.VERSION_USES_BLOCK if record else limits.VERSION_USES + 1
            if record is None or total > limits.VERSION_USES:
                return False
            try:
                await self._store.commit([self._put(version, total)], [RevisionIs(record.key, record.revision)])
            except RevisionConflict:
                continue  # it was sealed anew
            self.begun(version)
            return True
        raise BusyError("another daemon counts uses of the same key; nothing was done, try again")

    async def used(self, version: bytes) -> int:
        """Say how often a version was used at most.

        Raises:
            StoreError: what Store.get raises.
        """
        record = await self._read(version)
        # Nothing waits in between, so both are of one moment.
        return self._records.count_in(record) - self._left.get(version, 0) if record else int(limits.VERSION_USES)

    async def forget_counts(self) -> None:
        """Remove all counts, where the store may be an older one: no version seals any more but a new one.

        Raises:
            StoreError: what Store.commit raises.
        """
        self.forget()
        gone: list[Delete] = []
        async for record in records_of(self._store, VERSION_USES, limits.COMMIT_OPERATIONS):
            gone.append(Delete(record.key))
            if len(gone) == limits.COMMIT_OPERATIONS:
                await self._store.commit(gone)
                gone = []
        if gone:
            await self._store.commit(gone)

    def forget(self) -> None:
        """Count on nothing that was reserved."""
        self._left = {}

    async def _read(self, version: bytes) -> Record | None:
        return await self._store.get(VERSION_USES + version)

    def _put(self, version: bytes, total: int) -> Put:
        key = VERSION_USES + version
        return Put(key, self._records.sealed_count(key, total))
