"""A lock for each uid: for what takes long and is done for one uid one at a time, so that no other uid waits for it."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class UidLocks:
    """The locks of all uids that hold one or wait for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def of(self, uid: int) -> asyncio.Lock:
        """Give the lock of a uid; who waits longest has it next."""
        lock = self._locks.get(uid)
        if lock is None:
            lock = self._locks[uid] = asyncio.Lock()
        return lock
