"""Turns: who walks through many secrets lets others have theirs, by time, and stops if nobody waits for the end of it.

Of all the walks for one uid one goes on at a time, in the order in which they came: so however many a uid has begun,
everybody else waits for one turn of it, and its short ones are not held up by a long one.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Self

from secretd import limits
from secretd.core.events import Listener
from secretd.core.uidlocks import UidLocks
from secretd.errors import BusyError


class Turns:
    """The turns of all who walk."""

    def __init__(self) -> None:
        self._locks = UidLocks()

    def of(self, uid: int, waits: Listener | None) -> Turn:
        """Give the turns of one walk.

        Args:
            uid: for whom it is.
            waits: who waits for the end; None for somebody who surely does.
        """
        return Turn(self._locks.of(uid), waits)


class Turn:
    """The turns of one walk: it has one inside ``async with``."""

    def __init__(self, lock: asyncio.Lock, waits: Listener | None) -> None:
        self._lock = lock
        self._waits = waits
        self._has_it = False
        self._ends = 0.0

    async def __aenter__(self) -> Self:
        """Wait for the first turn.

        Raises:
            BusyError: nobody waits for the end of the walk any more.
        """
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    @property
    def is_over(self) -> bool:
        """Whether it is time for others."""
        return monotonic() > self._ends

    async def pass_on(self) -> None:
        """Let others have theirs, and wait for the next.

        Raises:
            BusyError: nobody waits for the end of the walk any more.
        """
        # Still its turn meanwhile: no other walk of this uid comes before everybody else.
        await asyncio.sleep(0)
        self._end()
        await self._begin()

    async def _begin(self) -> None:
        await self._lock.acquire()
        self._has_it = True
        self._ends = monotonic() + limits.TURN_MILLISECONDS / 1_000
        if self._waits is not None and self._waits.gone:
            self._end()
            raise BusyError("nobody waits for the answer any more")

    def _end(self) -> None:
        # Not if it is over already: what came in between raised.
        if self._has_it:
            self._has_it = False
            self._lock.release()
