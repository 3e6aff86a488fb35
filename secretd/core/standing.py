"""What is read whole when the keyrings are open, and again when all records were replaced: the grants and the keys.

Both say who may do what, or what may be done, so an older one of them must not come back: none of them is in force
unless they are, all together, those that the head says, in one snapshot.

Source: docs/storage-format.md, "The set-hash and the head"; docs/adr/0023, docs/adr/0027.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack

from secretd.core.wholeness import Wholeness
from secretd.store.base import Store
from secretd.store.reading import Record, Snapshot

_log = logging.getLogger(__name__)

Count = Callable[[Record], None]
Take = Callable[[bool], None]
"""Takes what was read in the place of what was known; is told whether it is in force."""


class ReadAtStart(ABC):
    """Something that is read whole."""

    changing: asyncio.Lock
    """Held while it is read."""

    @abstractmethod
    def forget(self) -> None:
        """Know of nothing until it is read, as it is while the daemon is sealed."""

    @abstractmethod
    def give_up(self) -> None:
        """Know of nothing, as it cannot be read."""

    @abstractmethod
    async def read(self, snapshot: Snapshot, count: Count) -> Take:
        """Read all of it, and count each record."""


class Standing:
    """What is read whole of one store."""

    def __init__(self, store: Store, *parts: ReadAtStart) -> None:
        self._store = store
        self._parts = parts

    async def load(self, wholeness: Wholeness) -> None:
        """Read all of it, in the place of what was known.

        Args:
            wholeness: says whether it may be in force; is told if it is not what the head says.

        Raises:
            StoreError: it cannot be read; then nothing is known.
        """
        async with AsyncExitStack() as held:
            for part in self._parts:
                await held.enter_async_context(part.changing)
            self.forget()
            try:
                takes = await self._read(wholeness)
            except BaseException:
                for part in self._parts:
                    part.give_up()
                raise
            for take in takes:
                take(wholeness.is_whole)

    def forget(self) -> None:
        """Know of nothing until the next ``load``, as it is while the daemon is sealed."""
        for part in self._parts:
            part.forget()

    async def _read(self, wholeness: Wholeness) -> list[Take]:
        head, total = wholeness.head, 0

        def count(record: Record) -> None:
            nonlocal total
            total = head.added_standing(total, record.key, record.value)

        async with self._store.snapshot() as snapshot:
            takes = [await part.read(snapshot, count) for part in self._parts]
            if wholeness.is_whole:
                said = await head.read(snapshot)
                if total != (said.standing if said else 0):
                    _log.error("the grants and keys are not those that were last written, and give nothing")
                    wholeness.doubt()
        return takes
