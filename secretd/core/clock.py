"""What time it is: the latest moment that the daemon has ever seen, or what the system's clock says, if that is later.

So a clock that is set back makes no deadline later than it was.  The latest moment is kept in the store, for it must
outlast a restart; a store that is older than the daemon's memory makes nothing earlier.  Against a clock that is set
forward there is no remedy here.

Source: docs/keys.md, "Deletion that waits"; docs/storage-format.md, "What stands in the store".
"""

from __future__ import annotations

from collections.abc import Callable

from secretd.core.kinds import LATEST
from secretd.core.lifecyclerecords import moment_in, sealed
from secretd.core.sealing import Seal
from secretd.crypto import envelope
from secretd.crypto.envelope import first_counter
from secretd.store.base import RevisionIs, Store


class Clock:
    """The time of one store.

    Args:
        store, seal: where the latest moment is kept, and what opens it.
        read: gives the system's time, in seconds since 1970.
    """

    def __init__(self, store: Store, seal: Seal, read: Callable[[], float]) -> None:
        self._store = store
        self._seal = seal
        self._read = read
        self._latest = 0
        self._kept: int | None = None

    def forget(self) -> None:
        """Read again what the store has: it may be another store by now. What was seen is remembered."""
        self._kept = None

    async def now(self) -> int:
        """Say what time it is, in seconds since 1970.

        Raises:
            SealError: the daemon is sealed.
            StoreError: the store cannot be read.
            StoreCorruptError: what it has does not open: then nobody knows.
        """
        if self._kept is None:
            record = await self._store.get(LATEST)
            self._kept = moment_in(self._seal.keyrings, record) if record is not None else 0
        self._latest = max(self._latest, self._kept, int(self._read()))
        return self._latest

    def seen(self) -> int:
        """Say what time it is as far as that takes no wait: what the store has counts once it was read."""
        self._latest = max(self._latest, int(self._read()))
        return self._latest

    async def keep(self, apart_s: int = 1) -> None:
        """Keep the present moment in the store, unless one is there that is less than so many seconds older.

        Raises:
            SecretdError: what ``now`` raises, and what Store.commit does.
            RevisionConflict: somebody else was about it; it can be tried again.
        """
        now = await self.now()
        if self._kept is not None and now - self._kept < apart_s:
            return
        record = await self._store.get(LATEST)
        counter = envelope.peek(record.value).counter + 1 if record is not None else first_counter()
        condition = RevisionIs(LATEST, record.revision if record is not None else 0)
        # Until this is known to be kept, what is kept is not known.
        self._kept = None
        await self._store.commit([sealed(self._seal.keyrings, LATEST, counter, now)], [condition])
        self._kept = now
