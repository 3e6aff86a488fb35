"""The grants: kept in the store like secrets, sealed, each under a record whose name tells nothing, and in memory.

They are read when the keyrings are open, and again when all records were replaced, or taken for what they are.  None is
in force unless the store is whole, and has all those that its head says and no others: one that was removed must not
come back.  A grant that does not open gives nothing; ``secretctl check`` tells of it.  A change is in force from the
moment it is on disk, for every connection.

Source: docs/access.md, "At rest"; docs/storage-format.md, "Grants".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from secretd import limits
from secretd.core import grantform as form
from secretd.core.kinds import GRANT
from secretd.core.matching import Rules
from secretd.core.sealing import Seal
from secretd.core.standing import Count, ReadAtStart, Take
from secretd.core.walking import records_of
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import BusyError, ConflictError, NoGrantError, QuotaError, SealError, StoreCorruptError, StoreError
from secretd.grants import Grant, pattern_bytes
from secretd.model import SealState
from secretd.store.base import Delete, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record, Snapshot

_NAME_LABEL = b"secretd grant"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kept:
    grant: Grant
    counter: int


class _Are(Enum):
    """How the grants are."""

    UNREAD = auto()
    WITHOUT_FORCE = auto()
    IN_FORCE = auto()


class Grants(ReadAtStart):
    """All grants of one store. There are none until they are read."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._kept: dict[str, _Kept] = {}
        self._are = _Are.UNREAD
        self._rules = Rules()
        self.changing = asyncio.Lock()

    @property
    def rules(self) -> Rules:
        """The grants that are in force, ready to be asked; another object after each change."""
        return self._rules

    @property
    def in_force(self) -> bool:
        """Whether the grants that there are give anything."""
        return self._are is _Are.IN_FORCE

    def require_in_force(self) -> None:
        """Insist that who holds nothing was granted nothing.

        Strangers hear it too, who were not: that the daemon is sealed systemd tells everybody. The rest is for root.

        Raises:
            SealError: the daemon is sealed, or was until just now: what was granted is not known.
            StoreCorruptError: the store is not whole: nothing that was granted is in force.
        """
        if self._seal.status.state is SealState.SEALED:
            raise SealError("the daemon is sealed, so it does not know what was granted to you")
        if self._are is _Are.UNREAD:
            raise SealError("the daemon is just reading what was granted; try again")
        if self._are is _Are.WITHOUT_FORCE:
            raise StoreCorruptError("the store is not as it should be, so no grant is in force: tell the operator")

    @property
    def all(self) -> tuple[Grant, ...]:
        """All grants that there are, in force or not, in the order of their names."""
        return tuple(self._kept[name].grant for name in sorted(self._kept))

    def named(self, name: str) -> Grant:
        """Give a grant.

        Raises:
            NoGrantError: there is none of this name.
        """
        return self._find(name).grant

    def forget(self) -> None:
        """Know of no grant until they are read, as it is while the daemon is sealed."""
        self._are = _Are.UNREAD
        self._take({})

    def give_up(self) -> None:
        """Know of no grant, as they cannot be read."""
        self._are = _Are.WITHOUT_FORCE

    async def read(self, snapshot: Snapshot, count: Count) -> Take:
        """Read all grants, and count their records."""
        found: dict[str, _Kept] = {}
        async for record in records_of(snapshot, GRANT, limits.SCAN_RECORDS):
            count(record)
            kept = self._open(record)
            if kept is not None:
                found[kept.grant.name] = kept

        def take(in_force: bool) -> None:  # as Take has it
            self._are = _Are.IN_FORCE if in_force else _Are.WITHOUT_FORCE
            self._take(found)

        return take

    async def add(self, grant: Grant, *, replace: bool) -> Grant | None:
        """Keep a grant.

        Args:
            grant: the grant.
            replace: in the place of one that has its name, if there is one, or of a record for it that does not open.

        Returns:
            The one that it took the place of.

        Raises:
            ConflictError: there is one, and it is not to be replaced.
            QuotaError: there are as many as there may be, or they would say more than they may together.
            StoreError: what Store.commit raises.
        """
        async with self.changing:
            before = self._kept.get(grant.name)
            key = self._key(grant.name)
            if not replace and (before is not None or await self._store.get(key) is not None):
                raise ConflictError("there is a grant of this name, or a damaged record of one")
            if before is None and len(self._kept) >= limits.GRANTS:
                raise QuotaError(f"there are {limits.GRANTS} grants, which are all there may be")
            _check_room([grant, *(kept.grant for kept in self._kept.values() if kept is not before)])
            counter = before.counter + 1 if before else envelope.first_counter()
            sealed = envelope.seal(self._seal.keyrings[Domain.SHARED], key, counter, form.to_bytes(grant))
            after = {**self._kept, grant.name: _Kept(grant, counter)}
            await self._change(Put(key, sealed), before, after)
            return before.grant if before else None

    async def remove(self, name: str) -> Grant | None:
        """Keep a grant no longer, and give it once more; None if its record did not open.

        Raises:
            NoGrantError: there is none of this name.
            StoreError: what Store.commit raises.
        """
        async with self.changing:
            key = self._key(name)
            before = self._find(name) if await self._store.get(key) is None else self._kept.get(name)
            after = {other: kept for other, kept in self._kept.items() if other != name}
            await self._change(Delete(key), before, after)
            return before.grant if before else None

    def _find(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            raise NoGrantError("there is no grant of this name")
        return kept

    def _take(self, kept: dict[str, _Kept]) -> None:
        self._kept = kept
        grants = (each.grant for each in kept.values())
        self._rules = Rules(grants, before=self._rules) if self.in_force else Rules()

    async def _change(self, change: Put | Delete, before: _Kept | None, after: dict[str, _Kept]) -> None:
        """Make a change, on disk first; ``after`` is what there is once it is made."""
        try:
            await self._commit(change, before)
        except BaseException:
            # Perhaps it was made all the same, and then it is what a start would find that is in force.
            with suppress(StoreError):
                if await self._is_made(change):
                    self._take(after)
            raise
        self._take(after)

    async def _is_made(self, change: Put | Delete) -> bool:
        record = await self._store.get(change.key)
        return (record.value if record else None) == (change.value if isinstance(change, Put) else None)

    async def _commit(self, change: Put | Delete, before: _Kept | None) -> None:
        # A grant that was sealed anew meanwhile has another revision, and is the same grant.
        for _ in range(limits.COMMIT_RETRIES):
            record = await self._store.get(change.key)
            if not self._may_go(record, before):
                break
            try:
                await self._store.commit([change], [RevisionIs(change.key, record.revision if record else 0)])
            except RevisionConflict:
                continue
            return
        raise BusyError("the grant is not as it was read; nothing was done")

    def _may_go(self, record: Record | None, before: _Kept | None) -> bool:
        """Whether a record is that of the grant as it was read, or nobody misses it: it is gone, or does not open."""
        if record is None:
            # As after a removal that was made though it was not answered.
            return True
        try:
            self.open_record(record)
        except StoreCorruptError:
            return True
        return before is not None and envelope.peek(record.value).counter == before.counter

    def _open(self, record: Record) -> _Kept | None:
        try:
            grant = self.open_record(record)
        except StoreCorruptError:
            _log.error("a grant does not open, and gives nothing: secretctl check says more")
            return None
        return _Kept(grant, envelope.peek(record.value).counter)

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


def _check_room(grants: Collection[Grant]) -> None:
    """Refuse more than may be kept ready and asked at each request.

    Raises:
        QuotaError: the grants have more scopes, or longer patterns, than all together may.
    """
    if sum(len(grant.scopes) for grant in grants) > limits.GRANTS_SCOPES:
        raise QuotaError(f"all grants together may have at most {limits.GRANTS_SCOPES} scopes")
    if sum(pattern_bytes(grant.scopes) for grant in grants) > limits.GRANTS_PATTERNS_BYTES:
        raise QuotaError(
            f"the patterns of all grants together may have at most {limits.GRANTS_PATTERNS_BYTES} bytes of UTF-8"
        )
