"""The grants: kept in the store like secrets, sealed, each under a record whose name tells nothing, and in memory.

They are read when the keyrings are open, and again when all records were replaced.  A grant that does not open gives
nothing; ``secretctl check`` names it.  A change is in force from the moment it is on disk, for every connection.

Source: docs/access.md, "At rest"; docs/storage-format.md, "Grants".
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from secretd import limits
from secretd.core import grantform as form
from secretd.core.kinds import GRANT
from secretd.core.matching import Rules
from secretd.core.sealing import Seal
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import BusyError, ConflictError, NoGrantError, QuotaError, StoreCorruptError
from secretd.grants import Grant
from secretd.store.base import Delete, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record

_NAME_LABEL = b"secretd grant"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    grant: Grant
    counter: int
    revision: int


class Grants:
    """All grants of one store. There are none until ``load``."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._kept: dict[str, _Kept] = {}
        self._rules = Rules()
        self._changing = asyncio.Lock()

    @property
    def rules(self) -> Rules:
        """The grants that are in force, ready to be asked; another object after each change."""
        return self._rules

    @property
    def all(self) -> tuple[Grant, ...]:
        """All grants, in the order of their names."""
        return tuple(self._kept[name].grant for name in sorted(self._kept))

    def named(self, name: str) -> Grant:
        """Give a grant.

        Raises:
            NoGrantError: there is none of this name.
        """
        return self._find(name).grant

    async def load(self) -> None:
        """Read all grants from the store, in the place of those that were known.

        Raises:
            StoreError: what Store.scan raises; then those that were known are no longer in force.
        """
        async with self._changing:
            self._take({})
            found: dict[str, _Kept] = {}
            start: bytes | None = GRANT
            while start is not None:
                page = await self._store.scan(GRANT, start)
                found.update((kept.grant.name, kept) for kept in map(self._open, page.records) if kept is not None)
                start = page.next_start
            self._take(found)

    async def add(self, grant: Grant, *, replace: bool) -> Grant | None:
        """Keep a grant.

        Args:
            grant: the grant.
            replace: in the place of one that has its name, if there is one.

        Returns:
            The one that it took the place of.

        Raises:
            ConflictError: there is one, and it is not to be replaced.
            QuotaError: there are as many as there may be.
            StoreError: what Store.commit raises.
        """
        async with self._changing:
            before = self._kept.get(grant.name)
            if before is not None and not replace:
                raise ConflictError("there is a grant of this name")
            if before is None and len(self._kept) >= limits.GRANTS:
                raise QuotaError(f"there are {limits.GRANTS} grants, which are all there may be")
            counter = before.counter + 1 if before else envelope.first_counter()
            key = self._key(grant.name)
            sealed = envelope.seal(self._seal.keyrings[Domain.SHARED], key, counter, form.to_bytes(grant))
            revision = await self._commit(Put(key, sealed), before)
            self._take({**self._kept, grant.name: _Kept(grant, counter, revision)})
            return before.grant if before else None

    async def remove(self, name: str) -> Grant:
        """Keep a grant no longer, and give it once more.

        Raises:
            NoGrantError: there is none of this name.
            StoreError: what Store.commit raises.
        """
        async with self._changing:
            before = self._find(name)
            await self._commit(Delete(self._key(name)), before)
            self._take({other: kept for other, kept in self._kept.items() if other != name})
            return before.grant

    def _find(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            raise NoGrantError("there is no grant of this name")
        return kept

    def _take(self, kept: dict[str, _Kept]) -> None:
        self._kept = kept
        self._rules = Rules(each.grant for each in kept.values())

    async def _commit(self, change: Put | Delete, before: _Kept | None) -> int:
        # A grant that was sealed anew meanwhile has another revision, and is the same grant.
        for _ in range(limits.COMMIT_RETRIES):
            record = await self._store.get(change.key)
            if record is None and before is not None:
                break
            if record is not None and (before is None or envelope.peek(record.value).counter != before.counter):
                break
            try:
                return await self._store.commit([change], [RevisionIs(change.key, record.revision if record else 0)])
            except RevisionConflict:
                continue
        raise BusyError("the grant is not as it was read; nothing was done")

    def _open(self, record: Record) -> _Kept | None:
        try:
            grant = self.open_record(record)
        except StoreCorruptError:
            _log.error("a grant does not open, and gives nothing: secretctl check says more")
            return None
        return _Kept(grant, envelope.peek(record.value).counter, record.revision)

    def open_record(self, record: Record) -> Grant:
        """Open the record of a grant.

        Raises:
            StoreCorruptError: it does not open, or is not the one of this name.
        """
        grant = form.from_bytes(envelope.open_record(self._seal.keyrings, record.key, record.value).plaintext)
        if self._key(grant.name) != record.key:
            raise StoreCorruptError("a grant is kept under another grant's name")
        return grant

    def _key(self, name: str) -> bytes:
        return GRANT + self._seal.keyrings[Domain.SHARED].mac(_NAME_LABEL, name.encode())
