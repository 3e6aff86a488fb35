"""Derivations of keys from passwords: each takes a good part of a second or several, and may take much memory.

So they are made one at a time, in a thread while the event loop goes on, in the order in which they were asked for.
Only so many wait; and who has gone when his turn comes has none made.

Source: docs/pbs.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from secretd import limits
from secretd.core.events import Listener
from secretd.crypto.pbskey import KdfBounds
from secretd.errors import BusyError

_Derived = TypeVar("_Derived")

DEFAULT_BOUNDS = KdfBounds()


class Derivations:
    """All derivations of one daemon.

    Attributes:
        bounds: what a foreign file may ask for; holds for those that are begun from now on.
    """

    def __init__(self, bounds: KdfBounds = DEFAULT_BOUNDS) -> None:
        self.bounds = bounds
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def make(self, derive: Callable[[], _Derived], waits: Listener | None = None) -> _Derived:
        """Give what ``derive`` gives, which runs in a thread.

        Args:
            derive: may raise whatever it likes.
            waits: who waits for the answer; None for somebody who surely does.

        Raises:
            BusyError: too many wait already, or nobody waits for the answer any more.
        """
        await self._wait_for_turn()
        if waits is not None and waits.gone:
            self._lock.release()
            raise BusyError("nobody waits for the answer any more")
        made = asyncio.get_running_loop().run_in_executor(None, derive)
        made.add_done_callback(self._end)
        try:
            # A thread cannot be stopped: whoever is cancelled leaves it, and the next one begins when it has ended.
            return await asyncio.shield(made)
        finally:
            # Its error leads to this frame by its traceback: together they would keep one another, and what the frames
            # of the derivation hold, passwords and keys, until the garbage collector comes by.
            del made

    async def _wait_for_turn(self) -> None:
        if self._waiting == limits.DERIVATIONS_WAITING:
            raise BusyError("too many passwords wait for being tried: try again")
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1

    def _end(self, made: asyncio.Future[_Derived]) -> None:
        self._lock.release()
        made.exception()  # was asked for: asyncio does not tell of it again if nobody is left to hear
