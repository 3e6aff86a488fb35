"""Which changes are under way, so that something can wait until all that began before it have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from secretd.errors import BusyError


class InFlight:
    """The changes under way."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._next = 0
        self._one_ended = asyncio.Event()
        self._closed = False

    @contextmanager
    def change(self) -> Iterator[None]:
        """Count a change for as long as it lasts.

        Raises:
            BusyError: nothing may be changed at the moment.
        """
        if self._closed:
            raise BusyError("a backup is being restored; try again")
        number = self._next
        self._next += 1
        self._numbers.add(number)
        try:
            yield
        finally:
            self._numbers.discard(number)
            self._one_ended.set()

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Let those that are under way end, and no other begin.

        Raises:
            BusyError: somebody else does so.
        """
        if self._closed:
            raise BusyError("a backup is being restored; try again")
        self._closed = True
        try:
            await self.ended()
            yield
        finally:
            self._closed = False

    @property
    def any(self) -> bool:
        """Whether any is under way."""
        return bool(self._numbers)

    async def ended(self) -> None:
        """Wait until every change that is under way now has ended; those that begin later are not waited for."""
        waited_for = set(self._numbers)
        while waited_for & self._numbers:
            self._one_ended.clear()
            await self._one_ended.wait()
