"""Whether the store has all that was answered.

Two things say so: the head, which is part of the store and changes with every commit, and the high-water mark, which
is kept outside of it.  A store whose head is missing, does not open, or is behind the mark, lacks something.  So does
one with other grants than the head says, which is found where they are read.  It is read-only, and no grant is in
force, until an operator has accepted that.

Source: docs/storage-format.md, "The set-hash and the head" and "The high-water mark".
"""

from __future__ import annotations

import logging

from secretd.core.adoption import MARK_FILE
from secretd.core.head import HeadKeeper
from secretd.core.highwater import HighWater
from secretd.core.kinds import KEYRING
from secretd.core.sealing import Seal
from secretd.crypto.envelope import Domain
from secretd.errors import SealError, StoreCorruptError, StoreError
from secretd.store.base import Store

_log = logging.getLogger(__name__)


class Wholeness:
    """What is known of one store's being whole. Nothing is until ``begin``."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._mark = HighWater(seal.directory / MARK_FILE, seal)
        self._head: HeadKeeper | None = None
        self._whole = False

    @property
    def is_whole(self) -> bool:
        """Whether the store lacks nothing."""
        return self._whole

    @property
    def head(self) -> HeadKeeper:
        """What keeps the head.

        Raises:
            SealError: the daemon is sealed, or was until just now.
        """
        if self._head is None:
            raise SealError("the daemon is just being unsealed; try again")
        return self._head

    async def begin(self) -> None:
        """Compare head and mark once the keyring is open, and keep both from then on."""
        self._whole = False
        self._head = HeadKeeper(self._seal.keyrings[Domain.SHARED])
        try:
            revision = await self._revision_of_head(self._head)
        except StoreError as error:
            _log.error("the store's head cannot be read or made", extra={"reason": error.message})
            return
        mark = self._mark.read()
        if mark is None or not mark <= revision <= await self._store.revision():
            _log.error("the store lacks changes that were answered", extra={"revision": revision, "mark": mark})
            return
        self._keep(self._head, revision)

    async def accept(self) -> int:
        """Take the store as it is, from now on, and give its revision.

        Raises:
            StoreError: the head cannot be made; nothing is accepted.
        """
        revision = await self._store.summarise(self.head)
        self._keep(self.head, revision)
        return revision

    def take(self, head: HeadKeeper, revision: int) -> None:
        """Take a store whose records were all replaced just now, with this head."""
        if self._head is not None:
            self._head.wipe()
        self._head = head
        self._keep(head, revision)

    def doubt(self) -> None:
        """Take it that the store lacks something, though its head does not."""
        self._whole = False

    def require(self) -> None:
        """Refuse a change to a store that lacks something.

        Raises:
            StoreCorruptError: it does; says what to do.
        """
        if not self._whole:
            raise StoreCorruptError(
                "the store lacks changes that were answered, and is read-only: bring back a newer copy, or accept the"
                " loss with store-accept"
            )

    async def note(self) -> None:
        """Write down, before a change is answered, how far the store is."""
        self._mark.note(await self._store.revision())

    def close(self) -> None:
        """Stop keeping head and mark; commits that nobody waits for any more are refused."""
        self._mark.close()
        if self._head is not None:
            self._head.wipe()

    async def _revision_of_head(self, head: HeadKeeper) -> int:
        found = await head.read(self._store)
        if found is not None:
            return found.revision
        page = await self._store.scan(b"", None, 2)
        if any(record.key != KEYRING for record in page.records):
            raise StoreCorruptError("the store's head is gone")
        # A store that holds nothing yet but the seal file, as that is made before the keyring can be used.
        head.begin_with_nothing()
        return 0

    def _keep(self, head: HeadKeeper, revision: int) -> None:
        self._store.keep_summary(head)
        self._mark.begin(revision)
        self._whole = True
