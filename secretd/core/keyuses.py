"""How often each keyring version was used to seal, counted ahead of use.

AES-GCM with random nonces stays safe below 2^32 uses of one key (NIST SP 800-38D, section 8.3).  Uses are not
counted one by one: a block of them is reserved in the store before the first of it is used, so after a crash
the count is too high, never too low.  A version that has no block left is rotated away.
"""

from __future__ import annotations

import asyncio
import struct

from secretd import limits
from secretd.core.kinds import USES
from secretd.core.sealing import Seal
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import BusyError, StoreCorruptError
from secretd.operations import Bound
from secretd.store.base import Delete, Put, RevisionConflict, RevisionIs, Store

_COUNT = struct.Struct(">Q")
_NAME = struct.Struct(">BI")


class KeyUses:
    """The uses of the current version of each domain's keyring."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._left: dict[tuple[Domain, int], int] = {}
        self._reserving = asyncio.Lock()

    async def reserve(self, uses: int) -> None:
        """Make sure that the current versions may be used so often, and count it. It seldom waits.

        Raises:
            SealError: the daemon is sealed, or a version is used up and could not be rotated.
            StoreError: what Store.commit raises.
        """
        for domain in Domain:
            while (left := self._left.get(self._current(domain), 0)) < uses:
                async with self._reserving:
                    await self._reserve_block(domain, uses)
            self._left[self._current(domain)] = left - uses

    async def prepare(self) -> None:
        """Reserve a first block, so that no change has to wait for it.

        Raises:
            SealError, StoreError: as for reserve.
        """
        await self.forget_retired()
        async with self._reserving:
            for domain in Domain:
                await self._reserve_block(domain, 1)

    async def forget_retired(self) -> None:
        """Remove the counts of versions that are no longer there; nothing else could open them.

        Raises:
            StoreError: what Store.scan and Store.commit raise.
        """
        page = await self._store.scan(USES)
        gone = [Delete(record.key) for record in page.records if not self._is_there(record.key)]
        if gone:
            await self._store.commit(gone[: limits.COMMIT_OPERATIONS])

    def _is_there(self, key: bytes) -> bool:
        if len(key) != len(USES) + _NAME.size:
            return True  # nobody of us wrote it: it is left for a check to find
        domain, version = _NAME.unpack_from(key, len(USES))
        return any(
            (each.value, version) == (domain, known)
            for each, keyring in self._seal.keyrings.items()
            for known in keyring.versions
        )

    def forget_all(self) -> None:
        """Count on nothing that was reserved: the keyrings are others now."""
        self._left = {}

    async def bounds(self) -> tuple[Bound, ...]:
        """Say how much each keyring's current version was used."""
        return tuple(
            [Bound(f"uses of the {each.label} keyring", await self.used(each), limits.KEY_USES) for each in Domain]
        )

    async def used(self, domain: Domain) -> int:
        """Say how often the current version was used at most."""
        reserved, _ = await self._read(domain)
        return reserved - self._left.get(self._current(domain), 0)

    def _current(self, domain: Domain) -> tuple[Domain, int]:
        return domain, self._seal.keyrings[domain].current

    async def _reserve_block(self, domain: Domain, uses: int) -> None:
        if self._left.get(self._current(domain), 0) >= uses:
            return
        reserved, revision = await self._read(domain)
        if reserved + limits.KEY_USES_BLOCK > limits.KEY_USES:
            await self._seal.rotate()
            reserved, revision = await self._read(domain)
        total = reserved + limits.KEY_USES_BLOCK
        key = self._key(domain)
        sealed = envelope.seal(self._seal.keyrings[domain], key, envelope.first_counter(), _COUNT.pack(total))
        try:
            await self._store.commit([Put(key, sealed)], [RevisionIs(key, revision)])
        except RevisionConflict:
            raise BusyError("another daemon counts uses of the same key; nothing was done, try again") from None
        # What was left of an earlier block is let go: it was counted.
        self._left = {**self._left, self._current(domain): int(limits.KEY_USES_BLOCK)}

    async def _read(self, domain: Domain) -> tuple[int, int]:
        """Give how many uses are reserved, and the record's revision."""
        key = self._key(domain)
        record = await self._store.get(key)
        if record is None:
            return 0, 0
        plaintext = envelope.open_record(self._seal.keyrings, key, record.value).plaintext
        if len(plaintext) != _COUNT.size:
            raise StoreCorruptError("the count of a key's uses is in a form this version does not know")
        (reserved,) = _COUNT.unpack(plaintext)
        return reserved, record.revision

    def _key(self, domain: Domain) -> bytes:
        domain, version = self._current(domain)
        return USES + _NAME.pack(domain.value, version)
