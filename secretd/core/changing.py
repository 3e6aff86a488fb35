"""What each change takes that no request asks for: a store that is whole, uses of the keyring, and a note of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from secretd import limits
from secretd.core.inflight import InFlight
from secretd.core.keyuses import KeyUses
from secretd.core.wholeness import Wholeness


class Changing:
    """Makes changes of one store."""

    def __init__(self, wholeness: Wholeness, in_flight: InFlight, uses: KeyUses) -> None:
        self._wholeness = wholeness
        self._in_flight = in_flight
        self._uses = uses

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Make one change in here, of at most limits.CHANGE_USES records.

        Raises:
            StoreCorruptError: the store lacks something, and is read-only.
            BusyError: a backup is being restored.
            SealError, StoreError: what KeyUses.reserve raises.
        """
        self._wholeness.require()
        with self._in_flight.change():
            await self._uses.reserve(limits.CHANGE_USES)
            yield
        await self._wholeness.note()
